"""Define the interface of the pickler for the rules of single types, which do not import the pickler."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias


class Pickler(Protocol):
    """The parts of a frame's pickler that a rule may use."""

    namespace: dict[str, Any]
    shell: Any
    #: Whether functions and classes are pickled in this frame, instead of by reference.
    inlines_definitions: bool
    #: Closure cells whose contents are saved with their function.
    bare_cells: set[int]
    #: Whether loading this frame will run code of the notebook's own classes.
    runs_user_code: bool

    def cached_results(self, cached: Any) -> list[Any]:
        """Return the results of a cached function that can be saved."""

    def is_shared_memory(self, array: Any) -> bool:
        """Whether a small array's memory is known to be shared."""

    def leave_to_pickle(self, kind: type) -> None:
        """Leave further objects of a type to pickle."""

    def mark(self, value: object) -> tuple[str, str] | None:
        """Return the module that has a bare `object()`."""

    def note_foreign_memory(self, address: int, size: int) -> None:
        """Record memory of another library."""

    def note_small_memory(self, array: Any) -> None:
        """Record memory that stays in the pickle."""

    def refer_to_definition(self, defined: Any) -> Any:
        """Reduce a definition to a reference."""

    def savable(self, attributes: Mapping[str, Any], owner: Any) -> dict[str, Any]:
        """Leave out attributes that cannot be saved, with a note."""


#: Reduces an object as `__reduce__` does, or returns NotImplemented to leave it to pickle.
Reducer: TypeAlias = Callable[[Pickler, Any], Any]
