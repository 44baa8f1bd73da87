"""What becomes of variables that cannot be saved: left out, replayed or lost; and what later cells need."""

from typing import Any

import pytest
from kernel_snapshot.conftest import Kernels, cell

from pauseflow_nb.kernel.snapshot.recovery.dependencies import find_needed_names

LOCK = "import threading\nlock = threading.Lock()"


def fate(saved: dict[str, Any], name: str) -> str:
    return str(saved["unsaved"][name]["fate"])


def test_what_no_coming_cell_needs_is_left_out(kernels: Kernels) -> None:
    saved = kernels.save(LOCK, "x = 1", coming={"2": "print(x)"})

    assert fate(saved, "lock") == "left out"


def test_what_a_function_of_the_notebook_uses_is_needed(kernels: Kernels) -> None:
    cells = ["%%step a\n" + LOCK, "def inner(): return lock\nclass C:\n    def m(self): return inner()\nc = C()"]

    saved = kernels.save(*[source.removeprefix("%%step a\n") for source in cells], coming={"2": "c.m()"})

    assert fate(saved, "lock") == "lost"


def test_dynamic_access_takes_the_safe_side_and_says_so(kernels: Kernels) -> None:
    saved = kernels.save(LOCK, coming={"4": "print(eval('lo' + 'ck'))"})

    assert fate(saved, "lock") == "lost"
    assert saved["notes"] == ["cell 5 uses eval(), which may read any variable"]


def test_statements_of_plain_cells_are_replayed(kernels: Kernels) -> None:
    cells = {
        "0": "import sqlite3\npath = 'data.db'",
        "1": "print('once')\ndb = sqlite3.connect(path)\ndb.execute('create table if not exists t(a)')\nrows = []",
    }

    saved = kernels.save(*cells.values(), passed=cells, coming={"3": "db.execute('select * from t')"})

    assert fate(saved, "db") == "replayed"
    assert saved["unsaved"]["db"]["cell"] == 1
    restored = kernels.restore(saved, "assert list(db.execute('select * from t')) == []")
    assert restored["unrestored"] == {}


def test_variables_from_the_same_statements_belong_together_again(kernels: Kernels) -> None:
    cells = {"0": "import threading\na = b = threading.Lock()"}

    saved = kernels.save(*cells.values(), passed=cells, coming={"1": "a, b"})

    kernels.restore(saved, "assert a is b")


def test_nothing_that_a_step_made_is_replayed(kernels: Kernels) -> None:
    plain = {"1": "import threading\nlock = threading.Lock()"}
    step = "'%%step make'\nimport threading\nlock = threading.Lock()"

    saved = kernels.save(plain["1"], step, passed=plain, coming={"3": "lock"})

    assert fate(saved, "lock") == "lost"


def test_what_a_step_put_into_a_container_is_not_replayed_without_it(kernels: Kernels) -> None:
    plain = {"0": "import threading\nmade = {'first': threading.Lock()}", "1": "%%step a\nmade['second'] = 2"}

    saved = kernels.save(plain["0"], "made['second'] = 2", passed=plain, coming={"2": "made"})

    assert fate(saved, "made") == "lost"


