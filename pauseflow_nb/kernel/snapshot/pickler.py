"""The pickler: cloudpickle's C pickler, taught what a live notebook needs.

One pickler pickles one frame: the definitions, one variable, or a few variables that share objects.
"""

import enum
import io
import logging
import pickle
import random  # noqa: F401 - its generator is looked up below
import sys
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from cloudpickle import cloudpickle  # type: ignore[import-untyped]

from pauseflow_nb.kernel.snapshot import functions, own_types, python_types
from pauseflow_nb.kernel.snapshot.enums import reduce_member
from pauseflow_nb.kernel.snapshot.exceptions import reduce_exception, reduce_traceback
from pauseflow_nb.kernel.snapshot.loading import definition, live_attribute, live_session, live_shell
from pauseflow_nb.kernel.snapshot.log_handlers import reduce_handler
from pauseflow_nb.kernel.snapshot.naming import full_name, is_users, is_users_module, library_of, module_of, name_of
from pauseflow_nb.kernel.snapshot.refused import Refusal, reason_for

if TYPE_CHECKING:
    from pauseflow_nb.kernel.snapshot.pieces import Pieces

__all__ = ["Definitions", "Environment", "Reducer", "SnapshotPickler"]

_SMALL_BUFFER = 32 << 10

#: Takes an object apart as `__reduce__` does, or returns NotImplemented to leave it to pickle.
Reducer: TypeAlias = Callable[["SnapshotPickler", Any], Any]


class Definitions:
    """Functions and classes of the notebook, each under a key that frames refer to."""

    def __init__(self) -> None:
        self.by_key: dict[str, Any] = {}
        self._key_of: dict[int, str] = {}

    def key(self, defined: Any) -> str:
        """Return the key of a definition, giving it one if it is new."""
        key = self._key_of.get(id(defined), "")
        if not key:
            name = getattr(defined, "__qualname__", None) or getattr(defined, "__name__", "")
            number = 0
            while (key := f"{name}#{number}") in self.by_key:
                number += 1
            self.by_key[key] = defined
            self._key_of[id(defined)] = key
        return key

    def drop(self, key: str) -> None:
        """Take a definition out that cannot be saved."""
        self._key_of.pop(id(self.by_key.pop(key)), None)


class Environment:
    """What all picklers of one save have in common."""

    def __init__(self, namespace: dict[str, Any], shell: Any) -> None:
        self.namespace = namespace
        self.shell = shell
        self.definitions = Definitions()
        self.dispatch_table: dict[type, Any] = dict(cloudpickle.Pickler.dispatch_table)
        self._reducers: dict[type, Reducer | None] = {}
        #: Functions and classes that an import finds, by identity; kept here so that no other gets theirs.
        self.importable: dict[int, Any] = {}
        #: Objects that come back as what an import finds, by identity.
        self.live: dict[int, tuple[str, str]] = _live_objects()
        #: Their types.
        self.live_kinds = {type(live_attribute(*place)) for place in self.live.values()}
        #: Memory too small to leave the pickle, and memory of other libraries: where they meet, both leave it.
        self.small_memory: list[tuple[int, int]] = []
        self.foreign_memory: list[tuple[int, int]] = []
        self.shared_memory: list[tuple[int, int]] = []
        #: Top names of the modules whose objects are saved, and of those that no import will find.
        self.modules: set[str] = set()
        self._unfindable: set[str] = set()
        self._marks: dict[int, tuple[str, str]] | None = None

    def reducer(self, kind: type) -> Reducer | None:
        """Find how to take apart objects of a type; None: as pickle does."""
        if kind not in self._reducers:
            self._reducers[kind] = _find_reducer(kind, self.shell)
        return self._reducers[kind]

    def meet(self, kind: type) -> None:
        """Find the objects of a type that its own module offers: they are that module's, and asked for with `is`."""
        module = sys.modules.get(module_of(kind))
        if module is None or is_users(kind):
            return
        own = {id(value): (module_of(kind), name) for name, value in vars(module).items() if type(value) is kind}
        if own:
            self.live.update(own)
            self.live_kinds.add(kind)

    def mark(self, value: object) -> tuple[str, str] | None:
        """Find which module offers a bare `object()`, of which nothing but its identity counts."""
        if self._marks is None:
            self._marks = {
                id(value): (module, name)
                for module, found in list(sys.modules.items())
                if module != "__main__"
                for name, value in list(getattr(found, "__dict__", {}).items())
                if type(value) is object
            }
        return self._marks.get(id(value))

    def use(self, module: str) -> None:
        """Note that something of a module is saved; refuse it if no import will find that module."""
        top = module.partition(".")[0]
        if top and top not in self.modules:
            self.modules.add(top)
            if not _is_findable(top):
                self._unfindable.add(top)
        if top in self._unfindable:
            raise Refusal(
                f"it is of module {top}, which no import finds: it was made in this process, or its file is gone"
            )

    def meeting_memory(self) -> list[tuple[int, int]]:
        """Find small memory that another library's memory overlaps."""
        if not self.foreign_memory or not self.small_memory:
            return []
        foreign = sorted(self.foreign_memory)
        return [(low, high) for low, high in set(self.small_memory) if any(a < high and low < b for a, b in foreign)]


class SnapshotPickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles one frame; see the module."""

    def __init__(self, file: "Pieces", environment: Environment, *, inlines_definitions: bool) -> None:
        #: Memory that left the pickle, in order.
        self.buffers: list[memoryview] = []
        # The C pickler takes it from here, and asks it about every object: cloudpickle's own is a chain of
        # mappings in Python, which costs more than the object.
        self.dispatch_table = environment.dispatch_table
        self.take = _Taker(self.buffers)
        super().__init__(file, protocol=5, buffer_callback=self.take)
        self._environment = environment
        self._plain: set[type] = set()
        self.namespace = environment.namespace
        #: Whether functions and classes are pickled here, rather than referred to.
        self.inlines_definitions = inlines_definitions
        #: Closure cells whose contents are saved with their function.
        self.bare_cells: set[int] = set()
        #: Types of the objects that were met, but for a few of the built-in ones.
        self.kinds: set[type] = set()
        #: Keys of the definitions that this frame needs.
        self.needs: set[str] = set()
        #: Whether loading this frame will run code of the notebook's own classes.
        self.runs_user_code = False
        #: What was being pickled last, which is the culprit if pickling fails.
        self.last: Any = None

    def reducer_override(self, value: Any) -> Any:  # noqa: PLR0911 - called for every object: no detours
        """Take an object apart, or leave that to pickle."""
        kind = type(value)
        if kind in self._plain:
            return NotImplemented
        self.last = value
        if id(value) in self._environment.importable:
            return NotImplemented
        if kind is types.FunctionType or issubclass(kind, type):
            return self._definition(value)
        if kind is types.ModuleType:
            name = value.__name__
            if value is sys.modules.get(name):
                self._environment.use(name)
            return NotImplemented
        if kind not in self.kinds:
            self.kinds.add(kind)
            self._environment.use(module_of(kind))
            self._environment.meet(kind)
        if id(value) in self._environment.live:
            return live_attribute, self._environment.live[id(value)]
        reducer = self._environment.reducer(kind)
        if reducer is None:
            self.leave_to_pickle(kind)
            return NotImplemented
        return reducer(self, value)

    def mark(self, value: object) -> tuple[str, str] | None:
        """Find which module offers a bare `object()`."""
        return self._environment.mark(value)

    def is_plain(self, kind: type) -> bool:
        """Whether objects of a type, met before, are taken apart by pickle alone."""
        return kind in self._plain

    def leave_to_pickle(self, kind: type) -> None:
        """Ask no more about objects of a type, unless one of them lives outside of the notebook."""
        if kind not in self._environment.live_kinds:
            self._plain.add(kind)

    def refer_to_definition(self, defined: Any) -> Any:
        """Take a definition apart into a reference to it."""
        key = self._environment.definitions.key(defined)
        self.needs.add(key)
        return definition, (key,)

    def is_importable(self, value: Any, name: str | None = None) -> bool:
        """Whether an import would find the very same object."""
        return cloudpickle._lookup_module_and_qualname(value, name) is not None  # noqa: SLF001

    def is_shared_memory(self, array: Any) -> bool:
        """Whether a small array's memory is known to be used by others too."""
        if not self._environment.shared_memory:
            return False
        low = array.ctypes.data
        return any(a <= low < b for a, b in self._environment.shared_memory)

    def note_small_memory(self, array: Any) -> None:
        """Remember memory that stays in the pickle."""
        if "torch" in sys.modules:
            low = array.ctypes.data
            self._environment.small_memory.append((low, low + array.nbytes))

    def note_foreign_memory(self, address: int, size: int) -> None:
        """Remember memory of another library."""
        self._environment.foreign_memory.append((address, address + size))

    def _definition(self, value: Any) -> Any:
        self._environment.use(module_of(value))
        reduced: Any
        if not isinstance(value, types.FunctionType):
            reduced = super().reducer_override(value)
            if isinstance(reduced, tuple) and reduced[0] in {type, cloudpickle._builtin_type}:  # noqa: SLF001
                return reduced
            if reduced is not NotImplemented and self.inlines_definitions:
                return functions.reduce_class(value, reduced)
        else:
            reduced = NotImplemented if cloudpickle._should_pickle_by_reference(value) else None  # noqa: SLF001
            if reduced is None and self.inlines_definitions:
                return functions.reduce_function(self, value)
        if reduced is NotImplemented:
            self._environment.importable[id(value)] = value
            return reduced
        return self.refer_to_definition(value)


