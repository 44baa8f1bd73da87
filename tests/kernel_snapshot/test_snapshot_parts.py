"""Long lists, dicts and sets are saved some items at a time, which nobody can tell but by the memory it saves."""

import gc
import io
import pickle
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kernel_snapshot.conftest import Kernels, cell

from pauseflow_nb.kernel.snapshot import describe_saved
from pauseflow_nb.kernel.snapshot.pickling import memo_table
from pauseflow_nb.protocol import SnapshotRef

SHAPE = """
import hashlib, weakref
class Node:
    def __init__(self): self.to = None
def children(value):
    if isinstance(value, dict): return [part for pair in value.items() for part in pair]
    if isinstance(value, Node): return [value.to]
    if isinstance(value, weakref.ref): return [value()]
    return list(value) if isinstance(value, (list, tuple)) else []
def shape(*roots):
    "A digest that two graphs of objects have in common only if the same places lead to the same objects."
    numbers, kept, todo, digest = {}, [], list(roots), hashlib.sha256()
    while todo:
        value = todo.pop()
        if isinstance(value, (int, str)):
            digest.update(repr(value).encode())
        elif id(value) in numbers:
            digest.update(b'again %d' % numbers[id(value)])
        else:
            numbers[id(value)] = len(numbers)
            kept.append(value)
            found = children(value)
            digest.update(b'%s %d' % (type(value).__name__.encode(), len(found)))
            todo += reversed(found)
    return digest.hexdigest()
"""

MAKE = (
    SHAPE
    + """
import random
if SEED % 3 != 1: import numpy  # which is used to look into the pickler's memory
r = random.Random(SEED)
many, kinds = 25_000, r.sample(['list', 'dict', 'tuple', 'Node'], 3)
rows, older, nodes = [], [], [Node]
for i in range(many):
    other = r.choice(older) if older and r.random() < SHARED else [i]
    kind = 'ref' if r.random() < 0.02 else r.choice(kinds)
    row = {'list': [i, other], 'dict': {'id': i, f'name {i}': other}, 'tuple': (str(i), other, [other]), 'Node': Node()}.get(kind)
    if kind == 'Node': row.to = other; nodes.append(row)
    if kind == 'ref': row = [weakref.ref(r.choice(nodes))]
    rows.append(row)
    older.append(r.choice([row, other, rows if r.random() < 0.001 else row]))
one = r.choice(rows) if SEED % 2 else None
index = dict(enumerate(rows[:: 1 + SEED % 9])) if SEED % 4 else [[rows[5]], rows[6]]
if SEED % 3 == 0: rows = dict(enumerate(rows))
if SEED % 5 == 2: rows = {'rows': rows, 'also': (rows[7], [rows, rows[20_000]])}
wanted = shape(rows, one, index)
del older, nodes, row, other
"""
)


@pytest.mark.parametrize("shared", [0.0, 0.01, 0.9])
@pytest.mark.parametrize(
    "seed",
    [
        1,
        *[pytest.param(s, marks=pytest.mark.thorough) for s in (2, 3)],
        *[pytest.param(s, marks=pytest.mark.slow) for s in range(4, 40)],
    ],
)
def test_the_same_places_lead_to_the_same_objects(kernels: Kernels, seed: int, shared: float) -> None:
    saved = kernels.save(MAKE.replace("SEED", str(seed)).replace("SHARED", str(shared)))
    assert saved["unsaved"] == {}

    kernels.restore(saved, "assert shape(rows, one, index) == wanted")