ACCOUNT = (
    "import queue, sqlite3, tempfile, threading\nclass Account:\n    def __init__(self): self.lock = threading.Lock(); self.sum = 0\n"
    "    def pay(self): self.sum += 1\n    def show(self):\n        with self.lock: return self.sum"
)
#: A plain cell that makes `x`, and what another cell does with it, which its statement would not do again.
CHANGES = {
    "a method, in a step": ("x = Account()", "%%step a\nx.pay()"),
    "an attribute, in a step": ("x = Account()", "%%step a\nx.sum = 5"),
    "a method whose result is kept": ("x = Account()", "result = x.pay()"),
    "a method in a comprehension": ("x = Account()", "results = [x.pay() for _ in range(2)]"),
    "a function that reads it": ("x = Account()\ndef pay(): x.pay()", "pay()"),
    "a function that gets it in a step": ("x = Account()\ndef pay(account): account.sum += 1", "%%step a\npay(x)"),
    "a handler of a step": ("x = Account()", "%%step a\ndef handler(pd): x.pay()"),
    "another name": ("x = Account()", "y = x\ny.pay()"),
    "an item under another name": ("x = {'a': Account()}", "y = x['a']\ny.pay()"),
    "an item, in a step": ("x = [Account()]", "%%step a\nx[0].pay()"),
    "a queue": ("x = queue.Queue()", "%%step a\nx.put(1)"),
    "a queue under another name": ("x = queue.Queue()", "y = x\ny.put(1)"),
    "an event": ("x = threading.Event()", "%%step a\nx.set()"),
    "a lock that is held": ("x = threading.Lock()", "%%step a\nx.acquire()"),
    "a database in memory": ("x = sqlite3.connect(':memory:')", "%%step a\nx.execute('create table t(a)')"),
    "a transaction that is not committed": (
        "x = sqlite3.connect('x.db')\nx.execute('create table t(a)')",
        "x.execute('insert into t values (1)')",
    ),
    "a folder": (
        "x = tempfile.TemporaryDirectory()",
        "%%step a\nopen(x.name + '/a', 'w').close()",
    ),
    "a database that an own object holds": (
        "class Box:\n    def __init__(self): self.db = sqlite3.connect('x.db')\nx = Box()",
        "x.db.execute('create table t(a)'); x.db.commit()",
    ),
    "data of a thread": ("x = threading.local()", "%%step a\nx.a = 1"),
}


def _with_account(make: str, change: str, kernels: Kernels) -> dict[str, Any]:
    plain, _, step = change.rpartition("%%step a\n")
    cells = {"0": ACCOUNT, "1": make, "2": change}
    return kernels.save(ACCOUNT, make, plain + step, passed=cells, coming={"3": "x"})


@pytest.mark.parametrize("what", CHANGES)
def test_what_something_else_has_changed_is_not_replayed_without_it(what: str, kernels: Kernels) -> None:
    saved = _with_account(*CHANGES[what], kernels)

    assert fate(saved, "x") == "lost"


#: What leaves `x` as its statement makes it, or as all its statements make it.
REPLAYS = {
    "a method of a class that changes nothing": (
        "class Client:\n    def __init__(self): self.lock = threading.Lock()\n    def get(self):\n        with self.lock: return 1\nx = Client()",
        "%%step a\nx.get()",
        "x.get() == 1",
    ),
    "what only reads": ("x = Account()", "%%step a\nprint(x, x.sum + 1, f'{x.sum}')", "x.sum == 0"),
    "its lock": ("x = Account()", "%%step a\nwith x.lock: pass", "x.sum == 0"),
    "a method, in a plain cell": ("x = Account()", "x.pay()", "x.sum == 1"),
    "a function that nobody called": ("x = Account()\ndef pay(): x.pay()", "None", "x.sum == 0"),
    "an empty queue": ("x = queue.Queue()", "x.put(2)", "x.get_nowait() == 2"),
    "a lock": ("x = threading.Lock()", "%%step a\nwith x: pass", "not x.locked()"),
    "a database in memory": (
        "x = sqlite3.connect(':memory:')",
        "x.execute('create table t(a)')",
        "list(x.execute('select * from t')) == []",
    ),
    "a database": (
        "x = sqlite3.connect('x.db')",
        "x.execute('create table t(a)'); x.execute('insert into t values (1)'); x.commit()\nx.create_function('two', 0, lambda: 2)",
        "list(x.execute('select a, two() from t')) == [(1, 2)]",
    ),
    "databases in a dict": (
        "x = {'a': sqlite3.connect('x.db')}",
        "x['a'].execute('create table if not exists t(a)'); x['a'].execute('insert into t values (1)'); x['a'].commit()",
        "list(x['a'].execute('select a from t')) == [(1,)]",
    ),
    "a database, in a step": (
        "x = sqlite3.connect('x.db')",
        "%%step a\nx.execute('create table t(a)'); x.commit()",
        "list(x.execute('select a from t')) == []",
    ),
}