class _Taker:
    """Takes buffers out of the pickle. Not a method of the pickler, which would keep itself and its memo alive."""

    def __init__(self, buffers: list[memoryview]) -> None:
        self._buffers = buffers

    def __call__(self, buffer: pickle.PickleBuffer) -> bool:
        """Take a buffer; a true answer keeps it in the pickle."""
        memory = buffer.raw()
        # Small memory that others offer is immutable (Arrow's), so nobody can tell whether it is shared.
        if memory.nbytes < _SMALL_BUFFER and not hasattr(getattr(memory.obj, "base", None), "is_ours"):
            return True
        self._buffers.append(memory)
        return False


def _find_reducer(kind: type, shell: Any) -> Reducer | None:  # noqa: PLR0911 - one case per line
    if kind is type(shell):
        return _reduce_shell
    if kind is type(getattr(shell, "pauseflow", None)) and kind is not type(None):
        return _reduce_session
    full = full_name(kind)
    found: Reducer | None = python_types.REDUCERS.get(full)
    if found is not None:
        return found
    if kind is types.CellType:
        return functions.reduce_cell
    if kind is types.CodeType:
        return functions.reduce_code
    if kind is types.TracebackType:
        return reduce_traceback
    if issubclass(kind, BaseException):
        return reduce_exception
    if issubclass(kind, logging.Handler):
        return reduce_handler
    if issubclass(kind, enum.Enum) and is_users(kind):
        return reduce_member
    if issubclass(kind, io.IOBase) and not issubclass(kind, (io.BytesIO, io.StringIO)):
        return python_types.reduce_file
    if (reason := reason_for(kind)) is not None:
        return _refuse(reason)
    return _library_reducer(kind, full) or _users_own(kind)


def _is_findable(module: str) -> bool:
    """Whether an import would find a module that is loaded, were it not."""
    found = sys.modules.get(module)
    # Cython makes modules of its own version's name in memory, and nobody ever asks for them.
    if found is None or module == "__main__" or module.startswith("_cython_"):
        return True
    if module in sys.stdlib_module_names or (getattr(found, "__file__", None) and not is_users_module(module)):
        return True
    finders = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
    return any(find is not None and find(module, None) is not None for find in finders)


def _library_base(kind: type) -> type:
    return next(base for base in kind.__mro__ if not is_users(base))


def _library_reducer(kind: type, full: str) -> Reducer | None:
    # Each module knows one library and is loaded only when an object of it is there.
    library = library_of(kind)
    if library == "numpy":
        from pauseflow_nb.kernel.snapshot.numpy_types import REDUCERS
    elif library == "torch":
        from pauseflow_nb.kernel.snapshot.tensor_types import REDUCERS
    elif library == "polars":
        from pauseflow_nb.kernel.snapshot.polars_types import REDUCERS
    elif library == "pandas":
        from pauseflow_nb.kernel.snapshot.pandas_types import REDUCERS, reduce_block, reduce_index

        if "Block" in name_of(kind) and module_of(kind).endswith("internals.blocks"):
            return reduce_block
        if any(base.__name__ == "Index" and library_of(base) == "pandas" for base in kind.__mro__):
            return reduce_index
    else:
        return None
    return REDUCERS.get(full)