@pytest.fixture
def _no_garbage_collection() -> Iterator[None]:
    """Keep finalizers from running: one that fails leaves a traceback, whose frames refer to what is being counted."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_garbage_collection")
@pytest.mark.parametrize("seed", range(5))
def test_what_a_pickler_remembers_is_read_in_place_as_its_copy_tells_it(seed: int) -> None:
    numpy = pytest.importorskip("numpy")
    r = random.Random(seed)
    kinds: list[Callable[[], Any]] = [
        lambda: [r.random()],
        lambda: f"text {r.random()}",
        lambda: {r.random(): 1},
        lambda: {1, r.random()},
        object,
    ]
    values = [r.choice(kinds)() for _ in range(5_000)]
    holding = [r.choice(values) for _ in range(50 * seed)]
    sizes = {}
    for forgettable in (frozenset[type](), frozenset({list, str}), frozenset({list, str, dict, set, object})):
        pickler = pickle.Pickler(io.BytesIO(), 5)
        pickler.dump(values)
        assert memo_table._numpy() is numpy
        sizes[forgettable] = _identities(memo_table.MemoTable(pickler).find_referenced(forgettable, numpy))
        assert sizes[forgettable] == _identities(memo_table._find_in_copy(pickler, forgettable, None))
        assert len(sizes[forgettable]) == len(set(sizes[forgettable]))

    everything, _, held = ({identity for _, identity, _ in each} for each in sizes.values())
    assert everything >= set(map(id, values))
    assert held & set(map(id, values)) == set(map(id, holding))


def _identities(found: list[memo_table.Met]) -> list[tuple[int, int, bool]]:
    return sorted((met.number, id(met.value), met.is_shared) for met in found)


@pytest.mark.parametrize("numpy", ["None", "types.ModuleType('numpy')", "print"])
def test_long_lists_are_saved_beside_a_numpy_that_is_none(kernels: Kernels, numpy: str) -> None:
    saved = kernels.save(f"import sys, types; sys.modules['numpy'] = {numpy}", "rows = [[i] for i in range(5_000)]")

    assert saved["unsaved"] == {}
    kernels.restore(saved, "assert rows == [[i] for i in range(5_000)]")


def test_what_looks_into_a_long_list_while_it_is_loaded_finds_it_complete(kernels: Kernels) -> None:
    saved = kernels.save(
        "class Index:\n"
        "    def __init__(self, rows): self.rows = rows; self.__setstate__({'rows': rows})\n"
        "    def __getstate__(self): return {'rows': self.rows}\n"
        "    def __setstate__(self, state): self.rows = state['rows']; self.place = {str(r): i for i, r in enumerate(self.rows)}",
        "rows = [{i} for i in range(20_000)]; both = {'rows': rows, 'index': Index(rows), 'apart': [{i} for i in range(20_000)]}",
        "del rows",
    )

    kernels.restore(
        saved,
        "assert both['index'].place['{19999}'] == 19_999 and both['index'].rows is both['rows']",
        "assert both['rows'] == both['apart']",
    )


def test_what_is_referred_to_weakly_is_still_the_same_object(kernels: Kernels) -> None:
    saved = kernels.save(
        "import weakref\nclass Node: pass\n"
        "rows = [Node() for i in range(30_000)]; rows += [weakref.ref(rows[i]) for i in range(100, 200)]"
    )

    kernels.restore(saved, "assert all(rows[30_000 + i]() is rows[100 + i] for i in range(100))")


def test_a_long_list_that_grows_costs_what_was_added(kernels: Kernels) -> None:
    make = cell("log = [{'step': i, 'said': f'done {i}'} for i in range(200_000)]")
    save = {"do": "save", "folder": kernels.folder}

    _, first, _, second, _, third = kernels.run(
        make, save, cell("log.append('more')"), save, cell("log[100_000]['said'] = 'something longer'"), save
    )

    assert first["written"] > 4_000_000
    assert second["written"] < 150_000
    assert third["written"] < 300_000
    kernels.restore(third, "assert len(log) == 200_001 and log[-1] == 'more' and log[100_000]['said'][0] == 's'")


def test_long_sets_and_dicts_keep_their_order_and_their_contents(kernels: Kernels) -> None:
    saved = kernels.save("s = {f'{i}' for i in range(30_000)}; d = {(i, f'{i}'): [i] for i in range(30_000, 0, -1)}")

    kernels.restore(
        saved,
        "assert s == {f'{i}' for i in range(30_000)} and type(s) is set",
        "assert list(d) == [(i, f'{i}') for i in range(30_000, 0, -1)] and d[7, '7'] == [7]",
    )


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("where", "limit"),
    [
        ("users", 0.1),
        ("state = {'model': None, 'all': (users,)}; del users", 0.1),
        # Whatever is met again must be remembered.
        ("by_id = {user['id']: user for user in users}", 0.7),
        ("for i, user in enumerate(users): user['leads'] = users[i // 2]", 0.9),
    ],
)
def test_saving_millions_of_small_objects_takes_little_memory(kernels: Kernels, where: str, limit: float) -> None:
    memory = "[int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmHWM')][0]"
    make = "before = {}\nusers = [{{'id': i, 'name': f'user {{i}}', 'scores': [i]}} for i in range(1000, 200_000)]"

    answers = kernels.run(
        cell("import gc; users = [[1]]"),
        {"do": "save", "folder": kernels.folder},
        cell(make.format(memory)),
        cell(where),
        cell(f"made = {memory}"),
        {"do": "save", "folder": kernels.folder},
        cell(f"assert {memory} - made < {limit} * (made - before), ({memory}, made, before)"),
    )

    assert [answer["error"] for answer in answers if answer.get("error")] == []


def test_what_cannot_be_saved_in_a_long_list_is_named_by_its_path(kernels: Kernels) -> None:
    saved = kernels.save(
        "import threading\nrows = [{'id': i} for i in range(30_000)]\nrows[23_456]['lock'] = threading.Lock()"
    )

    assert saved["unsaved"]["rows"]["reason"].startswith('rows[23456]["lock"] is a _thread.lock')


def test_a_part_of_a_long_list_in_another_variable_is_the_same_object(kernels: Kernels) -> None:
    make = "rows = [[i] for i in range(30_000)]; by_id = {row[0]: row for row in rows}; one = rows[20_000]"
    save = {"do": "save", "folder": kernels.folder}

    _, _, again, third = kernels.run(cell(make), save, save, save)

    # Nothing is written in vain for ever, only because parts are stored before it is known what they share.
    assert third["written"] < again["written"] + 20_000
    kernels.restore(third, "one.append('x'); assert rows[20_000] == by_id[20_000] == [20_000, 'x']")


def test_a_list_and_an_index_of_it_that_grow_cost_what_was_added(kernels: Kernels) -> None:
    make = "rows = [{'id': i, 'said': f'done {i}'} for i in range(100_000)]; by_id = {row['id']: row for row in rows}"
    save = {"do": "save", "folder": kernels.folder}

    _, first, _, second = kernels.run(
        cell(make), save, cell("rows.append({'id': -1, 'said': 'more'}); by_id[-1] = rows[-1]"), save
    )

    assert first["written"] > 2_000_000
    assert second["written"] < first["written"] / 2
    kernels.restore(
        second,
        "assert len(rows) == len(by_id) == 100_001 and all(by_id[row['id']] is row for row in rows)",
        "assert list(by_id) == [row['id'] for row in rows] and rows[-1]['said'] == 'more'",
    )


def test_variables_that_no_longer_share_or_are_gone_leave_the_others_alone(kernels: Kernels) -> None:
    save = {"do": "save", "folder": kernels.folder}

    *_, unshared, _, last = kernels.run(
        cell("rows = [[i] for i in range(20_000)]; by_id = {row[0]: row for row in rows}; some = rows[5:9]"),
        save,
        cell("some = [row[:] for row in some]"),
        save,
        cell("del by_id; rows.append('x')"),
        save,
    )

    kernels.restore(unshared, "assert some == rows[5:9] and some[0] is not rows[5] and by_id[7] is rows[7]")
    kernels.restore(last, "assert 'by_id' not in globals() and rows[-1] == 'x' and some == rows[5:9]")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        ("import threading; index['lock'] = threading.Lock()", 'index["lock"] is a _thread.lock'),
        ("index['f'] = (n for n in [1])", 'index["f"] is a generator'),
        ("index['once'] = Once()", "could not be loaded again: RuntimeError: only once"),
        ("class Bad: lock = __import__('threading').Lock()\nindex['bad'] = Bad()", "needs Bad"),
    ],
)
def test_what_shares_with_a_variable_that_cannot_be_saved_is_saved(kernels: Kernels, spoil: str, reason: str) -> None:
    classes = (
        "class Row:\n    def __init__(self, i): self.i = i\n"
        "class Once:\n    def __setstate__(self, state): raise RuntimeError('only once')\n    def __getstate__(self): return 1"
    )
    make = "rows = [Row(i) for i in range(12_000)]; index = {row.i: row for row in rows[:30]}; first = rows[0]; held = [first]"

    saved = kernels.save(classes, make, spoil)

    assert set(saved["unsaved"]) == {"index"} | ({"Bad"} if "Bad" in spoil else set())
    assert reason in saved["unsaved"]["index"]["reason"]
    kernels.restore(saved, "assert len(rows) == 12_000 and first is rows[0] is held[0] and type(first) is Row")


def test_an_object_that_raises_when_asked_anything_takes_no_long_list_along(kernels: Kernels) -> None:
    nasty = (
        "class Meta(type):\n    def __getattribute__(cls, name): raise RuntimeError(name)\n"
        "class Nasty:\n    def __getattribute__(self, name): raise RuntimeError(name)\n    def __eq__(self, other): raise RuntimeError\n"
        "    __hash__ = object.__hash__"
    )
    rows = (
        "nasty = Nasty(); rows = [[i] for i in range(2_000)]; held = [rows[5], rows[6]]; odd = [nasty, nasty, rows[7]]"
    )

    saved = kernels.save(nasty, rows, "class Worse(metaclass=Meta): pass", "worse = [Worse, rows[8]]")

    assert set(saved["unsaved"]) <= {"nasty", "odd", "worse", "Worse"}
    kernels.restore(saved, "assert len(rows) == 2_000 and held[0] is rows[5] and held[1] is rows[6]")


def test_what_is_inside_of_a_variable_counts_for_it(kernels: Kernels) -> None:
    make = "import numpy as np; big = {'rows': [[i, str(i)] for i in range(40_000)], 'more': [[1]] * 30, 'a': np.ones(99_000)}"
    saved = kernels.save(make)

    (report,) = [r for r in describe_saved(kernels.folder, SnapshotRef(**saved["ref"])) if r.name == "big"]

    assert report.size > 400_000 + 8 * 99_000


def test_each_of_many_that_share_is_told_with_its_size(kernels: Kernels) -> None:
    saved = kernels.save(
        "rows = [[i, str(i)] for i in range(40_000)]; by_id = {row[0]: row for row in rows}; one = rows[3]"
    )

    sizes = {report.name: report.size for report in describe_saved(kernels.folder, SnapshotRef(**saved["ref"]))}

    assert sizes["rows"] > 400_000 > sizes["by_id"] > 200_000 > 1_000 > sizes["one"] > 0


@pytest.mark.thorough
def test_a_disk_that_is_full_while_a_long_list_is_pickled_leaves_the_snapshot_before(kernels: Kernels) -> None:
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY))"
    save = {"do": "save", "folder": kernels.folder}

    _, first, _, failed, _, _, last = kernels.run(
        cell("rows = [[i] for i in range(20_000)]"),
        save,
        cell(f"rows = [[i] for i in range(600_000)]\n{limit}"),
        save,
        cell("import os; assert not [name for name in os.listdir('snapshots') if name.endswith('.part')]"),
        cell("resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))"),
        save,
    )

    assert (failed["raised"], "ulimit" in failed["message"]) == ("SnapshotError", True)
    kernels.restore(first, "assert len(rows) == 20_000")
    kernels.restore(last, "assert len(rows) == 600_000 and rows[-1] == [599_999]")
