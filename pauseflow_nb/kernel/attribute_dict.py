"""Give access to data by item and by attribute: `context["run"]["runs"]` and `context.run.runs`."""

from collections.abc import Mapping
from typing import Any

from pauseflow_nb.protocol import extract_answer

#: The export that holds the answer with which a step was resumed.
RESUME_DATA = "$resume_data"


class Record(dict[str, Any]):
    """A dict whose keys are also attributes, unless a method of dict has that name.

    One that holds the exports of a step, such as a step of a notebook that this one ran, has the attribute `data` as well.
    """

    def __getattr__(self, name: str) -> Any:
        if name == "data" and RESUME_DATA in self:
            return select_data(self[RESUME_DATA])
        # AttributeError, not KeyError: IPython, copy and pickle look up names that do not exist.
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no {name!r}, only: {', '.join(self) or 'nothing'}") from None

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(key for key in self if key.isidentifier())]


def as_records(value: Any) -> Any:
    """Copy JSON data with every dict in it as a `Record`."""
    if isinstance(value, dict):
        return Record({key: as_records(item) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return [as_records(item) for item in value]
    return value


def select_data(envelope: Mapping[str, Any]) -> Any:
    """Return the data in a `$resume_data` envelope: the parsed body, or the query if there is no body."""
    return as_records(extract_answer(envelope))