@pytest.mark.parametrize("what", REPLAYS)
def test_what_is_as_its_statements_made_it_is_replayed(what: str, kernels: Kernels) -> None:
    make, change, check = REPLAYS[what]

    saved = _with_account(make, change, kernels)

    assert fate(saved, "x") == "replayed"
    kernels.restore(saved, f"assert {check}")


def test_a_replay_needs_what_it_read_as_it_was(kernels: Kernels) -> None:
    changed = {"0": "import sqlite3\npath = 'a.db'", "1": "db = sqlite3.connect(path)", "2": "path = 'b.db'"}

    saved = kernels.save(*changed.values(), passed=changed, coming={"3": "db"})

    check = "assert path == 'b.db' and db.execute('pragma database_list').fetchone()[2].endswith('a.db')"
    kernels.restore(saved, check)


def test_a_generator_that_was_begun_is_not_replayed(kernels: Kernels) -> None:
    cells = {"0": "g = (n for n in range(3))", "1": "first = next(g)"}

    saved = kernels.save(*cells.values(), passed=cells, coming={"2": "next(g)"})

    assert fate(saved, "g") == "lost"


def test_a_replay_that_depends_on_a_setup_waits_for_it(kernels: Kernels) -> None:
    setup = "import threading\nmake = threading.Lock"
    plain = {"1": "lock = make()"}
    saved = kernels.save(setup, plain["1"], passed=plain, coming={"2": "lock"}, remade=["threading", "make"])
    restore = {"do": "restore", "folder": kernels.folder, "ref": saved["ref"]}
    put_back = {"do": "put_back", "bound_by_setup": ["threading", "make"]}

    _, early, *_, late = kernels.run(restore, cell("lock"), cell(setup), put_back, cell("lock.locked()"))

    assert "NameError" in early["error"]
    assert late["error"] is None


def test_earlier_results_come_back_where_a_coming_cell_reads_them(kernels: Kernels) -> None:
    reads = "assert (_, __, _1, Out[3], _oh is Out) == ({3: 4}, [1, 2], [1, 2], {3: 4}, True)"
    saved = kernels.save("[1, 2]", "x = Out[1]", "{3: 4}", "5;", coming={"4": f"{reads}; assert _1 is x", "5": "_"})
    unread = kernels.save("[1, 2]", coming={"1": "for _ in 'ab': print(x._1)"})
    lost = kernels.save("import threading; threading.Lock()", coming={"1": "_.locked()"})

    assert saved["unsaved"] == {}
    kernels.restore(
        saved, f"{reads}; assert _1 is x", "6", "assert (_, __, ___) == (6, {3: 4}, [1, 2]) and Out[1] is x"
    )
    assert "Out" not in kernels.restore(unread, "assert Out == {}")["names"]
    assert fate(lost, "_") == "lost"


def test_strict_names_variable_type_cell_and_way_out(kernels: Kernels) -> None:
    raised = kernels.save("import threading\nx = [threading.Lock()]", strict=True, passed={}, coming={"1": "x"})

    assert raised["raised"] == "Unsaveable"
    assert "'x' (list)" in raised["message"]
    assert "x[0] is a _thread.lock" in raised["message"]
    assert "%%setup" in raised["message"]


def test_strict_lets_pass_what_is_not_needed(kernels: Kernels) -> None:
    saved = kernels.save(LOCK, strict=True, coming={"1": "print(1)"})

    assert fate(saved, "lock") == "left out"


