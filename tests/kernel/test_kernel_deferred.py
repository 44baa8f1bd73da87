"""Large variables of a remote store: they come when code mentions them, and cells run before they are there."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pauseflow_nb.errors import SnapshotDamaged, StoreUnavailable
from pauseflow_nb.kernel.snapshot.storage.folder import forget_cache
from pauseflow_nb.protocol import Briefing, SnapshotRef

from .conftest import Kernel
from .gated_store import GATE, URL, GatedStore

np = pytest.importorskip("numpy")

BriefingT = Callable[..., Briefing]
KernelsT = Callable[[], Kernel]

#: In cells: lets the data through.
OPEN = "import fsspec; fsspec.get_filesystem_class('gated').gate.set()"
MAKE = "import numpy as np\nbig = np.arange(600_000); more = np.arange(700_000) * 2; same = big; rows = [1]"


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[GatedStore]]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    GatedStore.start_over()
    yield GatedStore
    GatedStore.start_over()


@pytest.fixture
def woken(new_kernel: KernelsT, briefing: BriefingT) -> Callable[..., Kernel]:
    """Save what cells made, forget what is on this machine, and wake another kernel while no data can be read."""

    def wake(*cells: str, coming: tuple[str, ...] = (), **values: Any) -> Kernel:
        ref = save(new_kernel(), briefing, *cells)
        return begin(new_kernel(), briefing, ref, *coming, **values)

    return wake


def save(kernel: Kernel, briefing: BriefingT, *cells: str) -> SnapshotRef:
    assert kernel.begin(briefing(snapshots=URL)).ready.failure is None
    for source in cells:
        assert kernel.run(source).ok
    return end_step(kernel)


def end_step(kernel: Kernel) -> SnapshotRef:
    ref = kernel.run("%%step a\n0").outcome.snapshot
    assert ref is not None
    return ref


def begin(
    kernel: Kernel, briefing: BriefingT, ref: SnapshotRef, *coming: str, is_open: bool = False, **values: Any
) -> Kernel:
    forget_cache(URL)
    if not is_open:
        GATE.clear()
    GatedStore.reads.clear()
    cells = {str(number): source for number, source in enumerate(coming)}
    ready = kernel.begin(briefing(snapshots=URL, snapshot=ref, coming=cells, **{"may_defer": True, **values})).ready
    assert (ready.failure, ready.losses) == (None, [])
    return kernel


def test_the_first_line_runs_before_the_data_is_there(woken: Callable[..., Kernel]) -> None:
    kernel = woken(MAKE)

    ran = kernel.run(f"%%step b\nflow.export('first', 'line')\n{OPEN}\ntotal = int(big.sum())")

    assert ran.error is None
    assert kernel.names["total"] == 179_999_700_000


def test_a_statement_waits_for_what_it_mentions_and_for_nothing_else(woken: Callable[..., Kernel]) -> None:
    kernel = woken(MAKE)

    assert kernel.run("rows.append(2)").ok
    assert not {"big", "more", "same"} & kernel.names.keys()
    GATE.set()
    assert kernel.run("big[0] = 7\nseen = same[0], same is big").ok
    assert kernel.names["seen"] == (7, True)
    assert "more" not in kernel.names


def test_what_nobody_mentions_is_never_fetched_and_is_saved_by_reference(
    woken: Callable[..., Kernel], new_kernel: KernelsT, briefing: BriefingT
) -> None:
    kernel = woken(MAKE, coming=("rows",))
    kernel.run("rows.append(2)")
    sizes = {name: len(file.getvalue()) for name, file in GatedStore.store.items()}

    ref = end_step(kernel)

    uploaded = sum(len(f.getvalue()) for name, f in GatedStore.store.items() if name not in sizes)
    assert uploaded < 50_000
    assert not [size for _, size in GatedStore.reads if size > 1 << 20]
    later = begin(new_kernel(), briefing, ref)
    GATE.set()
    assert later.run("seen = rows, int(big[-1]), int(more[-1]), same is big").ok
    assert later.names["seen"] == ([1, 2], 599_999, 1_399_998, True)


def test_what_was_brought_and_changed_is_saved_again_and_no_other_chunk_of_it(
    woken: Callable[..., Kernel], new_kernel: KernelsT, briefing: BriefingT
) -> None:
    kernel = woken(MAKE)
    GATE.set()
    assert kernel.run("big[3] = -1").ok
    before = set(GatedStore.store)

    ref = end_step(kernel)

    uploaded = sum(len(f.getvalue()) for name, f in GatedStore.store.items() if name not in before)
    assert uploaded < (1 << 20) + 50_000
    later = begin(new_kernel(), briefing, ref)
    GATE.set()
    assert later.run("seen = int(big[3]), int(big[4]), int(more[4]), same is big").ok
    assert later.names["seen"] == (-1, 4, 8, True)


def test_coming_cells_are_fetched_for_in_their_order(
    woken: Callable[..., Kernel], wait_until: Callable[..., None]
) -> None:
    woken(MAKE, coming=("x = more[0]", "y = big[0]"))
    GATE.set()

    wait_until(lambda: sum(size for _, size in GatedStore.reads) > 10_000_000, description="both came without a cell")


@pytest.mark.slow
@pytest.mark.parametrize(
    "statement",
    [
        "value = globals()['big'][1]",
        "value = eval('gib'[::-1])[1]",
        "exec(']1[gib = eulav'[::-1])",
        "import sys; value = getattr(sys.modules['__main__'], 'gib'[::-1])[1]",
        "import __main__; value = vars(__main__)['gib'[::-1]][1]",
        "value = get_ipython().user_ns['gib'[::-1]][1]",
        "value = 1 if 'gib'[::-1] in dir() else 0",
        "value = 1 if 'gib'[::-1] in vars() else 0",
        "from math import *\nvalue = big[1]",
        "def find():\n    return big[1]\nvalue = find()",
        "value = (lambda: big[1])()",
        "class Box:\n    first = big[1]\nvalue = Box.first",
        "big += 1\nvalue = big[0]",
        "del big\nvalue = 'big' not in globals()",
        "import pandas as pd; one = pd.DataFrame({'x': [1, 2]})\nvalue = len(one.query('x == @big[1]'))",
        "import pandas as pd; one = pd.DataFrame({'x': [1, 2]})\ntext = ']1[gib@ == x'[::-1]\nvalue = len(one.query(text))",
        "import pandas as pd; find = pd.DataFrame({'x': [1, 2]}).query\nvalue = len(find(']1[gib@ == x'[::-1]))",
        "import builtins; value = getattr(builtins, 'eval')(']1[gib'[::-1])",
        "value = getattr(lambda: 0, '__globals__')['gib'[::-1]][1]",
        "%time value = big[1]",
        "value = len([line for line in get_ipython().getoutput('echo $rows')])",
        "%who_ls\nvalue = 1 if 'gib'[::-1] in get_ipython().run_line_magic('who_ls', '') else 0",
        "import inspect\nvalue = inspect.currentframe().f_globals['gib'[::-1]][1]",
        "import timeit\nvalue = timeit.timeit('big[1]', globals=globals(), number=1) > 0",
        "try:\n    value = big[1]\nexcept NameError:\n    value = 0",
        "for big in [big[1]]:\n    value = big",
        "value = sum(each for each in big[:2])",
        "match big[1]:\n    case 1:\n        value = 1",
        "value = f'{big[1]}' == '1'",
        "import asyncio\nasync def find():\n    return big[1]\nvalue = await find()",
        "global big\nvalue = big[1]",
    ],
)
def test_no_variable_is_missing_whatever_looks_for_it(woken: Callable[..., Kernel], statement: str) -> None:
    pytest.importorskip("pandas")
    kernel = woken(MAKE)
    GATE.set()

    ran = kernel.run(statement)

    assert ran.error is None
    assert kernel.names["value"] == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "made",
    [
        "def look():\n    return big[1]",
        "def look():\n    def inner():\n        return big[1]\n    return inner()",
        "look = lambda: big[1]",
        "class Box:\n    def look(self):\n        return big[1]\nlook = Box().look",
        "import functools\nlook = functools.partial((lambda n: big[n]), 1)",
        "def look():\n    return globals()['gib'[::-1]][1]",
        "import sys\ndef look():\n    return getattr(sys.modules['__main__'], 'gib'[::-1])[1]",
        "def look():\n    global big\n    big = big + 0\n    return big[1]",
        "import json\ndef one(text):\n    return big[1]\njson.one = one\ndef look():\n    return json.one('')",
        "def look():\n    import pandas as pd\n    return len(pd.DataFrame({'x': [1, 2]}).query('x == @big[1]'))",
    ],
)
def test_a_function_of_the_notebook_finds_what_it_reads(woken: Callable[..., Kernel], made: str) -> None:
    pytest.importorskip("pandas")

    kernel = woken(MAKE, made, is_open=True)

    assert kernel.run("value = look()").error is None
    assert kernel.names["value"] == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("made", "seen"),
    [
        ("every = globals()", "value = every['gib'[::-1]][1]"),
        ("run = eval", "value = run(']1[gib'[::-1])"),
        ("import builtins\nrun = builtins.exec", "run(']1[gib = eulav'[::-1])"),
        ("shell = get_ipython()", "value = shell.ev(']1[gib'[::-1])"),
        ("shell = get_ipython()", "shell.ex(']1[gib = eulav'[::-1])"),
        ("import __main__ as main", "value = getattr(main, 'gib'[::-1])[1]"),
    ],
)
def test_another_name_for_what_finds_all_variables_finds_them(
    woken: Callable[..., Kernel], made: str, seen: str
) -> None:
    kernel = woken(MAKE, made)
    GATE.set()

    assert kernel.run(seen).error is None
    assert kernel.names["value"] == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("made", "seen"),
    [
        ("part = big[10:]", "part[0] = -5; value = int(big[10]) == -5 and more[1] == 2"),
        (
            "import pandas as pd\ntable = pd.DataFrame({'x': big})",
            "value = len(table) + int(table.x.iloc[-1]) == 1_199_999",
        ),
        ("text = 'ab' * 3_000_000; alias = text", "value = alias is text and len(text) == 6_000_000"),
        ("pair = {'big': big, 'n': 1}", "value = pair['big'] is big and pair['big'] is same"),
        ("class Own:\n    def __init__(self): self.data = big\nown = Own()", "value = own.data is big"),
        ("filter = np.arange(3_000_000)", "value = int(filter[-1]) == 2_999_999"),
        ("frozen = np.arange(3_000_000); frozen.flags.writeable = False", "value = not frozen.flags.writeable"),
    ],
)
def test_what_belongs_together_comes_together(woken: Callable[..., Kernel], made: str, seen: str) -> None:
    pytest.importorskip("pandas")
    kernel = woken(MAKE, made, is_open=True)

    assert kernel.run(seen).error is None
    assert kernel.names["value"]


def test_a_statement_that_is_replayed_finds_what_it_reads(new_kernel: KernelsT, briefing: BriefingT) -> None:
    passed = {"0": "import threading; lock = (threading.Lock(), big)"}
    first = new_kernel()
    assert (
        first.begin(
            briefing(snapshots=URL, coming={"2": "lock[1]"}, passed={"0": MAKE, "1": passed["0"]})
        ).ready.failure
        is None
    )
    assert first.run(MAKE).ok
    assert first.run(passed["0"]).ok
    ref = end_step(first)

    kernel = begin(new_kernel(), briefing, ref, "lock[1]", is_open=True)

    assert kernel.run("value = lock[1] is big").error is None


def test_a_setup_that_binds_the_name_does_not_hide_the_later_value(new_kernel: KernelsT, briefing: BriefingT) -> None:
    setup = "%%setup\nimport numpy as np\nbig = None"
    ref = save(new_kernel(), briefing, setup, MAKE)
    kernel = begin(new_kernel(), briefing, ref, is_open=True)

    assert kernel.run(setup).ok
    kernel.run("get_ipython().pauseflow.settle_names()", silent=True)

    assert kernel.run("value = int(big[-1])").error is None
    assert kernel.names["value"] == 599_999


def test_a_setup_that_only_reads_a_variable_does_not_make_it_its_own(
    woken: Callable[..., Kernel], new_kernel: KernelsT, briefing: BriefingT
) -> None:
    kernel = woken(MAKE)
    GATE.set()
    assert kernel.run("%%setup\nlength = len(big)").ok

    ref = end_step(kernel)

    later = begin(new_kernel(), briefing, ref, is_open=True)
    assert later.run("value = int(big[-1])").error is None


def test_everything_is_there_before_the_first_cell_if_all_is_to_be_checked(woken: Callable[..., Kernel]) -> None:
    kernel = woken(MAKE, is_open=True, may_defer=False)

    assert {"big", "more", "same"} <= kernel.names.keys()


def test_a_store_that_fails_stops_the_cell_and_later_goes_on(woken: Callable[..., Kernel]) -> None:
    kernel = woken(MAKE)
    GATE.set()
    GatedStore.problem = OSError("500 Internal Server Error")

    ran = kernel.run("%%step b\ntry:\n    total = big.sum()\nexcept Exception:\n    total = None")

    assert isinstance(ran.error, StoreUnavailable)
    assert "500 Internal Server Error" in str(ran.error)
    assert ran.outcome.kind == "failed"
    assert ran.outcome.failure is not None
    assert ran.outcome.failure.type == "StoreUnavailable"
    assert "total" not in kernel.names
    GatedStore.problem = None
    assert kernel.run("total = int(big.sum())").error is None


def test_data_that_was_changed_in_the_store_is_never_loaded(woken: Callable[..., Kernel]) -> None:
    kernel = woken(MAKE)
    for name, file in GatedStore.store.items():
        if name.endswith(".pack") and len(file.getbuffer()) > 1 << 20:
            file.getbuffer()[3 << 20] ^= 1
    GATE.set()

    errors = [kernel.run(f"value = int({name}[5])").error for name in ("big", "more")]

    damaged = [error for error in errors if error is not None]
    assert [type(error) for error in damaged] == [SnapshotDamaged]
    assert "are not what was written" in str(damaged[0])


def test_a_missing_pack_is_found_before_any_cell_runs(new_kernel: KernelsT, briefing: BriefingT) -> None:
    ref = save(new_kernel(), briefing, MAKE)
    forget_cache(URL)
    for name in [name for name in GatedStore.store if name.endswith(".pack")]:
        del GatedStore.store[name]

    ready = new_kernel().begin(briefing(snapshots=URL, snapshot=ref, is_checked=True, may_defer=True)).ready

    assert ready.failure is not None
    assert "is missing from gated://" in ready.failure.message


def test_a_part_of_the_cache_that_was_damaged_is_fetched_again(
    new_kernel: KernelsT, briefing: BriefingT, tmp_path: Path
) -> None:
    ref = save(new_kernel(), briefing, MAKE)
    first = begin(new_kernel(), briefing, ref, is_open=True)
    assert first.run("value = int(big[5] + more[5])").ok
    for path in (tmp_path / "cache").rglob("*.sparse"):
        path.write_bytes(b"\1" * path.stat().st_size)

    again = new_kernel()
    assert again.begin(briefing(snapshots=URL, snapshot=ref, is_checked=True, may_defer=True)).ready.failure is None

    assert again.run("value = int(big[5] + more[5])").error is None
    assert again.names["value"] == 15


def test_what_was_fetched_once_is_not_fetched_again(new_kernel: KernelsT, briefing: BriefingT) -> None:
    ref = save(new_kernel(), briefing, MAKE)
    first = begin(new_kernel(), briefing, ref, is_open=True)
    assert first.run("value = int(big[5] + more[5])").ok
    GatedStore.reads.clear()

    again = new_kernel()
    assert again.begin(briefing(snapshots=URL, snapshot=ref, is_checked=True, may_defer=True)).ready.failure is None

    assert again.run("value = int(big[5] + more[5])").ok
    assert GatedStore.reads == []
