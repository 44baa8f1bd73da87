"""Pickle deeply linked objects, such as a hundred thousand lists, each inside the next.

The C pickler calls itself for each link. With a large stack that is well until Python 3.11; since 3.12 it gives up after
some thousand links, whatever the stack and the limit are. Python's own pickler, which takes five times as long, does not.
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

#: For the user's own methods, which may call each other by way of C.
_STACK = 1 << 30
#: Enough for some hundred thousand links. A method that never ends must meet it before the end of the stack, which
#: ends the kernel.
_RECURSION = 1 << 20
#: What the C pickler takes apart without asking.
_NOT_ASKED_ABOUT = frozenset(
    {type(None), bool, int, float, str, bytes, bytearray, dict, set, frozenset, list, tuple, pickle.PickleBuffer}
)


class DeepPickler(SnapshotPickler):
    """Pickles a frame of deeply linked objects, of which there may be many thousand links in a row."""

    def __init__(self, file: "Pieces", environment: Environment, *, inlines_definitions: bool) -> None:
        super().__init__(file, environment, inlines_definitions=inlines_definitions)
        self._file = file

    def dump_whole(self, value: Any) -> None:
        """Pickle an object, and remember what was met where the C pickler does."""
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
    """Python's own pickler, which asks of what the C pickler asks."""

    asks: Callable[[Any], Any]

    def reducer_override(self, value: Any) -> Any:
        return NotImplemented if type(value) in _NOT_ASKED_ABOUT else self.asks(value)


#: The pickler for any depth, with a large stack.
_any_depth: type[SnapshotPickler] = DeepPickler if sys.version_info >= (3, 12) else SnapshotPickler


def at_any_depth(work: Callable[[type[SnapshotPickler]], T]) -> T:
    """Do something with a pickler, and again with one for any depth if it meets too many links."""
    try:
        return work(SnapshotPickler)
    except (RecursionError, pickle.PicklingError) as error:
        if not isinstance(error, RecursionError) and not isinstance(error.__cause__, RecursionError):
            raise
    return run_deep(partial(work, _any_depth))


def run_deep(work: Callable[[], T]) -> T:
    """Do something that recurses very deeply."""
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
