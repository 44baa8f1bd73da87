"""Turn a namespace into frames: pickle each variable alone, or together with those that share objects with it."""

import contextlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pauseflow_nb.errors import SnapshotError
from pauseflow_nb.kernel.secret import MASK
from pauseflow_nb.kernel.snapshot.pickling import batches, chunked, reference_counts, set_order, verify
from pauseflow_nb.kernel.snapshot.pickling.gc_and_tracing import switched_off
from pauseflow_nb.kernel.snapshot.pickling.locate import find_place
from pauseflow_nb.kernel.snapshot.pickling.memo_table import has_pickled
from pauseflow_nb.kernel.snapshot.pickling.pickled import Dump, Refused
from pauseflow_nb.kernel.snapshot.pickling.pickler import Environment, SnapshotPickler
from pauseflow_nb.kernel.snapshot.pickling.recursion import at_any_depth
from pauseflow_nb.kernel.snapshot.pickling.secrets_in_pickles import SECRET, HoldsSecret, refuse_secrets
from pauseflow_nb.kernel.snapshot.pickling.sharing import group_by_sharing
from pauseflow_nb.kernel.snapshot.pickling.type_names import full_name, module_of, qualified_name
from pauseflow_nb.kernel.snapshot.pickling.types.unsupported import CannotSave, describe_error
from pauseflow_nb.kernel.snapshot.storage.chunks import Pieces, Store

#: Variables that shared objects with a long one in the last save, with their ids.
_sharing: dict[str, int] = {}

#: Name for the notebook's definitions.
_DEFINITIONS = "<definitions>"
#: Name for the batch of small variables.
_BATCH = "<batch>"
#: Name for the variables that seem to share objects with a long one.
_SHARING = "<sharing>"


@dataclass(frozen=True)
class Dumped:
    """A namespace as frames, definitions first."""

    frames: list[Dump]
    refused: dict[str, Refused]
    environment: Environment
    #: Variable → its bytes, including shared ones, and the seconds that pickling it took.
    costs: dict[str, tuple[int, float]]


class _Failed(Exception):
    """The reason why a value could not be pickled."""

    def __init__(self, reason: str, culprit: str = "") -> None:
        super().__init__(reason)
        self.culprit = culprit


def dump_namespace(namespace: dict[str, Any], names: list[str], shell: Any, store: Store | None = None) -> Dumped:
    """Pickle variables; those that cannot be pickled are reported, and do not affect the others.

    Args:
        namespace: The live namespace, which functions are bound to.
        names: Names of the variables to pickle.
        shell: The shell, which is restored as the new kernel's shell.
        store: Stores large pieces during pickling, even if they may turn out to be unneeded; None: keep all in
            memory.

    Raises:
        OSError: If `store` fails.
    """
    with switched_off():
        dumped = _dump_all(namespace, names, shell, store, shared_memory=[])
        meeting = dumped.environment.find_overlapping_memory()
        # Rare: small arrays in the memory of another library, which are known only now.
        return _dump_all(namespace, names, shell, store, shared_memory=meeting) if meeting else dumped


def type_name(value: Any) -> str:
    """Name a value's type as users know it."""
    kind = type(value)
    return qualified_name(kind) if module_of(kind) in {"", "builtins", "__main__"} else full_name(kind)


