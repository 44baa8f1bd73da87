"""Show the exports of a step as `steps.NAME`.

`steps.NAME` takes items and attributes: named exports, then the keys of a returned dict, and
`$return_value`, `$resume_data`, `$suspend_data` as items. `steps.NAME.data` is the data of the answer that
resumed the step.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pauseflow_nb.json_values import JSON, require_json
from pauseflow_nb.kernel.attribute_dict import RESUME_DATA, as_records, select_data
from pauseflow_nb.kernel.issued_links import HIDDEN, IssuedLink, IssuedLinks, SpentLinks
from pauseflow_nb.kernel.secret import MASK
from pauseflow_nb.protocol import merge_exports

SUSPEND_DATA = "$suspend_data"

_NO_ANSWERS: Mapping[str, Any] = {}


def as_json(what: str, value: Any) -> JSON:
    """Copy a value for an export, with whole mappings of links hidden.

    It is copied so that later changes of the value do not change the export.

    Raises:
        NotJSON: If it is not JSON; names the place inside the value and the type found there.
    """
    require_json(what, value)
    return _copy(value)


class StepExports(Mapping[str, Any]):
    """The exports of one step that has run.

    The attribute `data` is the data of the answer; if the step was not answered, it is an ordinary export of this
    name.
    """

    def __init__(self, step: str, exports: Mapping[str, JSON], answers: Mapping[str, Any] = _NO_ANSWERS) -> None:
        """Take the step's exports, and step → answer as an instance of its model."""
        self._step, self._answers = step, answers
        self._exports: dict[str, Any] = as_records(merge_exports(exports))

    def __getitem__(self, name: str) -> Any:
        try:
            return self._exports[name]
        except KeyError:
            raise KeyError(self._missing(name)) from None

    def __getattr__(self, name: str) -> Any:
        # Private names first: pickle and copy look some up before `_exports` exists.
        if name.startswith("_"):
            raise AttributeError(name)
        if name == "data" and RESUME_DATA in self._exports:
            return self._answers[self._step] if self._step in self._answers else select_data(self._exports[RESUME_DATA])
        try:
            return self._exports[name]
        except KeyError:
            raise AttributeError(self._missing(name)) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._exports)

    def __len__(self) -> int:
        return len(self._exports)

    def __repr__(self) -> str:
        return f"<exports of step {self._step!r}: {', '.join(self) or 'none'}>"

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(name for name in self if name.isidentifier())]

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)

    def _missing(self, name: str) -> str:
        if name == "data":
            return f"step {self._step!r} has no data: it has not asked anything, or has not been answered"
        if f"${name}" in list(self):
            return f"step {self._step!r} has no export {name!r}: did you mean '${name}'?"
        return f"step {self._step!r} has no export {name!r}, only: {', '.join(self) or 'none'}"


def _copy(value: Any) -> JSON:
    if isinstance(value, IssuedLink):
        return str(value)
    if isinstance(value, str):
        return MASK.text(value) if MASK else value
    if isinstance(value, IssuedLinks) and not isinstance(value, SpentLinks):
        return dict.fromkeys(value, HIDDEN)
    if isinstance(value, dict):
        return {MASK.text(key) if MASK else key: _copy(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_copy(item) for item in value]
    return value
