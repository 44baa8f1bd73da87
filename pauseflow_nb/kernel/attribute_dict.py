"""Let data be read by item and by attribute: `context["run"]["runs"]` and `context.run.runs`."""

from typing import Any

__all__ = ["Record", "as_records"]


class Record(dict[str, Any]):
    """A dict whose keys are attributes too, where no method of dict has that name."""

    def __getattr__(self, name: str) -> Any:
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