def test_one_bad_variable_takes_no_other_down(kernels: Kernels) -> None:
    saved = kernels.save(LOCK, "def uses(l=lock): return 1\ndef fine(): return 2\nx = [fine]\ny = [uses]")

    assert set(saved["unsaved"]) == {"lock", "uses", "y"}
    kernels.restore(saved, "assert x[0]() == 2 and x[0] is fine")


@pytest.mark.parametrize("asked", ["name", "'__module__'", "'__name__'", "'__qualname__'", "'__mro__'"])
def test_a_metaclass_that_raises_takes_no_other_down(kernels: Kernels, asked: str) -> None:
    meta = (
        "class Meta(type):\n    def __getattribute__(cls, name):\n"
        f"        if is_armed and name == {asked}: raise RuntimeError(name)\n"
        "        return type.__getattribute__(cls, name)\n"
        "is_armed = False\nclass Odd(metaclass=Meta): pass\nodd = Odd(); odds = [odd]; is_armed = True"
    )
    shared = "open('beside_odd.py', 'w').write('CONFIG = {}')\nimport sys; sys.path.insert(0, '.')"

    saved = kernels.save(shared, "from beside_odd import CONFIG; CONFIG['a'] = 1", "n = 5; rows = [[1]] * 2", meta)

    assert set(saved["unsaved"]) <= {"Odd", "odd", "odds"}
    kernels.restore(saved, "import beside_odd; assert n == 5 and rows == [[1]] * 2 and beside_odd.CONFIG is CONFIG")


def test_what_cannot_be_loaded_again_is_found_while_saving(kernels: Kernels) -> None:
    bad = "class Bad:\n    def __reduce__(self): return int, ('no number',)\nbad = Bad(); good = 1"

    saved = kernels.save(bad)

    assert "could not be loaded again" in saved["unsaved"]["bad"]["reason"]
    kernels.restore(saved, "assert good == 1")


HOLDERS = """
import collections, functools, weakref, numpy as np
q = collections.deque([lambda: x])
d = collections.defaultdict(lambda: x)
m = map(lambda _: x, [1])
class S: __slots__ = ("f", "__weakref__")
s = S(); s.f = lambda: x
arr = np.array([lambda: x], dtype=object)
w = weakref.ref(s)
class K:
    @functools.cached_property
    def p(self): return x
k = K()
"""


@pytest.mark.parametrize(
    ("coming", "names"),
    [
        ("x = 1\nprint(x)", set()),
        ("if c:\n    x = 1\nprint(x)", {"x", "c"}),
        ("x += 1", {"x"}),
        ("f'{x}'", {"x"}),
        ("[x for y in range(3)]", {"x"}),
        ("def g(): return x", {"x"}),
        ("f()", {"f", "x"}),
        ("!echo {x}", {"x"}),
        ("%%time\nx", {"x"}),
        ("%%step again --retries 1\nx", {"x"}),
        ("c.query('a > @x')", {"c", "x"}),
        ("del x", {"x"}),
        ("c.execute('select * from x')", {"c", "x"}),
        ("%%timeit -n 3 x\nc", {"x", "c"}),
        ("q[0]()", {"q", "x"}),
        ("d['k']", {"d", "x"}),
        ("m", {"m", "x"}),
        ("s.f", {"s", "x"}),
        ("arr[0]()", {"arr", "x"}),
        ("w", {"w", "x"}),
        ("k", {"k", "x"}),
    ],
)
def test_needed_names(coming: str, names: set[str]) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__", "x": 1, "c": 2}
    exec("def f(): return x", namespace)
    exec(HOLDERS, namespace)

    assert find_needed_names({"0": coming}, namespace).names == names


@pytest.mark.parametrize(
    "source",
    [
        "%run other.py",
        "globals()['x']",
        "get_ipython().user_ns",
        "not python (",
        "f.__globals__",
        "sys.modules['__main__']",
    ],
)
def test_what_may_need_anything(source: str) -> None:
    needed = find_needed_names({"0": source}, {"x": 1})

    assert needed.needs("x")
    assert "cell 1 uses" in needed.because
