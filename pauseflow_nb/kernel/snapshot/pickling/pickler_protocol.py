"""Define the contract between the pickler and the rules for single types, which import no pickler."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias


class Pickler(Protocol):
    """The pickler of one frame, as far as a rule may use it."""

    namespace: dict[str, Any]
    shell: Any
    #: Whether functions and classes are pickled with this frame, rather than referred to.
    inlines_definitions: bool
    #: Closure cells whose contents are saved with their function.
    bare_cells: set[int]
    #: Whether loading this frame will run code of the notebook's own classes.
    runs_user_code: bool

    def cached_results(self, cached: Any) -> list[Any]:
        """Find what a cached function remembers, as far as it can be saved."""

    def is_shared_memory(self, array: Any) -> bool:
        """Whether a small array's memory is known to be used by others too."""

    def leave_to_pickle(self, kind: type) -> None:
        """Leave further objects of a type to pickle."""

    def mark(self, value: object) -> tuple[str, str] | None:
        """Find which module offers a bare `object()`."""

    def note_foreign_memory(self, address: int, size: int) -> None:
        """Remember memory of another library."""

    def note_small_memory(self, array: Any) -> None:
        """Remember memory that stays in the pickle."""

    def refer_to_definition(self, defined: Any) -> Any:
        """Take a definition apart into a reference to it."""

    def savable(self, attributes: Mapping[str, Any], owner: Any) -> dict[str, Any]:
        """Leave out attributes that cannot be saved, and note which."""


#: Takes an object apart as `__reduce__` does, or returns NotImplemented to leave it to pickle.
Reducer: TypeAlias = Callable[[Pickler, Any], Any]
