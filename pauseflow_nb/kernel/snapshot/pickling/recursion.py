"""Pickle deeply nested objects, such as a hundred thousand lists, each inside the next.

The C pickler calls itself for each level. With a large stack that works up to Python 3.11; since 3.12 it fails after
some thousand levels, whatever the stack and the limit are. The pickler in Python, which takes five times as long,
does not.
"""

import pickle
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from pauseflow_nb.kernel.snapshot.pickling.pickler import Environment, SnapshotPickler

if TYPE_CHECKING:
    from pauseflow_nb.kernel.snapshot.storage.chunks import Pieces

T = TypeVar("T")

#: Recursion limit for the user's own methods, which may call each other through C.
_STACK = 1 << 30
#: Recursion limit for some hundred thousand levels. An endless recursion must reach it before the stack
#: overflows, which would crash the kernel.
_RECURSION = 1 << 20
#: Types that the C pickler reduces itself.
_NOT_ASKED_ABOUT = frozenset(
    {type(None), bool, int, float, str, bytes, bytearray, dict, set, frozenset, list, tuple, pickle.PickleBuffer}
)


class DeepPickler(SnapshotPickler):
    """Pickles a frame with many thousand levels of nested objects."""

    def __init__(self, file: "Pieces", environment: Environment, *, inlines_definitions: bool) -> None:
        super().__init__(file, environment, inlines_definitions=inlines_definitions)
        self._file = file

    def dump(self, value: Any) -> None:
        """Pickle an object, and record the memo in the C pickler."""
        pickler: Any = _InPython(self._file, protocol=5, buffer_callback=self.take)

        def save_reduce(*arguments: Any, obj: Any) -> None:
            _InPython.save_reduce(pickler, *arguments, obj=obj)  # type: ignore[attr-defined]

        pickler.dispatch_table = self.dispatch_table
        pickler.asks = self.reducer_override
        pickler.memo = self.memo.copy()
        # With a sequence of arguments, Python calls a function without recursing in C, but not a method.
        pickler.save_reduce = save_reduce
        try:
            pickler.dump(value)
        finally:
            del pickler.save_reduce
        self.memo = pickler.memo


class _InPython(pickle._Pickler):  # noqa: SLF001 - there is no public name
    """The pickler in Python, which calls the same hooks as the C pickler."""

    asks: Callable[[Any], Any]

    def reducer_override(self, value: Any) -> Any:
        return NotImplemented if type(value) in _NOT_ASKED_ABOUT else self.asks(value)


#: The pickler for any depth, with a large stack.
_any_depth: type[SnapshotPickler] = DeepPickler if sys.version_info >= (3, 12) else SnapshotPickler


def at_any_depth(work: Callable[[type[SnapshotPickler]], T]) -> T:
    """Call a function with a pickler, and again with one for any depth if there are too many levels."""
    try:
        return work(SnapshotPickler)
    except (RecursionError, pickle.PicklingError) as error:
        if not isinstance(error, RecursionError) and not isinstance(error.__cause__, RecursionError):
            raise
    return run_deep(partial(work, _any_depth))


def run_deep(work: Callable[[], T]) -> T:
    """Call a function that recurses very deeply."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            errors.append(error)

    limit, size = sys.getrecursionlimit(), threading.stack_size(_STACK)
    sys.setrecursionlimit(_RECURSION)
    try:
        thread = threading.Thread(target=run, name="pauseflow-snapshot")
        thread.start()
        thread.join()
    finally:
        threading.stack_size(size)
        sys.setrecursionlimit(limit)
    if errors:
        raise errors[0]
    return results[0]
