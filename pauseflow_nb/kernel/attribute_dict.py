"""Let data be read by item and by attribute: `context["run"]["runs"]` and `context.run.runs`."""

from collections.abc import Mapping
from typing import Any

from pauseflow_nb.protocol import answer_in

#: The export that holds what a step was resumed with.
RESUME_DATA = "$resume_data"


class Record(dict[str, Any]):
    """A dict whose keys are attributes too, where no method of dict has that name.

    One that holds the exports of a step, such as a step of a notebook that this one ran, has the attribute `data` as well.
    """

    def __getattr__(self, name: str) -> Any:
        if name == "data" and RESUME_DATA in self:
            return select_data(self[RESUME_DATA])
        # AttributeError, not KeyError: IPython, copy and pickle ask for names that are not there.
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no {name!r} here, only: {', '.join(self) or 'nothing'}") from None

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
    """Take what one wants from a `$resume_data` envelope: the parsed body, or the query where there is no body."""
    return as_records(answer_in(envelope))
