"""Write a golden snapshot for the Python that runs this: `python tests/data/snapshots/make.py`.

To be run once for each schema and each Python version, with the code that first wrote that schema. What it wrote is never
written again: snapshots of users are as old.
"""

import json
import os
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from pauseflow_nb.kernel import snapshot
from pauseflow_nb.kernel.snapshot.storage.manifest import SCHEMA

HERE = Path(__file__).parent

#: What a cell makes, and what must hold once it is restored.
PYTHON = [
    ("import datetime, decimal, collections, re, types, weakref, uuid, pathlib, logging, contextvars, io, struct, random", "assert re.sub('a', 'b', 'a') == 'b'"),
    ("a1 = {'n': (1, 2**80, 1.5, 'ä', b'x', None), 'd': decimal.Decimal('1.10'), 'u': uuid.UUID(int=5), 'p': pathlib.PurePosixPath('a/b')}", "assert a1['n'][1] == 2**80 and a1['d'] == decimal.Decimal('1.10') and a1['u'].int == 5 and str(a1['p']) == 'a/b'"),
    ("a2 = [a1]; a3 = {1, 2}, frozenset({'x', 'y'}), collections.deque([1], maxlen=3), collections.Counter('aab'), collections.defaultdict(list)", "assert a2[0] is a1 and a3[0] == {1, 2} and a3[1] == {'x', 'y'} and a3[2].maxlen == 3 and a3[3]['a'] == 2 and a3[4]['new'] == []"),
    ("a4 = bytearray(b'0123456789'); a5 = memoryview(a4)[2:6]; a6 = a1.keys(); a7 = types.MappingProxyType(a1); a8 = re.search(r'\\d+', 'a12')", "a4[2] = 65\nassert a5.tobytes() == b'A345' and 'n' in a6 and a7['n'][0] == 1 and a8.group() == '12'"),
    ("class A9:\n    def __init__(self): self.x = 1\n    def up(self): self.x += 1; return self.x\na9 = A9(); a10 = a9.up; a11 = weakref.ref(a9); a12 = weakref.WeakValueDictionary(k=a9); a13 = weakref.ref(A9())", "assert a10() == 2 and a11() is a9 and a12['k'] is a9 and a13() is None and type(a9) is A9"),
    ("a14 = 10\ndef a15(x, *, y=2):\n    global a14\n    a14 += x\n    return a14 + y\na16 = lambda n: 1 if n < 2 else n * a16(n - 1)", "assert a15(1) == 13 and a14 == 11 and a16(5) == 120"),
    ("def a17():\n    n = 0\n    def up():\n        nonlocal n\n        n += 1\n        return n\n    def look(): return n\n    return up, look\na18, a19 = a17(); a18()", "assert a18() == 2 and a19() == 2"),
    ("import functools, abc, enum, dataclasses, typing\n@functools.lru_cache(maxsize=8)\ndef a20(n): return [n]\na21 = functools.partial(a15, y=0)", "assert a20(3) == [3] and a20(3) is a20(3) and a20.cache_parameters()['maxsize'] == 8 and a21.keywords == {'y': 0}"),
    ("class A22(abc.ABC):\n    seen = []\n    def __init_subclass__(cls, **more): A22.seen.append(cls.__name__); super().__init_subclass__(**more)\n    @abc.abstractmethod\n    def f(self): ...\nclass A23(A22):\n    __slots__ = ('s',)\n    @property\n    def p(self): return self.s\n    @staticmethod\n    def st(): return 1\n    @classmethod\n    def cl(cls): return cls\n    @functools.cached_property\n    def c(self): return object()\n    def f(self): return super().f\na23 = A23(); a23.s = 5; a23.t = 6; a24 = a23.c", "assert A22.seen == ['A23'] and a23.p == 5 and a23.t == 6 and a23.c is a24 and A23.cl() is A23 and A23.st() == 1\ntry: A22()\nexcept TypeError: pass\nelse: raise AssertionError"),
    ("class A25(enum.Enum):\n    red = 1\n    rouge = 1\n    blue = 2\n    def shout(self): return self.name.upper()\na25 = A25.blue\nclass A26(enum.IntFlag):\n    r = 1\n    w = 2\na26 = A26.r | A26.w", "assert a25 is A25.blue and A25.rouge is A25.red and a25.shout() == 'BLUE' and A26.r in a26"),
    ("@dataclasses.dataclass(frozen=True, slots=True)\nclass A27:\n    x: int\n    y: list = dataclasses.field(default_factory=list)\nclass A28(typing.NamedTuple):\n    p: int\na27 = A27(1), A28(2)\nA29 = typing.TypeVar('A29', bound=int)\nclass A30(typing.Generic[A29]): pass\nA31 = typing.NewType('A31', int)\na31 = A30[int]", "assert a27 == (A27(1), A28(2)) and A27(3).y == [] and A31(5) == 5 and a31.__origin__ is A30 and dataclasses.fields(A27)[0].name == 'x'"),
    ("class A32(Exception):\n    def __init__(self, a, b): super().__init__(a); self.b = b\ntry:\n    try: 1 / 0\n    except ZeroDivisionError as e: raise A32('x', 7) from e\nexcept A32 as e: a32 = e", "assert a32.b == 7 and type(a32.__cause__) is ZeroDivisionError and a32.__traceback__.tb_lineno and a32.args == ('x',)"),
    ("class A33(dict):\n    def __setitem__(self, k, v): self.count += 1; super().__setitem__(k, v)\na33 = A33(k=1); a33.count = 0; a33['z'] = 2\nclass A34(str): pass\na34 = A34('x'); a34.note = 1\nclass A35(datetime.date): pass\na35 = A35(2026, 1, 2); a35.note = 1", "assert a33 == {'k': 1, 'z': 2} and a33.count == 1 and a34 == 'x' and a34.note == 1 and a35.note == 1 and a35.year == 2026"),
    ("a36 = contextvars.ContextVar('a36', default=1); a36.set(2); a37 = open('/dev/null'); a37.close(); a38 = io.StringIO('abc'); a38.read(1); a39 = struct.Struct('<i'); a40 = random.Random(3); a41 = a40.getstate(); a42 = logging.getLogger('golden')", "assert a36.get() == 2 and a37.closed and a37.name == '/dev/null' and a38.read() == 'bc' and a39.size == 4 and a40.getstate() == a41 and a42 is logging.getLogger('golden')"),
    ("a43 = [[i] for i in range(1500)]; a44 = a43[7]; a45 = type(a15), type(None), types.SimpleNamespace(x=a43[8]); a46 = get_ipython(); a47 = [a46]", "assert len(a43) == 1500 and a43[7] is a44 and a45[0] is type(lambda: 0) and a45[2].x is a43[8] and a47[0] is get_ipython()"),
    ("import sys; a48 = types.ModuleType('made_here'); a48.x = 1; a49 = dataclasses.fields(A27)[0]; a50 = 'x'.join", "assert a48.x == 1 and a49.name == 'x' and a50('ab') == 'axb'"),
    ("import threading; a51 = {'alpha', 'beta', 'gamma', 'delta', 'eps'}; a52 = frozenset(a51); a53 = type(threading.Lock()), type(iter(int, 1)), type(sys.flags); a54 = a20(7); a55 = input", "assert a51 == a52 == {'alpha', 'beta', 'gamma', 'delta', 'eps'} and a53 == (type(threading.Lock()), type(iter(int, 1)), type(sys.flags)) and a20(7) is a54 and callable(a55)"),
]  # fmt: skip