def _users_own(kind: type) -> Reducer | None:
    if not is_users(kind):
        return _reduce_with_trial if _is_made_by_python(kind) else None
    if own_types.needs_care(kind):
        return own_types.reduce_own
    library = _library_base(kind)
    if library is not object and _reduces_like(kind, library):
        special = _subclass_reducer(library)
        if special is not None:
            return special
    has_hooks = any(hasattr(kind, hook) for hook in _HOOKS) or kind.__hash__ not in {None, library.__hash__}
    return _reduce_users_own if has_hooks or not _reduces_like(kind, object) else None


#: What pickle calls when it loads an object again. Of `__hash__` only the notebook's own count.
_HOOKS = ("__setstate__", "__getnewargs__", "__getnewargs_ex__")


def _is_made_by_python(kind: type) -> bool:
    """Whether pickle will call a `__new__` that may want arguments, with none."""
    has_arguments = any(hasattr(kind, hook) for hook in ("__getnewargs__", "__getnewargs_ex__"))
    return isinstance(kind.__new__, types.FunctionType) and _reduces_like(kind, object) and not has_arguments


def _reduce_with_trial(pickler: SnapshotPickler, value: Any) -> Any:
    pickler.runs_user_code = True
    pickler.leave_to_pickle(type(value))
    return NotImplemented


def _reduces_like(kind: type, other: type) -> bool:
    methods = ("__reduce__", "__reduce_ex__")
    return all(getattr(kind, method) is getattr(other, method) for method in methods)


def _subclass_reducer(library: type) -> Reducer | None:
    """Find how to take apart a subclass of the notebook's own, where the library's way forgets its attributes."""
    if module_of(library) == "numpy" and library.__name__ == "ndarray":
        from pauseflow_nb.kernel.snapshot.numpy_types import reduce_own_subclass

        return reduce_own_subclass
    if module_of(library) == "numpy" and any(base.__qualname__ == "generic" for base in library.__mro__):
        from pauseflow_nb.kernel.snapshot.numpy_types import reduce_own_scalar

        return reduce_own_scalar
    if library_of(library) == "pandas" and library.__name__ in {"DataFrame", "Series"}:
        from pauseflow_nb.kernel.snapshot.pandas_types import reduce_frame

        return reduce_frame
    if library_of(library) == "torch" and library.__name__ in {"Tensor", "Parameter"}:
        from pauseflow_nb.kernel.snapshot.tensor_types import reduce_tensor

        return reduce_tensor
    return python_types.reduce_with_attributes if issubclass(library, python_types.FORGETFUL) else None


def _reduce_users_own(pickler: SnapshotPickler, value: Any) -> Any:
    pickler.runs_user_code = True
    kind = type(value)
    if _reduces_like(kind, object):
        pickler.leave_to_pickle(kind)
        return NotImplemented
    reduced = value.__reduce_ex__(5)
    # An object that reduces to a name is looked up in its module; in the notebook it will not be there yet.
    return python_types.reduce_named_global(value, reduced) if isinstance(reduced, str) else reduced


def _refuse(reason: str) -> Reducer:
    def refuse(_pickler: SnapshotPickler, _value: Any) -> Any:
        raise Refusal(reason)

    return refuse


def _reduce_shell(pickler: SnapshotPickler, shell: Any) -> Any:
    del pickler, shell
    return live_shell, ()


def _reduce_session(pickler: SnapshotPickler, session: Any) -> Any:
    del pickler, session
    return live_session, ()


def _live_objects() -> dict[int, tuple[str, str]]:
    places = [("os", "environ"), ("random", "_inst"), ("sys", "stdout"), ("sys", "stderr"), ("sys", "stdin")]
    places += [("sys", "__stdout__"), ("sys", "__stderr__"), ("sys", "__stdin__")]
    optional = [("matplotlib", "rcParams"), ("pauseflow_nb.kernel.flow", "flow"), ("pauseflow_nb.kernel.flow", "steps")]
    places += [(module, name) for module, name in optional if module in sys.modules]
    live = {id(getattr(sys.modules[module], name, None)): (module, name) for module, name in places}
    live.pop(id(None), None)
    return live