def _dump_all(
    namespace: dict[str, Any],
    names: list[str],
    shell: Any,
    store: Store | None,
    *,
    shared_memory: list[tuple[int, int]],
) -> Dumped:
    environment = Environment(namespace, shell)
    environment.shared_memory = shared_memory
    refused: dict[str, Refused] = {}
    single: dict[str, Dump] = {}
    sharing = _choose_likely_shared(namespace, names)
    if sharing:
        with contextlib.suppress(_Failed):
            single[_SHARING] = _dump_together(environment, sharing, store)
    left = [name for name in names if _SHARING not in single or name not in sharing]
    batch = batches.dump_batch(environment, left)
    in_batch = set(batch.names if batch is not None else ())
    _dump_each(environment, single, refused, [name for name in left if name not in in_batch], store)
    batches.learn(single, refused)
    definitions = _dump_definitions(environment, single, refused, namespace)
    _drop_unloadable(environment, single, refused)
    picklers = {_DEFINITIONS: definitions.pickler, **{name: dump.pickler for name, dump in single.items()}}
    if batch is not None:
        single[_BATCH] = batch
        picklers[_BATCH] = batch.pickler
    costs = {name: cost for dump in single.values() for name, cost in dump.cost_of_each().items()}
    frames: list[Dump] = []
    for group in group_by_sharing(picklers):
        members = [member for name in group if name != _DEFINITIONS for member in single[name].names]
        if _DEFINITIONS in group:
            values = {name: namespace[name] for name in members}
            together = _dump(environment, values, members, definitions=True) if members else definitions
            frames.insert(0, together)
        elif len(group) == 1:
            frames.append(single[group[0]])
        else:
            frames.append(_dump_together(environment, members, store))
    _sharing.clear()
    for frame in frames:
        if len(frame.names) > 1 and any(reference_counts.is_long(namespace[name]) for name in frame.names):
            _sharing.update((name, id(namespace[name])) for name in frame.names)
    return Dumped(frames, refused, environment, costs)


def _choose_likely_shared(namespace: Mapping[str, Any], names: list[str]) -> list[str]:
    """Choose variables to pickle together from the beginning, because they probably share objects."""
    if not any(reference_counts.is_long(namespace[name]) for name in names):
        return []
    chosen = [
        name
        for name in names
        if _sharing.get(name) == id(namespace[name]) or reference_counts.is_held_elsewhere(namespace, name)
    ]
    return chosen if len(chosen) > 1 and any(reference_counts.is_long(namespace[name]) for name in chosen) else []


def _dump_each(
    environment: Environment,
    single: dict[str, Dump],
    refused: dict[str, Refused],
    names: Iterable[str],
    store: Store | None,
) -> None:
    for name in names:
        try:
            single[name] = _dump_together(environment, [name], store)
        except _Failed as failure:
            refused[name] = Refused(type_name(environment.namespace[name]), str(failure), failure.culprit)


def _dump_together(environment: Environment, names: list[str], store: Store | None) -> Dump:
    long_ones = reference_counts.find_long_containers(environment.namespace, names)
    values = {name: environment.namespace[name] for name in names}
    if long_ones:
        with contextlib.suppress(chunked.TooMuchShared):
            return _dump(environment, values, names, long_ones=long_ones, store=store)
    return _dump(environment, values, names, store=store)


def _dump_definitions(
    environment: Environment, single: dict[str, Dump], refused: dict[str, Refused], namespace: Mapping[str, Any]
) -> Dump:
    """Pickle the definitions until the set of them is stable; drop those that depend on one that cannot be saved."""
    while True:
        count = len(environment.definitions.by_key)
        try:
            dump = _dump(environment, {}, [], definitions=True)
        except _Failed:
            if not environment.empty_caches():
                _drop_failing_definitions(environment, single, refused, namespace)
            continue
        if len(environment.definitions.by_key) != count:
            continue
        if verify.find_failure(dump.pieces, dump.buffers, environment.shell, {}, dump.pickler.kinds) is None:
            return dump
        if not environment.empty_caches():
            _drop_failing_definitions(environment, single, refused, namespace)


def _drop_failing_definitions(
    environment: Environment, single: dict[str, Dump], refused: dict[str, Refused], namespace: Mapping[str, Any]
) -> None:
    _split(environment, single, refused)
    count = len(environment.definitions.by_key)
    for key, defined in list(environment.definitions.by_key.items()):
        name = key.rpartition("#")[0]
        try:
            dump = _dump(environment, {name: defined}, [name], inlines=True)
            _try(environment, dump, {})
        except _Failed as failure:
            environment.definitions.drop(key)
            for user in [user for user, dump in single.items() if key in dump.pickler.needs]:
                reason = str(failure) if namespace[user] is defined else f"it needs {name}: {failure}"
                refused[user] = Refused(type_name(namespace[user]), reason, failure.culprit)
                del single[user]
    if len(environment.definitions.by_key) == count:
        raise SnapshotError(
            "the notebook's functions and classes cannot be saved together, although each of them can be saved alone"
        )


