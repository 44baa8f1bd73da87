"""Provide the `steps` object that users type: the exports of the steps that have run."""

from collections.abc import Iterator, Mapping
from typing import Any

from pauseflow_nb.json_values import JSON
from pauseflow_nb.kernel.current import get_session
from pauseflow_nb.kernel.exports import StepExports

__all__ = ["Steps", "steps"]


class Steps(Mapping[str, StepExports]):
    """The exports of the steps that have run: `steps.NAME`, `steps["NAME"]`."""

    def __getitem__(self, name: str) -> StepExports:
        try:
            return _find(name)
        except KeyError:
            raise KeyError(f"step {name!r} has not run") from None

    def __getattr__(self, name: str) -> StepExports:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return _find(name)
        except KeyError:
            known = ", ".join(self) or "none"
            raise AttributeError(f"step {name!r} has not run; those that have: {known}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(_exports())

    def __len__(self) -> int:
        return len(_exports())

    def __repr__(self) -> str:
        return f"<steps that have run: {', '.join(self) or 'none'}>"

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]

    def __reduce__(self) -> str:
        return "steps"

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)


steps = Steps()


def _find(name: str) -> StepExports:
    session = get_session()
    answers: Mapping[str, Any] = {} if session is None else session.mode.answers
    return StepExports(name, _exports()[name], answers)


def _exports() -> Mapping[str, Mapping[str, JSON]]:
    session = get_session()
    return {} if session is None else session.mode.exports
