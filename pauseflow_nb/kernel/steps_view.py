"""Provide the `steps` object: the exports of the steps that have run, and the event that started the execution."""

from collections.abc import Iterator, Mapping
from typing import Any

from pauseflow_nb.json_values import JSON
from pauseflow_nb.kernel.attribute_dict import Record
from pauseflow_nb.kernel.current import get_session
from pauseflow_nb.kernel.exports import StepExports

#: No step can have this name.
_TRIGGER = "trigger"


class Steps(Mapping[str, StepExports | Record]):
    """The exports of the steps that have run: `steps.NAME`, `steps["NAME"]`.

    `steps.trigger` holds the event that started the execution, and its `context`. It is not a step, so iteration
    skips it.
    """

    def __getitem__(self, name: str) -> StepExports | Record:
        try:
            return _find(name)
        except KeyError:
            raise KeyError(_describe_missing(name)) from None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return _find(name)
        except KeyError:
            raise AttributeError(_describe_missing(name)) from None

    def __iter__(self) -> Iterator[str]:
        return iter(_exports())

    def __len__(self) -> int:
        return len(_exports())

    def __repr__(self) -> str:
        return f"<steps that have run: {', '.join(self) or 'none'}>"

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), _TRIGGER, *self]

    def __reduce__(self) -> str:
        return "steps"

    def _ipython_key_completions_(self) -> list[str]:
        return [_TRIGGER, *self]


steps = Steps()


def _find(name: str) -> StepExports | Record:
    session = get_session()
    if name == _TRIGGER and session is not None:
        return session.mode.trigger
    answers: Mapping[str, Any] = {} if session is None else session.mode.answers
    return StepExports(name, _exports()[name], answers)


def _describe_missing(name: str) -> str:
    session = get_session()
    if session is not None and session.run is not None and session.run.step == name:
        return f"step {name!r} is still running: its answer and its exports are there in the next cell"
    return f"step {name!r} has not run; those that have: {', '.join(_exports()) or 'none'}"


def _exports() -> Mapping[str, Mapping[str, JSON]]:
    session = get_session()
    return {} if session is None else session.mode.exports
