"""Sets are walked through in the order that they had, where the kernels hash texts alike."""

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_snapshot.conftest import Kernels, Nurseries, nursery

from pauseflow_nb.kernel.snapshot.pickling import set_order

WORDS = "import random\nwords = ['w%d' % random.randrange(10**9) for _ in range({count})]\n"

#: How a set came about, which is what its table looks like.
MAKERS = {
    "a literal": "s = {'alpha', 'beta', 'gamma', 'delta', 'eps'}",
    "a literal of seven": "s = {'a1', 'b2', 'c3', 'd4', 'e5', 'f6', 'g7'}",
    "one by one": WORDS.format(count=40) + "s = set()\nfor w in words: s.add(w)",
    "of a list": WORDS.format(count=100) + "s = set(words)",
    "a union": WORDS.format(count=30) + "s = set(words[:20]) | set(words[10:])",
    "a difference": WORDS.format(count=30) + "s = set(words) - set(words[:9])",
    "with items taken out": WORDS.format(count=25) + "s = set(words)\nfor w in words[:8]: s.discard(w)",
    "a copy": "s = {'alpha', 'beta', 'gamma', 'delta', 'eps'}.copy()",
    "a frozenset": "s = frozenset({'alpha', 'beta', 'gamma', 'delta', 'eps'})",
    "a frozenset of a union": WORDS.format(count=20) + "s = frozenset(set(words[:9]) | set(words[9:]))",
    "tuples and numbers": "s = {('a', 1), 'b', 2.5, 10**20, ('a', ('b', 'c'))} | {1, 17, 33, 65}",
}


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nurseries]:
    """Two processes that hash texts alike, as the kernels of an execution do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONHASHSEED", "20")
        started = [nursery() for _ in range(2)]
    yield started
    for process in started:
        process.communicate()


@pytest.fixture
def kernels(tmp_path: Path, alike: Nurseries) -> Kernels:
    return Kernels(tmp_path, str(tmp_path / "snapshots"), alike)


@pytest.mark.every(3)
@pytest.mark.parametrize("how", MAKERS)
def test_a_set_keeps_its_order_however_it_came_about(how: str, kernels: Kernels) -> None:
    saved = kernels.save(f"{MAKERS[how]}\norder = list(s); kind = type(s)")

    kernels.restore(saved, "assert list(s) == order and type(s) is kind and s == set(order)")


def test_sets_inside_of_other_things_keep_their_order_and_stay_shared(kernels: Kernels) -> None:
    make = """
s = {'alpha', 'beta', 'gamma', 'delta', 'eps'}
key = frozenset(s)
d = {'inside': [s, {'uno', 'due', 'tre', 'quattro', 'cinque'}], key: 1}
class K:
    tags = {'un', 'deux', 'trois', 'quatre', 'cinq'}
    def f(self, of=frozenset({'un', 'deux', 'trois', 'quatre', 'cinq'})): return list(of)
k = K(); k.own = {'eins', 'zwei', 'drei', 'vier', 'fuenf'}
orders = [*map(list, [s, key, d['inside'][1], K.tags, k.own]), k.f()]
"""
    check = """
assert [*map(list, [s, key, d['inside'][1], K.tags, k.own]), k.f()] == orders
assert d['inside'][0] is s and [*d][1] is key
s.add('zeta'); assert 'zeta' in d['inside'][0]
"""
    saved = kernels.save(make)

    kernels.restore(saved, check)


def test_a_long_set_keeps_its_order(kernels: Kernels) -> None:
    saved = kernels.save(WORDS.format(count=3000) + "s = set(words); t = {'x': [s]}; order = list(s)")

    kernels.restore(saved, "assert list(s) == order and t['x'][0] is s\ns.add('new'); assert len(s) == len(order) + 1")


def test_a_set_keeps_its_order_over_many_pauses(kernels: Kernels) -> None:
    save = {"do": "save", "folder": kernels.folder}
    saved = kernels.save("s = {'alpha', 'beta', 'gamma', 'delta', 'eps'}; order = list(s)")
    for _ in range(3):
        _, saved = kernels.run({"do": "restore", "folder": kernels.folder, "ref": saved["ref"]}, save)

    kernels.restore(saved, "assert list(s) == order")


def test_items_of_the_notebooks_classes_are_not_hashed_once_more(kernels: Kernels) -> None:
    make = (
        "hashed = []\nclass K:\n    def __hash__(self): hashed.append(1); return 5\ns = {K(), 'a', 'b'}; hashed.clear()"
    )
    *_, saved, counted = kernels.run(
        {"do": "run", "cell": make}, {"do": "save", "folder": kernels.folder}, {"do": "run", "cell": "len(hashed)"}
    )

    assert saved["unsaved"] == {}
    # The trial load, which any class with a hash of its own needs, hashes it.
    assert int(counted["result"]) <= 1


@pytest.mark.parametrize("count", [2, 3, 5, 7, 10, 15, 19, 25, 40])
def test_nearly_every_small_set_can_be_built_again(count: int) -> None:
    """A ratio, because a table of which much was taken out can be beyond it; hashes of numbers are the same everywhere."""
    source = random.Random(count)
    agreeing = 0
    for _ in range(100):
        numbers = [source.randrange(10**9) for _ in range(count)]
        made = set(numbers[: count // 2]) | set(numbers[count // 2 :])
        way = set_order._find_way(made, list(made))
        agreeing += way is not None and list(set_order.make_set(set, *way)) == list(made)

    assert agreeing >= 95


def test_the_size_of_a_table_is_what_python_says_it_takes() -> None:
    for count, size in [(0, 8), (4, 8), (5, 32), (18, 32), (20, 128)]:
        made = set()
        for number in range(count):
            made.add(number)
        assert set_order.table_size(made) == size, sys.version


def test_so_many_sets_that_ordering_them_would_take_long_come_back_all_the_same(kernels: Kernels) -> None:
    make = "import random\nlists = [[{str(random.random()) for _ in range(8)} for _ in range(50)] for _ in range(100)]\ncopy = repr(sorted(sorted(s) for l in lists for s in l))"
    saved = kernels.save(make)

    kernels.restore(saved, "assert repr(sorted(sorted(s) for l in lists for s in l)) == copy")
