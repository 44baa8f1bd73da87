"""Pickle one frame with cloudpickle's C pickler and the rules for objects of a live notebook.

One pickler pickles one frame: the definitions, one variable, or a few variables that share objects.
"""

import pickle
import sys
import types
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cloudpickle import cloudpickle  # type: ignore[import-untyped]

from pauseflow_nb.kernel.snapshot import reconstruct as _reconstruct  # noqa: F401 - gives their names to what pickles hold
from pauseflow_nb.kernel.snapshot.pickling import cloudpickle_private, external_objects
from pauseflow_nb.kernel.snapshot.pickling.load_context import definition, live_attribute, live_part
from pauseflow_nb.kernel.snapshot.pickling.pickler_protocol import Reducer
from pauseflow_nb.kernel.snapshot.pickling.reducers import find_reducer
from pauseflow_nb.kernel.snapshot.pickling.set_order import Ordered
from pauseflow_nb.kernel.snapshot.pickling.type_names import is_users, is_users_module, module_of, name_of
from pauseflow_nb.kernel.snapshot.pickling.types import functions
from pauseflow_nb.kernel.snapshot.pickling.types.lru_caches import read_contents
from pauseflow_nb.kernel.snapshot.pickling.types.unsupported import CannotSave, convert_exits, describe_error

if TYPE_CHECKING:
    from pauseflow_nb.kernel.snapshot.storage.chunks import Pieces

_SMALL_BUFFER = 32 << 10
#: Objects that are certain to be saved.
_ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes})


class Definitions:
    """The functions and classes of the notebook, with keys by which frames refer to them."""

    def __init__(self) -> None:
        self.by_key: dict[str, Any] = {}
        self._key_of: dict[int, str] = {}

    def key(self, defined: Any) -> str:
        """Return the key of a definition, making one if it is new."""
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
        """Remove a definition that cannot be saved."""
        self._key_of.pop(id(self.by_key.pop(key)), None)


class Environment:
    """The facts that all picklers of one save share."""

    def __init__(self, namespace: dict[str, Any], shell: Any) -> None:
        self.namespace = namespace
        self.shell = shell
        self.definitions = Definitions()
        self.dispatch_table: dict[type, Any] = cloudpickle_private.dispatch_table()
        self._reducers: dict[type, Reducer | None] = {}
        #: Id → function or class that can be imported; kept alive, so that no other object gets the same id.
        self.importable: dict[int, Any] = {}
        #: Id → object that is restored by importing it.
        self.live: dict[int, tuple[str, str]] = external_objects.live_objects()
        #: Id → part of the shell or its kernel.
        self.parts = external_objects.find_parts(shell)
        #: Types of these parts.
        self.live_kinds = {type(live_attribute(*place)) for place in self.live.values()}
        #: Memory that is too small to leave the pickle, and memory of other libraries: where they overlap, both leave
        #: it.
        self.small_memory: list[tuple[int, int]] = []
        self.foreign_memory: list[tuple[int, int]] = []
        self.shared_memory: list[tuple[int, int]] = []
        #: Top-level modules whose objects are saved, and those that cannot be imported.
        self.modules: set[str] = set()
        self._unfindable: set[str] = set()
        self._marks: dict[int, tuple[str, str]] | None = None
        #: Id of an object that pickle would leave out → whether it can be saved.
        self._extras: dict[int, tuple[Any, bool]] = {}
        #: Id of a cached function → its results.
        self.caches: dict[int, list[Any]] = {}
        #: Sentences about those that cannot be saved, in order.
        self.left_out: dict[str, None] = {}

    def reducer(self, kind: type) -> Reducer | None:
        """Return the function that reduces objects of a type; None for pickle's own way."""
        if kind not in self._reducers:
            self._reducers[kind] = find_reducer(kind, self.shell)
        return self._reducers[kind]

    def register_singletons(self, kind: type) -> None:
        """Register the objects of a type in its own module, because code compares them with `is`."""
        module = sys.modules.get(module_of(kind))
        if module is None or is_users(kind):
            return
        own = {id(value): (module_of(kind), name) for name, value in vars(module).items() if type(value) is kind}
        if own:
            self.live.update(own)
            self.live_kinds.add(kind)

    def mark(self, value: object) -> tuple[str, str] | None:
        """Return the module that has a bare `object()`, of which only the identity matters."""
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
        """Record that an object of a module is saved; refuse it if the module cannot be imported."""
        top = module.partition(".")[0]
        if top and top not in self.modules:
            self.modules.add(top)
            if not _is_findable(top):
                self._unfindable.add(top)
        if top in self._unfindable:
            raise CannotSave(
                f"it is of module {top}, which cannot be imported: it was made in this process, or its file was deleted"
            )

    def can_save(self, value: Any, what: str) -> bool:
        """Whether a value can be saved that pickle would leave out; if not, that becomes a note."""
        if id(value) not in self._extras:
            # A reference back to this value is already being tried.
            self._extras[id(value)] = (value, True)
            self._extras[id(value)] = (value, self._try(value, what))
        return self._extras[id(value)][1]

    def _try(self, value: Any, what: str) -> bool:
        modules = set(self.modules)
        # Functions and classes are tried with it, because no variable would need them.
        pickler = SnapshotPickler(_Nowhere(), self, inlines_definitions=True)
        try:
            pickler.dump(value)
        except RecursionError:
            del self._extras[id(value)]
            raise
        except Exception as error:  # noqa: BLE001 - pickling runs the code of any class
            self.modules = modules
            reason = str(error) if isinstance(error, CannotSave) else describe_error(error)
            self.left_out[f"left out, as pickle does: {what}, {reason}"] = None
            return False
        return True

    def cached_results(self, cached: Any) -> list[Any]:
        """Return the results of a cached function that can be saved; note those that cannot."""
        if id(cached) not in self.caches:
            name = getattr(cached, "__qualname__", "a function")
            # It may refer to itself.
            self.caches[id(cached)] = []
            found = read_contents(cached)
            if found is None:
                self.left_out[f"the cache of {name} starts empty: Python does not show its contents"] = None
            self.caches[id(cached)] = [
                each for each in found or () if self.can_save(each, f"a result in the cache of {name}")
            ]
        return self.caches[id(cached)]

    def empty_caches(self) -> bool:
        """Make all caches start empty; return False if they do already."""
        is_any = any(self.caches.values())
        if is_any:
            self.left_out["caches of functions start empty: their contents cannot be loaded again"] = None
        self.caches = {identity: [] for identity in self.caches}
        return is_any

    def find_overlapping_memory(self) -> list[tuple[int, int]]:
        """Find small memory that another library's memory overlaps."""
        if not self.foreign_memory or not self.small_memory:
            return []
        foreign = sorted(self.foreign_memory)
        return [(low, high) for low, high in set(self.small_memory) if any(a < high and low < b for a, b in foreign)]


class SnapshotPickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles one frame; see the module's docstring."""

    memo: Any

    def __init__(self, file: "Pieces | _Nowhere", environment: Environment, *, inlines_definitions: bool) -> None:
        #: Memory that left the pickle, in order.
        self.buffers: list[memoryview] = []
        # The C pickler looks up every object in this attribute: cloudpickle's own is a chain of mappings in
        # Python, which takes longer than pickling the object.
        self.dispatch_table = environment.dispatch_table
        self.take = _Taker(self.buffers)
        super().__init__(file, protocol=5, buffer_callback=self.take)
        self._environment = environment
        self._plain: set[type] = set()
        self.namespace = environment.namespace
        self.shell = environment.shell
        #: Whether functions and classes are pickled in this frame, instead of by reference.
        self.inlines_definitions = inlines_definitions
        #: Closure cells whose contents are saved with their function.
        self.bare_cells: set[int] = set()
        #: Types of the pickled objects, except some built-in ones.
        self.kinds: set[type] = set()
        #: Keys of the definitions that this frame needs.
        self.needs: set[str] = set()
        #: Whether loading this frame will run code of the notebook's own classes.
        self.runs_user_code = False
        #: Whether it refers to a module beside the notebook, or to an object of one.
        self.uses_module_beside = False
        #: Pickled sets that pickle alone would restore in another order.
        self.out_of_order: list[Ordered] = []
        #: The object that was pickled last, which is the cause if pickling fails.
        self.last: Any = None

    def reducer_override(self, value: Any) -> Any:  # noqa: PLR0911 - called for every object: no detours
        """Reduce an object, or leave that to pickle."""
        kind = type(value)
        if kind in self._plain:
            return NotImplemented
        self.last = value
        if id(value) in self._environment.importable:
            self._note_module(module_of(value))
            return NotImplemented
        if kind is types.FunctionType or issubclass(kind, type):
            return self._definition(value)
        if kind is types.ModuleType:
            name = value.__name__
            if value is sys.modules.get(name):
                self._environment.use(name)
            self._note_module(name)
            return NotImplemented
        if kind not in self.kinds:
            self.kinds.add(kind)
            self._environment.use(module_of(kind))
            self._environment.register_singletons(kind)
        if id(value) in self._environment.live:
            return live_attribute, self._environment.live[id(value)]
        if id(value) in self._environment.parts:
            return live_part, self._environment.parts[id(value)]
        reducer = self._environment.reducer(kind)
        if reducer is None:
            self.leave_to_pickle(kind)
            return NotImplemented
        return reducer(self, value)

    def dump(self, value: Any) -> None:
        """Pickle an object."""
        with convert_exits():
            self.dump_whole(value)

    def dump_whole(self, value: Any) -> None:
        """Pickle an object, however deep it is; what its classes raise is passed on."""
        super().dump(value)

    def dump_in_order(self, found: Sequence[Ordered]) -> None:
        """Pickle sets first, in their order, and use them for later references to these sets."""
        self.dump({"ordered": found})
        self.kinds.discard(Ordered)
        memo: dict[int, tuple[int, Any]] = self.memo.copy()
        for each in found:
            number, _ = memo.pop(id(each))
            memo[id(each.value)] = number, each.value
        self.memo = memo

    def mark(self, value: object) -> tuple[str, str] | None:
        """Return the module that has a bare `object()`."""
        return self._environment.mark(value)

    def is_plain(self, kind: type) -> bool:
        """Whether pickle alone reduces objects of a type that has occurred before."""
        return kind in self._plain

    def leave_to_pickle(self, kind: type) -> None:
        """Leave further objects of a type to pickle, unless one of them belongs outside of the notebook."""
        if kind not in self._environment.live_kinds:
            self._plain.add(kind)

    def savable(self, attributes: Mapping[str, Any], owner: Any) -> dict[str, Any]:
        """Leave out attributes that cannot be saved, with a note, where pickle would leave out all."""
        return {
            name: value
            for name, value in attributes.items()
            if type(value) in _ATOMS
            or self._environment.can_save(value, f"attribute {name} of a {name_of(type(owner))}")
        }

    def cached_results(self, cached: Any) -> list[Any]:
        """Return the results of a cached function that can be saved."""
        return self._environment.cached_results(cached)

    def refer_to_definition(self, defined: Any) -> Any:
        """Reduce a definition to a reference."""
        key = self._environment.definitions.key(defined)
        self.needs.add(key)
        return definition, (key,)

    def is_shared_memory(self, array: Any) -> bool:
        """Whether a small array's memory is known to be shared."""
        if not self._environment.shared_memory:
            return False
        low = array.ctypes.data
        return any(a <= low < b for a, b in self._environment.shared_memory)

    def note_small_memory(self, array: Any) -> None:
        """Record memory that stays in the pickle."""
        if "torch" in sys.modules:
            low = array.ctypes.data
            self._environment.small_memory.append((low, low + array.nbytes))

    def note_foreign_memory(self, address: int, size: int) -> None:
        """Record memory of another library."""
        self._environment.foreign_memory.append((address, address + size))

    def _definition(self, value: Any) -> Any:
        self._environment.use(module_of(value))
        reduced = self._function(value) if isinstance(value, types.FunctionType) else self._class(value)
        if reduced is None:
            return self.refer_to_definition(value)
        if reduced is NotImplemented:
            self._environment.importable[id(value)] = value
            self._note_module(module_of(value))
        return reduced

    def _note_module(self, name: str) -> None:
        self.uses_module_beside = self.uses_module_beside or is_users_module(name)

    def _function(self, function: types.FunctionType) -> Any:
        if cloudpickle_private.is_by_reference(function):
            return NotImplemented
        if (tee := external_objects.reduce_tee(function)) is not None:
            return tee
        return functions.reduce_function(self, function) if self.inlines_definitions else None

    def _class(self, defined: type) -> Any:
        reduced: Any = super().reducer_override(defined)
        if reduced is NotImplemented:
            return reduced
        if cloudpickle_private.is_made_by(reduced, "_builtin_type"):
            return cloudpickle_private.make_builtin_type, *reduced[1:]
        if isinstance(reduced, tuple) and reduced[0] is type:
            return reduced
        if (found := external_objects.find_type(defined)) is not None:
            return found
        return functions.reduce_class(defined, reduced) if self.inlines_definitions else None


class _Nowhere:
    """A file that discards its data."""

    def write(self, data: Any) -> int:
        return len(data)


class _Taker:
    """Takes buffers out of the pickle; not a method of the pickler, which would then keep itself and its memo alive."""

    def __init__(self, buffers: list[memoryview]) -> None:
        self._buffers = buffers

    def __call__(self, buffer: pickle.PickleBuffer) -> bool:
        """Take a buffer, or return True to keep it in the pickle."""
        memory = buffer.raw()
        # Small memory of other libraries is immutable (Arrow's), so code cannot notice whether it is shared.
        if memory.nbytes < _SMALL_BUFFER and not hasattr(getattr(memory.obj, "base", None), "is_ours"):
            return True
        self._buffers.append(memory)
        return False


def _is_findable(module: str) -> bool:
    """Whether a loaded module could be imported again."""
    found = sys.modules.get(module)
    # Cython makes modules named after its version in memory, which are never imported.
    if found is None or module == "__main__" or module.startswith("_cython_"):
        return True
    if module in sys.stdlib_module_names or (getattr(found, "__file__", None) and not is_users_module(module)):
        return True
    finders = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
    return any(find is not None and find(module, None) is not None for find in finders)