#: The same with numpy and pandas, which may be of another version where it is restored.
LIBRARIES = [
    ("import numpy as np, pandas as pd", "assert np.ones(1).sum() == 1"),
    ("b1 = np.zeros(9000); b2 = b1[5:]; b3 = np.arange(6); b4 = b3[::2]; b5 = np.zeros(3); b5.flags.writeable = False", "b1[5] = 99; b3[2] = 77\nassert b2[0] == 99 and b4[1] == 77 and not b5.flags.writeable"),
    ("b6 = np.array([[1], 'x'], dtype=object); b7 = b6[1:]; b8 = np.ma.array([1, 2], mask=[0, 1]); b9 = np.array([(1, 2.)], dtype=[('i', int), ('f', float)]); b10 = b9['i']; b11 = b9.view(np.recarray)", "b6[1] = 'y'; b9['i'][0] = 5\nassert b7[0] == 'y' and b8.sum() == 1 and b10[0] == 5 and b11.i[0] == 5"),
    ("class B12(np.ndarray): pass\nb12 = np.arange(3).view(B12); b12.note = 1\nclass B13(np.float64): pass\nb13 = B13(2.5); b13.note = 1; b14 = np.random.default_rng(3)", "assert type(b12) is B12 and b12.note == 1 and b13 == 2.5 and b13.note == 1 and 0 <= b14.random() < 1"),
    ("b15 = pd.DataFrame({'a': [1, 2], 's': ['x', None]}); b16 = b15[:]; b17 = b15['a']; b18 = pd.Index(b17); b15.note = 'n'", "b15.loc[0, 'a'] = 9\nassert b15.a[0] == 9 and b16.a[0] == 1 and b17[0] == 1 and b18[0] == 1 and b15.note == 'n'"),
]  # fmt: skip


def main() -> None:
    config = Config()
    config.HistoryManager.enabled = False
    shell: Any = InteractiveShell.instance(config=config)
    snapshot.note_start(shell)
    python = "{}.{}".format(*sys.version_info)
    with (
        tempfile.TemporaryDirectory() as place,
        tarfile.open(HERE / f"schema-{SCHEMA}-python-{python}.tar.xz", "w:xz") as tar,
    ):
        for kind, cells in (("python", PYTHON), ("libraries", LIBRARIES)):
            shell.reset()
            for make, _ in cells:
                shell.run_cell(make, store_history=True).raise_error()
            folder = Path(place, kind)
            saved = snapshot.save(shell, str(folder), execution="golden")
            assert not saved.unsaved, saved.unsaved
            about = {"ref": vars(saved.ref), "checks": [check for _, check in cells]}
            (folder / "about.json").write_text(json.dumps(about))
            tar.add(folder, kind)


if __name__ == "__main__":
    # The working directory is saved with the variables, so it is one that every machine has.
    os.chdir("/")
    main()