def _drop_unloadable(environment: Environment, single: dict[str, Dump], refused: dict[str, Refused]) -> None:
    for name, dump in list(single.items()):
        if dump.pickler.runs_user_code:
            try:
                _try(environment, dump, environment.definitions.by_key)
            except _Failed as failure:
                if name == _SHARING:
                    _split(environment, single, refused)
                    _drop_unloadable(environment, single, refused)
                    return
                refused[name] = Refused(type_name(environment.namespace[name]), str(failure), failure.culprit)
                del single[name]


def _split(environment: Environment, single: dict[str, Dump], refused: dict[str, Refused]) -> None:
    """Pickle variables of a group one by one, so that a failing one does not affect the others."""
    if _SHARING in single:
        _dump_each(environment, single, refused, single.pop(_SHARING).names, store=None)


def _try(environment: Environment, dump: Dump, definitions: Mapping[str, Any]) -> None:
    problem = verify.find_failure(dump.pieces, dump.buffers, environment.shell, definitions, dump.pickler.kinds)
    if problem is not None:
        raise _Failed(problem)


def _dump(
    environment: Environment,
    values: dict[str, Any],
    names: list[str],
    *,
    definitions: bool = False,
    inlines: bool = False,
    long_ones: reference_counts.Containers = (),
    store: Store | None = None,
) -> Dump:
    pickler: SnapshotPickler | None = None
    file = Pieces()

    def attempt(kind: type[SnapshotPickler]) -> Dump:
        first = once(kind, [])
        # These sets must come first, and are known only now.
        return once(kind, first.pickler.out_of_order) if first.pickler.out_of_order else first

    def once(kind: type[SnapshotPickler], ordered: list[set_order.Ordered]) -> Dump:
        # Each attempt has a new pickler, because a failed one leaves an incomplete memo.
        nonlocal pickler, file
        began = time.perf_counter()
        file = Pieces(store=store)
        pickler = kind(file, environment, inlines_definitions=definitions or inlines)
        costs = None
        if definitions:
            if ordered:
                pickler.dump_in_order(ordered)
            pickler.dump({"values": values, "definitions": environment.definitions.by_key})
            pickler.out_of_order = [] if ordered else set_order.find_out_of_order(pickler)
        else:
            each = chunked.dump(pickler, file, values, long_ones, ordered)
            costs = each if len(each) > 1 else None
        if has_pickled(pickler, environment.namespace):
            # The pickler has no hook for dicts, and would save a second copy of the namespace.
            pickler.last = environment.namespace
            raise CannotSave("the notebook's own namespace inside of another object; call globals() where you use it")
        pieces = file.done()
        refuse_secrets(pieces, pickler.buffers)
        return Dump(names, pieces, pickler.buffers, definitions, pickler, time.perf_counter() - began, costs)

    try:
        return at_any_depth(attempt)
    except chunked.TooMuchShared:
        raise
    except HoldsSecret as error:
        raise _Failed(str(error), SECRET) from None
    except Exception as error:
        if file.problem is not None:
            raise file.problem from None
        culprit = None if pickler is None else pickler.last
        raise _Failed(_explain(error, culprit, values), type_name(culprit)) from error


def _explain(error: Exception, culprit: Any, values: dict[str, Any]) -> str:
    # An error of a library may quote the value that it could not save.
    reason = MASK.text(str(error) if isinstance(error, CannotSave) else describe_error(error))
    if len(values) != 1:
        return reason
    ((name, value),) = values.items()
    place = name
    # Looking into objects runs the user's code, which may raise anything.
    with contextlib.suppress(Exception):
        place = MASK.text(find_place(culprit, value, name))
    if culprit is value or (place == name and isinstance(error, CannotSave)):
        return reason
    return f"{place} is a {type_name(culprit)}: {reason}" if place != name else f"{reason} (at a {type_name(culprit)})"
