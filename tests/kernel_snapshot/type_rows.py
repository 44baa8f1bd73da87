"""The types that snapshots are tested with: how to make one, and what must hold in the next kernel.

Every row also stands in the table of docs/reference/types.md.
"""

from dataclasses import dataclass

RESTORED = "restored"
REFUSED = "not saved, with the reason"
REPLAYED = "rebuilt by replay of its statement"
LEFT_OUT = "left out, with the reason"


@dataclass(frozen=True)
class Row:
    group: str
    what: str
    make: str
    #: Statements that hold after the restore; for a refused one, a part of the reason.
    check: str
    outcome: str = RESTORED
    #: Libraries that must be there, and that make the process slow to start.
    needs: tuple[str, ...] = ()


def _rows(group: str, *rows: tuple[str, str, str], needs: tuple[str, ...] = ()) -> list[Row]:
    return [Row(group, what, make, check, needs=needs) for what, make, check in rows]


def _refused(group: str, *rows: tuple[str, str, str], needs: tuple[str, ...] = ()) -> list[Row]:
    return [Row(group, what, make, check, REFUSED, needs) for what, make, check in rows]


def _replayed(group: str, *rows: tuple[str, str, str]) -> list[Row]:
    return [Row(group, what, make, check, REPLAYED) for what, make, check in rows]


PLAIN = _rows(
    "Plain values",
    ("numbers, text, bytes, big integers, complex", "p1 = (1, 2**4000, 1.5, 2+3j, 'ä', b'x', None, True)", "assert p1 == (1, 2**4000, 1.5, 2+3j, 'ä', b'x', None, True)"),
    ("a bytearray, ranges and slices", "p2 = [bytearray(b'abc'), range(3, 9, 2), slice(1, None)]", "assert p2 == [bytearray(b'abc'), range(3, 9, 2), slice(1, None)]"),
    ("decimals, fractions, UUIDs, paths", "import decimal, fractions, uuid, pathlib\np3 = [decimal.Decimal('1.10'), fractions.Fraction(1, 3), uuid.UUID(int=5), pathlib.Path('a/b')]", "assert p3 == [decimal.Decimal('1.10'), fractions.Fraction(1, 3), uuid.UUID(int=5), pathlib.Path('a/b')]"),
    ("dates and times with zones", "import datetime, zoneinfo\np4 = datetime.datetime(2026, 1, 2, tzinfo=zoneinfo.ZoneInfo('Europe/Berlin'))", "assert p4.utcoffset() == datetime.timedelta(hours=1) and p4.tzinfo is zoneinfo.ZoneInfo('Europe/Berlin')"),
    ("dicts (in their order), sets, deques, Counters, defaultdicts", "import collections\np5 = [{'b': 1, 'a': 2}, {1, 2}, collections.deque([1], maxlen=3), collections.Counter('aab'), collections.defaultdict(list, a=[1])]", "assert list(p5[0]) == ['b', 'a'] and p5[1] == {1, 2} and p5[2].maxlen == 3 and p5[3]['a'] == 2 and p5[4]['new'] == []"),
    ("regular expressions and their matches", "import re\np6 = re.compile(r'(?P<n>\\d+)', re.I)\np7 = list(p6.finditer('a1 b22'))[1]", "assert p6.flags & re.I and p7['n'] == '22' and p7.span() == (4, 6)"),
    ("a memoryview of a bytearray variable, still a view of it", "p8 = bytearray(b'0123456789')\np9 = memoryview(p8)[2:6]", "p8[2] = 65\nassert p9.tobytes() == b'A345' and not p9.readonly"),
    ("live views of dicts", "p10 = {'a': 1}\np11 = p10.keys()\nimport types\np12 = types.MappingProxyType(p10)", "p10['b'] = 2\nassert 'b' in p11 and p12['b'] == 2"),
    ("iterators of lists, where they stand", "p13 = iter([1, 2, 3]); next(p13)", "assert list(p13) == [2, 3]"),
    ("StringIO and BytesIO, where they stand", "import io\np14 = io.StringIO('abc'); p14.read(1)", "assert p14.read() == 'bc'"),
    ("a closed file", "with open('closed.txt', 'w') as p15: p15.write('x')", "assert p15.closed and p15.name == 'closed.txt' and p15.mode == 'w' and open('closed.txt').read() == 'x'"),
    ("array.array and struct.Struct", "import array, struct\np16 = array.array('d', [1, 2]); p17 = struct.Struct('<ih')", "assert list(p16) == [1, 2] and p17.pack(1, 2) == struct.pack('<ih', 1, 2)"),
    ("context variables with their value", "import contextvars\np18 = contextvars.ContextVar('p18', default=5); p19 = contextvars.ContextVar('p19'); p19.set([1])", "assert p18.get() == 5 and p18.name == 'p18'"),
    ("text and bytes of a megabyte", "p20 = 'x' * 1_500_000; p21 = b'y' * 1_500_000; p22 = [p20]", "assert len(p20) == 1_500_000 and p21[-1] == 121 and p22[0] is p20"),
    ("IPython's names, where a cell binds them to something else", "from gettext import gettext as _\n__file__ = 'mine.ipynb'; _3 = 'three'; Out = {1: 'x'}; In = ['y']", "assert _('p') == 'p' and __file__ == 'mine.ipynb' and _3 == 'three' and Out == {1: 'x'} and In == ['y']"),
)  # fmt: skip

SHARING = _rows(
    "Identity and sharing",
    ("one object in two variables", "s1 = [1]; s2 = {'k': s1}", "assert s2['k'] is s1"),
    ("structures that contain themselves", "s3 = []; s3.append(s3); s4 = {}; s4['me'] = s4", "assert s3[0] is s3 and s4['me'] is s4"),
    ("deep structures of all kinds, which two variables share", "class S61:\n    def __init__(self, to): self.to = to\nimport collections\ns61 = [lambda: s62, (1, 2.5, 'x', b'y', {3}, True)]; s62 = s61[1]\nfor _ in range(30_000): s61 = S61({'a': (s61, None), 's': collections.OrderedDict(b=[s61])})", "n, x = 0, s61\nwhile isinstance(x, S61):\n    assert x.to['a'][0] is x.to['s']['b'][0]; n, x = n + 1, x.to['a'][0]\nassert n == 30_000 and x[0]() is s62 is x[1] and s62 == (1, 2.5, 'x', b'y', {3}, True) and s62[5] is True"),
    ("a chain of a hundred thousand objects", "s5 = None\nfor _ in range(100_000): s5 = [s5]", "n, x = 0, s5\nwhile x is not None: n, x = n + 1, x[0]\nassert n == 100_000"),
    ("weak references", "import weakref\nclass S6: pass\ns6 = S6(); s7 = weakref.ref(s6); s8 = weakref.WeakValueDictionary(a=s6); s9 = weakref.proxy(s6)", "assert s7() is s6 and s8['a'] is s6 and type(s9) is weakref.ProxyType"),
    ("a weak reference whose object is gone", "s10 = weakref.ref(S6())", "assert s10() is None"),
    ("bound methods, of your own objects and of built-in ones", "s11 = [1]; s12 = s11.append\nclass S13:\n    def m(self): return self\ns13 = S13(); s14 = s13.m", "s12(2)\nassert s11 == [1, 2] and s14() is s13"),
    ("what was imported by name is the module's own", "from random import choice as s15, seed as s16\nfrom sys import path as s17\nfrom os import environ as s18", "import random, sys, os\nassert s15.__self__ is random.shuffle.__self__ and s17 is sys.path and s18 is os.environ"),
    ("modules, also under another name", "import os.path as s19; import json as s20", "import json, posixpath\nassert s19 is posixpath and s20 is json"),
    ("packages with the modules in them that were imported", "import xml.dom.minidom, concurrent.futures", "assert xml.dom.minidom.parseString('<a/>') and concurrent.futures.Future"),
    ("the namespace itself", "s25 = globals()", "s26 = 1\nassert s25 is globals() and s25['s26'] == 1"),
    ("a module that lies beside the notebook", "open('s27_beside.py', 'w').write('class K:\\n    n = 5\\ndef f(): return K')\nimport sys; sys.path.insert(0, '.')\nimport s27_beside as s28; s29 = s28.K(); s30 = s28.f", "assert s29.n == 5 and type(s29) is s28.K and s30() is s28.K"),
    ("what variables share with a module beside the notebook, as cells changed it", "open('s40_beside.py', 'w').write('CONFIG = {}\\nclass K: pass\\nk = K()\\nMARK = object()\\ndef f(): return CONFIG, k, MARK')\nimport importlib, s40_beside as s40; from s40_beside import CONFIG as s51, MARK as s52, f as s53; s54 = s40.k; s51['rate'] = 2; s54.n = [s51]", "assert s51 == {'rate': 2} and s53()[0] is s51 and s40.CONFIG is s51 and s54.n[0] is s51 and s53()[1] is s54 and s53()[2] is s52"),
    ("loggers", "import logging\ns21 = logging.getLogger('a.b')", "assert s21 is logging.getLogger('a.b')"),
    ("a Random of your own, with its state", "import random\ns22 = random.Random(3); s22.random(); s23 = random.Random(3); s23.random(); s24 = s23.random()", "assert s22.random() == s24"),
    ("attributes that a cell set on a Random or a Counter", "import random, collections\ns41 = random.Random(1); s41.note = ['x']; s42 = collections.Counter('aab'); s42.note = s41.note", "assert s42.note is s41.note == ['x'] and s42['a'] == 2"),
    ("a Random of your own, beside Python's own", "s31 = [random.Random(1), random.choice, random._inst]", "import random\nrandom.seed(1); a = random.choice(range(10**9)); random.seed(1)\nassert s31[1](range(10**9)) == a and s31[2] is random._inst"),
    ("objects that a library compares with `is`, such as dataclasses.MISSING", "import dataclasses, functools, inspect\ns32 = [dataclasses.MISSING, dataclasses.KW_ONLY, functools._initial_missing, inspect.Parameter.empty]; s33 = object(); s34 = [s33]", "import dataclasses, functools, inspect\nassert s32[0] is dataclasses.MISSING and s32[1] is dataclasses.KW_ONLY and s32[2] is functools._initial_missing and s32[3] is inspect.Parameter.empty and s34[0] is s33"),
)  # fmt: skip

CODE = _rows(
    "Functions and classes",
    ("functions see later changes of globals", "c1 = 1\ndef c2(): return c1", "c1 = 7\nassert c2() == 7 and c2.__globals__ is globals()"),
    ("two functions that share a global they change", "c3 = 0\ndef c4():\n    global c3\n    c3 += 1\ndef c5(): return c3", "c4()\nassert c5() == 1 and c3 == 1"),
    ("closures that share a nonlocal variable", "def c6():\n    n = 0\n    def up():\n        nonlocal n\n        n += 1\n    def get(): return n\n    return up, get\nc7, c8 = c6(); c7()", "c7()\nassert c8() == 2"),
    ("recursive functions and lambdas", "c9 = lambda n: 1 if n == 0 else n * c9(n - 1)", "assert c9(5) == 120"),
    ("decorated functions, partial, keyword defaults", "import functools\ndef c10(f):\n    @functools.wraps(f)\n    def inner(*a, **k): return f(*a, **k) + 1\n    return inner\n@c10\ndef c11(a, *, b=2): return a + b\nc12 = functools.partial(c11, 1, b=5)", "assert c11(1) == 4 and c12() == 7 and c11.__name__ == 'c11'"),
    ("lru_cache with its contents, singledispatch", "@functools.lru_cache(maxsize=7)\ndef c13(n): return n * 2\nc13(4)\n@functools.singledispatch\ndef c14(x): return 'any'\n@c14.register\ndef _(x: int): return 'int'", "assert c13.cache_info().currsize == 1 and c13(4) == 8 and c13.cache_info().hits == 1 and c13.cache_parameters()['maxsize'] == 7 and c14(1) == 'int' and c14('') == 'any'"),
    ("generator functions and async functions (not yet running)", "def c15(): yield 1\nasync def c16(): return 2", "import asyncio\nassert list(c15()) == [1]\nloop = asyncio.new_event_loop(); assert loop.run_until_complete(c16()) == 2; loop.close()"),
    ("the text of functions, for tracebacks and getsource", "def c17():\n    return 'see me'", "import inspect\nassert \"return 'see me'\" in inspect.getsource(c17)"),
    ("classes with inheritance and super()", "class C18:\n    def m(self): return 'base'\nclass C19(C18):\n    def m(self): return super().m() + '+'\nc19 = C19()", "assert c19.m() == 'base+' and isinstance(c19, C18) and type(c19) is C19"),
    ("properties, class methods, static methods, cached properties", "class C20:\n    n = 1\n    @property\n    def p(self): return self.n\n    @classmethod\n    def c(cls): return cls\n    @staticmethod\n    def s(): return 3\n    @functools.cached_property\n    def cp(self): return [self.n]\nc20 = C20(); c20.cp", "assert c20.p == 1 and c20.c() is C20 and c20.s() == 3 and c20.cp == [1] and C20().cp == [1]"),
    ("slots", "class C21:\n    __slots__ = ('a', '__b')\n    def __init__(self): self.a = 1; self.__b = 2\n    def b(self): return self.__b\nc21 = C21()", "assert c21.a == 1 and c21.b() == 2 and not hasattr(c21, '__dict__')"),
    ("a metaclass, and a class hook that registers", "class C22(type):\n    made = []\n    def __init__(cls, *a, **k): super().__init__(*a); C22.made.append(cls.__name__)\nclass C23(metaclass=C22): pass\nclass C24:\n    known = []\n    def __init_subclass__(cls, *, key): cls.key = key; C24.known.append(cls)\nclass C25(C24, key=5): pass", "assert C22.made == ['C23'] and type(C23) is C22 and C24.known == [C25] and C25.key == 5"),
    ("abstract classes, protocols, registered ones", "import abc, typing\nclass C26(abc.ABC):\n    @abc.abstractmethod\n    def m(self): ...\nclass C27(C26):\n    def m(self): return 1\nC26.register(int)\nclass C28(typing.Protocol):\n    x: int", "import pytest\nwith pytest.raises(TypeError): C26()\nassert C27().m() == 1 and isinstance(3, C26)"),
    ("enums and flags", "import enum\nclass C29(enum.Enum):\n    A = 1\n    B = enum.auto()\nclass C30(enum.Flag):\n    X = 1\n    Y = 2\nc29 = C29.A; c30 = C30.X | C30.Y", "assert c29 is C29.A and C29(2) is C29.B and c30 == C30.X | C30.Y and list(C29) == [C29.A, C29.B]"),
    ("dataclasses (frozen, with slots), named tuples, typed dicts", "import dataclasses, collections, typing\n@dataclasses.dataclass\nclass C31:\n    a: int\n    b: list = dataclasses.field(default_factory=list)\n@dataclasses.dataclass(frozen=True, slots=True)\nclass C32:\n    a: int\nclass C33(typing.NamedTuple):\n    x: int\n    y: int = 2\nC34 = collections.namedtuple('C34', 'p q')\nc31 = [C31(1), C32(2), C33(3), C34(4, 5)]", "assert c31 == [C31(1), C32(2), C33(3), C34(4, 5)] and C31(9).b == [] and c31[2].y == 2 and type(c31[3]) is C34\nassert dataclasses.replace(c31[1], a=5).a == 5\nassert dataclasses.fields(C31)[0].default is dataclasses.MISSING"),
    ("Generic classes, type variables, NewType", "T35 = typing.TypeVar('T35')\nclass C35(typing.Generic[T35]):\n    def __init__(self, v: T35): self.v = v\nc35 = C35[int](5); C36 = typing.NewType('C36', int)", "assert c35.v == 5 and C35[int].__origin__ is C35 and C35.__parameters__ == (T35,) and C36(3) == 3"),
    ("a class redefined after its instances exist", "class C37:\n    def m(self): return 'old'\nc37 = C37()\nclass C37:\n    def m(self): return 'new'", "assert c37.m() == 'old' and C37().m() == 'new' and not isinstance(c37, C37)"),
    ("instances whose class is a variable that comes later", "def c38():\n    class Local:\n        x = 1\n    return Local()\nc38 = c38()\nC39 = type(c38)", "assert type(c38) is C39 and c38.x == 1"),
    ("objects with __getstate__, __reduce__, __getnewargs__", "class C40:\n    def __init__(self, n): self.n = n; self.lock = None\n    def __getstate__(self): return {'n': self.n}\nclass C41:\n    def __init__(self, n): self.n = n\n    def __reduce__(self): return C41, (self.n,)\nclass C42(int):\n    def __new__(cls, v, unit): o = int.__new__(cls, v); o.unit = unit; return o\n    def __getnewargs__(self): return int(self), self.unit\nc40 = [C40(1), C41(2), C42(3, 'm')]", "assert [c40[0].n, c40[1].n, c40[2], c40[2].unit] == [1, 2, 3, 'm'] and not hasattr(c40[0], 'lock')"),
    ("a sentinel that pickles as its name", "class C43:\n    def __reduce__(self): return 'c43'\nc43 = C43(); c44 = [c43]", "assert c44[0] is c43 and type(c43) is C43"),
    ("types that no module names: of locks, iterators, sys.flags", "import threading, sys, re\nc290 = [type(threading.Lock()), type(iter('')), type({}.keys()), type(sys.flags), type(iter(int, 1)), type(x for x in ()), type(lambda: 0), type(reversed({})), type(int.__add__), type(re.compile('').scanner('')), type(iter(memoryview(b'')))]", "import threading, sys, re\nassert [*map(id, c290)] == [*map(id, [type(threading.Lock()), type(iter('')), type({}.keys()), type(sys.flags), type(iter(int, 1)), type(x for x in ()), type(lambda: 0), type(reversed({})), type(int.__add__), type(re.compile('').scanner('')), type(iter(memoryview(b'')))])]"),
    ("exceptions with their traceback, cause and own arguments", "class C45(Exception):\n    def __init__(self, *, code): super().__init__(f'code {code}'); self.code = code\ndef c46(): raise C45(code=7)\ntry:\n    try: c46()\n    except C45 as e: raise ValueError('outer') from e\nexcept ValueError as e: c45 = e\nimport traceback\nc47 = ''.join(traceback.format_exception(c45))", "assert c45.__cause__.code == 7 and ''.join(traceback.format_exception(c45)) == c47, ''.join(traceback.format_exception(c45)) + c47"),
    ("built-in exceptions", "try: open('/no/such')\nexcept OSError as e: c48 = e\nc49 = [KeyError('k'), StopIteration(3), UnicodeDecodeError('utf-8', b'a', 0, 1, 'r')]", "assert c48.errno == 2 and c48.filename == '/no/such' and type(c48) is FileNotFoundError and c49[1].value == 3 and c49[2].reason == 'r'"),
    ("an inner class, where it stands", "class C50:\n    class C51:\n        class C52: pass\nc50 = C50.C51.C52()", "assert type(c50) is C50.C51.C52 and C50.C51.C52.__qualname__ == 'C50.C51.C52'"),
    ("subclasses of library types, with attributes of their own", "import datetime, decimal, collections, random, pathlib\nclass C53(datetime.datetime): pass\nclass C54(decimal.Decimal): pass\nclass C55(collections.Counter): pass\nclass C56(random.Random): pass\nclass C57(pathlib.PosixPath): pass\nc53 = [C53(2026, 1, 2), C54('1.5'), C55('aab'), C56(3), C57('a/b')]\nfor c54 in c53: c54.tag = [1]\nc55 = c53[3].getstate(); c56 = [each.tag for each in c53]", "assert c53[0].year == 2026 and c53[1] + 1 == C54('2.5') and c53[2]['a'] == 2 and c53[3].getstate() == c55 and c53[4].name == 'b'\nassert [each.tag is tag for each, tag in zip(c53, c56)] == [True] * 5 and type(c53[4]) is C57"),
    ("an object whose __setstate__ needs a variable", "class C58:\n    def __getstate__(self): return {'n': 1}\n    def __setstate__(self, state): self.shared = c59\nc58 = C58(); c59 = [7]", "assert c58.shared is c59"),
    ("enums with aliases, with attributes, with a __new__ of their own", "import enum\nclass C60(enum.Enum):\n    RED = 1\n    ROT = 1\n    F = enum.member(lambda: 5)\nclass C61(enum.Enum):\n    EARTH = (5.9, 6.3)\n    def __init__(self, mass, radius): self.mass = mass\nclass C62(bytes, enum.Enum):\n    def __new__(cls, v, label): o = bytes.__new__(cls, [v]); o._value_ = v; o.label = label; return o\n    Q = (7, 'q')\nclass C63(enum.IntFlag, boundary=enum.STRICT):\n    R = 4\n    W = 2\n    RW = 6\nclass C64(dict, enum.Enum):\n    A = {'k': 1}\nclass C65(enum.Enum):\n    @staticmethod\n    def _generate_next_value_(name, *_): return name.lower()\nC60.RED.tag = [1]; c60 = [C61.EARTH, C62.Q, C64.A]", "assert C60['ROT'] is C60.RED and C60.ROT.tag == [1] and C60.F.value() == 5 and C61.EARTH.mass == 5.9\nassert c60[0] is C61.EARTH and c60[1] is C62(7) and c60[1].label == 'q' and bytes(c60[1]) == b'\\x07' and c60[2]['k'] == 1\nassert C63['RW'] == 6 and list(C63.__members__) == ['R', 'W', 'RW']\nclass C66(C65):\n    X = enum.auto()\nassert C66.X.value == 'x'\nimport pytest\nwith pytest.raises(ValueError): C63(8)"),
    ("your own subclasses of list, dict and set, whose methods need attributes or count calls", "import collections\nclass C70(dict):\n    def __init__(self, log): super().__init__(); self.log = log\n    def __setitem__(self, k, v): self.log.append(k); super().__setitem__(k, v)\nclass C71(list):\n    def __init__(self, kind): self.kind = kind\n    def append(self, v): super().append(self.kind(v))\n    def extend(self, vs): [self.append(v) for v in vs]\nclass C72(collections.defaultdict):\n    def __setitem__(self, k, v): super().__setitem__(k, v + 1)\nclass C73(tuple):\n    def __new__(cls, a, b): return super().__new__(cls, (a, b))\nclass C74(collections.OrderedDict):\n    def __setitem__(self, k, v): 1 / 0\nclass C75(collections.deque):\n    def append(self, v): super().append(v + 1)\nc71 = []; c70 = C70(c71); c70['k'] = 1; c72 = C71(int); c72.append('5'); c73 = C72(list); dict.__setitem__(c73, 'a', 1); c74 = C73(1, 2); c74.tag = [c74]; c75 = C74(); collections.OrderedDict.__setitem__(c75, 'z', 1); c76 = C75(maxlen=2); c76.append(1)", "assert c70 == {'k': 1} and c70.log is c71 == ['k'] and c72 == [5] and c72.kind is int\nassert c73['a'] == 1 and c73.default_factory is list and c74 == (1, 2) and c74.tag[0] is c74 and c75 == {'z': 1} and list(c76) == [2] and c76.maxlen == 2"),
    ("objects that share a __dict__, or are their own __dict__", "class C80:\n    shared = {}\n    def __init__(self): self.__dict__ = C80.shared\nclass C81(dict):\n    def __init__(self, *a, **k): super().__init__(*a, **k); self.__dict__ = self\nc80 = C80(); c81 = C80(); c82 = C81(a=C81(b=1))", "c80.x = 5; c82.new = 3\nassert c81.x == 5 and C80().x == 5 and c82['new'] == 3 and c82.a.b == 1"),
    ("objects that pass attribute access on, or refuse it", "class C85:\n    def __init__(self, t): object.__setattr__(self, '_t', t)\n    def __getattr__(self, k): return getattr(self._t, k)\n    def __setattr__(self, k, v): setattr(self._t, k, v)\nclass C86:\n    __slots__ = ('a',)\n    def __init__(self): object.__setattr__(self, 'a', 1)\n    def __setattr__(self, k, v): raise AttributeError(k)\nclass C87:\n    def __new__(cls, n): o = super().__new__(cls); o.n = n; return o\nc85 = C85([1]); c86 = C86(); c87 = C87(4)", "assert c85._t == [1] and c85.count(1) == 1 and c86.a == 1 and c87.n == 4"),
    ("classes and functions whose __module__ is None or wrong", "class C90: pass\nC90.__module__ = None\nclass C91: pass\nC91.__module__ = 'json'\ndef c92(): return 1\nc92.__module__ = None\nc190 = C90(); c91 = C91()", "assert type(c190) is C90 and type(c91) is C91 and c92() == 1"),
    ("your own subclasses of int, str and Path, in two variables", "class C95(int): pass\nclass C96(str): pass\nclass C97(pathlib.PosixPath): pass\nclass C98(datetime.tzinfo):\n    def utcoffset(self, d): return datetime.timedelta(0)\nc95 = C95(3); c95.tags = []; c96 = c95; c97 = C96('q'); c97.n = 1; c98 = [c97]; c99 = C98(); c100 = datetime.datetime(2026, 1, 1, tzinfo=c99); c101 = C97('a'); c101.x = 1; c102 = [c101]", "assert c95 is c96 and c98[0] is c97 and c100.tzinfo is c99 and c102[0] is c101"),
    ("exceptions whose cause cannot be saved: without it, as pickle does", "c94 = ValueError('outer'); c94.__cause__ = KeyError('inner'); c94.__cause__.held = (i for i in ())", "assert c94.args == ('outer',) and c94.__cause__ is None"),
    ("attributes of an exception besides its arguments", "class C110(OSError):\n    def __init__(self, *a, extra): super().__init__(*a); self.extra = extra\nc110 = [C110(2, 'm', 'file', extra=4), NameError('x', name='n'), AttributeError('x', name='a'), ImportError('x', name='i', path='p')]", "assert c110[0].filename == 'file' and c110[0].extra == 4 and [e.name for e in c110[1:]] == ['n', 'a', 'i'] and c110[3].path == 'p'"),
    ("a built-in function that a cell replaced", "import math\nc111 = math.isqrt; math.isqrt = lambda n: c111(n) + 1", "import math\nassert c111(9) == 3 and math.isqrt(9) == 4"),
)  # fmt: skip

NUMPY = _rows(
    "numpy",
    ("arrays, small and large, of every kind", "import numpy as np\nn1 = [np.arange(5), np.arange(300_000.), np.array(['a', 'bc']), np.array([1+2j]), np.array(['2026-01-01'], 'M8[D]'), np.float32(2.5)]", "assert all((a == b).all() for a, b in zip(n1, [np.arange(5), np.arange(300_000.), np.array(['a', 'bc']), np.array([1+2j]), np.array(['2026-01-01'], 'M8[D]'), np.float32(2.5)])) and n1[4].dtype == 'M8[D]'"),
    ("views of one memory, in any variable, large", "n2 = np.zeros(500_000); n3 = n2[10:400_000:3]; n4 = n2.reshape(500, 1000).T; n5 = {'v': n2[:7]}", "n2[10] = 5\nassert n3[0] == 5 and n4[10, 0] == 5\nn5['v'][0] = 9\nassert n2[0] == 9 and n4.shape == (1000, 500)"),
    ("views of one memory, small", "n6 = np.arange(10); n7 = n6[2:5]; n8 = n6[::-1]", "n6[2] = 77\nassert n7[0] == 77 and n8[7] == 77"),
    ("equal arrays that are not the same stay apart", "n9 = np.zeros(200_000); n10 = np.zeros(200_000)", "n9[0] = 1\nassert n10[0] == 0"),
    ("Fortran order, zero size, negative steps, broadcast", "n11 = np.asfortranarray(np.arange(200_000.).reshape(400, 500)); n12 = np.zeros((0, 3)); n13 = np.arange(100_000)[::-1]; n14 = np.broadcast_to(np.float64(3), (1000, 1000))", "assert n11.flags.f_contiguous and n11[1, 2] == 502 and n12.shape == (0, 3) and n13[0] == 99_999 and n14.shape == (1000, 1000) and n14[5, 5] == 3"),
    ("structured arrays and views of their fields", "n15 = np.zeros(50_000, [('a', 'i4'), ('b', 'f8')]); n16 = n15['b']; n17 = np.rec.array([(1, 2.)], dtype=[('x', 'i4'), ('y', 'f8')])", "n15['b'][3] = 4\nassert n16[3] == 4 and n17.x[0] == 1 and type(n17) is np.recarray"),
    ("read-only arrays, small and large", "n18 = np.arange(4); n18.flags.writeable = False; n19 = np.arange(100_000); n19.flags.writeable = False", "assert not n18.flags.writeable and not n19.flags.writeable"),
    ("arrays of objects, shared with variables and as views", "n20 = [1]; n21 = np.array([n20, None, 'x'], dtype=object); n22 = n21[1:]", "assert n21[0] is n20\nn21[1] = 5\nassert n22[0] == 5"),
    ("masked arrays, matrices", "n23 = np.ma.array([1, 2, 3], mask=[0, 1, 0]); n24 = np.matrix([[1, 2]])", "assert n23.sum() == 4 and type(n24) is np.matrix"),
    ("record arrays and masked arrays that share memory", "n35 = np.rec.fromarrays([np.arange(100_000)], names='q'); n36 = n35[5:]; n37 = np.arange(90_000.); n38 = np.ma.masked_where(n37 > 80_000, n37, copy=False); n39 = np.ma.array([1, 2], copy=False)", "n35.q[5] = 99\nn37[3] = -1\nassert n36.q[0] == 99 and type(n36) is np.recarray and n38[3] == -1 and n38.mask[80_001] and n38.count() == 80_001 and n39.mask is np.ma.nomask"),
    ("memory-mapped files, mapped again", "n25 = np.memmap('m.dat', 'f8', 'w+', shape=(1000,)); n25[:] = 1; n26 = n25[10:20]", "assert type(n25) is np.memmap and n25.mode == 'r+'\nn26[0] = 5\nassert n25[10] == 5\nn25.flush(); assert np.fromfile('m.dat')[10] == 5"),
    ("an array over a bytearray variable", "n27 = bytearray(16); n28 = np.frombuffer(n27, 'u1')", "n27[3] = 9\nassert n28[3] == 9"),
    ("generators, in their state", "n29 = np.random.default_rng(5); n29.random(); n30 = np.random.default_rng(5); n30.random(); n30 = n30.random(); n31 = np.random.RandomState(1); n31.rand(); n32 = np.random.RandomState(1); n32.rand(); n32 = n32.rand()", "assert n29.random() == n30 and n31.rand() == n32"),
    ("numpy.random functions imported by name", "from numpy.random import rand as n33", "np.random.seed(3); a = np.random.rand(); np.random.seed(3)\nassert n33() == a"),
    ("ufuncs, dtypes, numpy functions", "n34 = [np.add, np.dtype('f4'), np.mean]", "assert n34[0] is np.add and n34[1] == 'f4' and n34[2] is np.mean"),
    ("small views by way of sliding windows, memoryviews and rows", "n40 = np.arange(8.); n41 = np.lib.stride_tricks.sliding_window_view(n40, 3, writeable=True); n42 = np.asarray(memoryview(n40)); n43 = np.zeros(3, [('a', 'i4'), ('b', 'f8')]); n44 = n43[1]; n45 = n43.view(np.recarray)[2]", "n41[0, 1] = 77\nassert n40[1] == 77 and n42[1] == 77\nn43['a'][1] = 5; n43['b'][2] = 6\nassert n44['a'] == 5 and n45.b == 6"),
    ("arrays and numbers of the notebook's own classes", "class C46(np.ndarray):\n    def __array_finalize__(self, other): self.unit = getattr(other, 'unit', None)\nclass C47(np.float64): pass\nn46 = [np.arange(5.).view(C46), np.arange(90_000.).view(C46), np.zeros(0).view(C46), np.array([1, None]).view(C46)]\nfor n47 in n46: n47.unit = ['m']\nn48 = n46[0][1:]; n49 = n46[0].view(np.ndarray); n56 = np.zeros(2, [('a', 'i4')]); n57 = n56.view(np.recarray); n50 = C47(2.5); n50.unit = 'm'", "assert [each.unit for each in n46] == [['m']] * 4 and type(n46[1]) is C46 and type(n50) is C47 and n50.unit == 'm' and n50 == 2.5\nn46[0][1] = 9\nn56['a'] = 3\nassert n48[0] == 9 and n49[1] == 9 and n57.a[1] == 3"),
    ("fields of structured arrays that hold objects", "n51 = np.zeros(2, [('o', 'O'), ('n', 'i4')]); n51['o'][0] = n51; n52 = n51['n']; n53 = n51['o']", "n51['n'][1] = 4; n51['o'][1] = 'x'\nassert n51['o'][0] is n51 and n52[1] == 4 and n53[1] == 'x'"),
    ("texts of variable length", "n54 = np.array(['a', 'b' * 100], dtype=np.dtypes.StringDType(na_object=None))", "assert n54[1] == 'b' * 100 and n54.dtype.na_object is None"),
    ("masked arrays with attributes and texts; changed copies of mapped files", "n60 = np.ma.array(['a', 'bb'], mask=[1, 0]); n60.note = 'x'; n61 = str(n60.fill_value); n62 = np.ma.array([1., 2.], mask=[0, 1], fill_value=-9); np.arange(5.).tofile('c.dat'); n63 = np.memmap('c.dat', 'f8', 'c'); n63[0] = 7; n64 = n63[:2]", "assert n60.fill_value == n61 and n60.note == 'x' and n62.fill_value == -9 and type(n63) is np.memmap and n63.mode == 'c' and n63[0] == 7\nn63[1] = 8\nassert n64[1] == 8 and np.fromfile('c.dat')[0] == 0"),
    ("vectorize, finfo, polynomials", "n70 = 2\ndef n71(a): return a * n70\nn72 = np.vectorize(n71, otypes=[float]); n73 = np.vectorize(n71); n74 = n72(1), n73(1); n75 = np.finfo('f4'); n76 = np.poly1d([1, 2])", "n70 = 5\nassert n72(1) == 5. and n73(2) == 10 and n75.bits == 32 and n76(1) == 3"),
    needs=("numpy",),
)  # fmt: skip

PANDAS = _rows(
    "pandas, polars, pyarrow, xarray",
    ("a mixed frame with text, categories, dates, missing values", "import pandas as pd, numpy as np\nd1 = pd.DataFrame({'f': np.arange(50_000.), 'i': range(50_000), 's': ['a', None] * 25_000, 'c': pd.Categorical(['x', 'y'] * 25_000), 't': pd.date_range('2026', periods=50_000, tz='UTC'), 'n': pd.array([1, None] * 25_000, dtype='Int64')})\nd2 = pd.util.hash_pandas_object(d1).sum(); d3 = d1.dtypes", "assert pd.util.hash_pandas_object(d1).sum() == d2 and (d1.dtypes == d3).all() and d1.c.cat.categories.tolist() == ['x', 'y']"),
    ("copies that share memory until one is written to", "d4 = pd.DataFrame({'a': np.arange(50_000.)}); d5 = d4[:]; d6 = d4['a']", "d4.loc[0, 'a'] = 99.\nassert d4.a[0] == 99 and d5.a[0] == 0 and d6[0] == 0"),
    ("an index made from a column", "d7 = pd.Series(np.arange(50_000)); d8 = pd.Index(d7)", "d7.iloc[0] = 99\nassert d8[0] == 0"),
    ("multi-index, GroupBy, rolling", "d9 = pd.DataFrame({'v': [1, 2, 3]}, index=pd.MultiIndex.from_tuples([(1, 'a'), (1, 'b'), (2, 'a')])); d10 = d9.groupby(level=0); d11 = d9.rolling(2)", "assert d9.loc[(1, 'b'), 'v'] == 2 and d10.v.sum().tolist() == [3, 3] and d11.sum().v.iloc[2] == 5"),
    ("intervals, periods, sparse, object columns shared with a variable", "d12 = [1]; d13 = pd.DataFrame({'o': pd.Series([d12, {}], dtype=object), 'p': pd.period_range('2026', periods=2), 'i': pd.interval_range(0, 2), 'sp': pd.arrays.SparseArray([0, 1])})", "assert d13.o[0] is d12 and str(d13.p[1]) == '2026-01-02' and 1 in d13.i[0] and d13.sp[1] == 1"),
    ("attrs and a frame used twice", "d14 = pd.DataFrame({'a': [1]}); d14.attrs['k'] = 'v'; d15 = [d14]", "assert d15[0] is d14 and d14.attrs == {'k': 'v'}"),
    ("frames, series, dates, arrays with an attribute that cannot be saved: without it, as pickle does", "import threading, datetime\nd40 = pd.DataFrame({'a': [1]}); d40.lock = threading.Lock(); d40.note = 'n'; d41 = d40.a; d41.lock = d40.lock\nclass D42(datetime.date): pass\nd42 = D42(2026, 1, 2); d42.lock = d40.lock; d42.note = 1\nclass D43(np.ndarray): pass\nd43 = np.arange(3).view(D43); d43.lock = d40.lock\nclass D44(dict):\n    def __getstate__(self): return None\nd44 = D44(k=1); d44.lock = d40.lock", "assert d40.note == 'n' and not hasattr(d40, 'lock') and d41[0] == 1 and d42.note == 1 and not hasattr(d42, 'lock') and type(d43) is D43 and d43.sum() == 3 and d44 == {'k': 1}"),
    ("attributes that a cell gave to a frame or series", "d24 = pd.DataFrame({'a': [1, 2]}); d24.note = ('x',); d25 = d24.a; d25.note = d24.note\nclass D26(pd.DataFrame):\n    _metadata = ['unit']\n    @property\n    def _constructor(self): return D26\nd26 = D26({'a': [1]}); d26.unit = 'm'; d26.note = 1", "assert d24.note == ('x',) and d25.note is d24.note and d24.a.sum() == 3 and type(d26) is D26 and (d26.unit, d26.note) == ('m', 1)"),
    needs=("pandas",),
) + _rows(
    "pandas, polars, pyarrow, xarray",
    ("pyarrow tables, slices, dictionaries", "import pyarrow as pa\nd16 = pa.table({'a': list(range(50_000)), 's': ['x'] * 50_000}); d17 = d16.slice(5, 10); d18 = pa.array(['a', 'b']).dictionary_encode()", "assert d16['a'][49_999].as_py() == 49_999 and d17['a'].to_pylist() == list(range(5, 15)) and d18.dictionary.to_pylist() == ['a', 'b']"),
    ("Arrow columns: several chunks, slices, empty ones, missing values", "import pyarrow as pa, pandas as pd\nd27 = pd.concat([pd.Series(['a', None] * 30_000, dtype='string[pyarrow]'), pd.Series(['b'] * 10, dtype='string[pyarrow]')], ignore_index=True); d28 = d27[59_990:]; d29 = d27[7:9]; d30 = d27[:0]; d31 = pd.Series([[1], [2, 3]], dtype=pd.ArrowDtype(pa.list_(pa.int64()))); d32 = pd.DataFrame({'n': pd.array([1, None] * 30_000, dtype='int64[pyarrow]'), 's': pd.Series(['x'] * 60_000, dtype='str')}); d33 = d32[::2]; d34 = d32[:]", "d34.loc[0, 's'] = 'y'\nassert d27.tolist()[-11:] == [pd.NA] + ['b'] * 10 and d27.isna().sum() == 30_000 and d28.tolist()[-10:] == ['b'] * 10 and len(d28) == 20 and d29.tolist() == [pd.NA, 'a'] and len(d30) == 0 and d30.dtype == d27.dtype and d31[1] == [2, 3]\nassert d32.n.sum() == 30_000 and d32.s[0] == 'x' and d34.s[0] == 'y' and d33.n.sum() == 30_000 and d33.shape == (30_000, 2)"),
    needs=("pyarrow",),
) + _rows(
    "pandas, polars, pyarrow, xarray",
    ("polars frames, series, lazy frames, expressions", "import polars as pl\nd19 = pl.DataFrame({'a': range(50_000), 's': ['x', None] * 25_000, 'd': [1.5] * 50_000}); d20 = d19['a']; d21 = d19.lazy().filter(pl.col('a') > 3); d22 = pl.DataFrame({'l': [[1], [2, 3]], 'c': pl.Series(['u', 'v'], dtype=pl.Categorical)})", "assert d19.shape == (50_000, 3) and d19['s'].null_count() == 25_000 and d20.name == 'a' and d20.sum() == sum(range(50_000)) and d21.collect().height == 49_996 and d22['l'].to_list() == [[1], [2, 3]] and d22['c'].to_list() == ['u', 'v']"),
    needs=("polars",),
) + _rows(
    "pandas, polars, pyarrow, xarray",
    ("xarray data sets", "import xarray as xr, numpy as np\nd23 = xr.Dataset({'t': (('x', 'y'), np.arange(60_000.).reshape(200, 300))}, coords={'x': range(200)}, attrs={'u': 'K'})", "assert float(d23.t.sel(x=1)[2]) == 302 and d23.attrs == {'u': 'K'}"),
    needs=("xarray",),
)  # fmt: skip

FORMULAS = _rows(
    "Models and figures",
    ("fitted statsmodels models made by a formula, with functions of the notebook", "import statsmodels.formula.api as smf, pandas as pd, numpy as np\nl50 = pd.DataFrame({'x': np.arange(20.), 'y': np.arange(20.) ** 2})\ndef L51(x): return x * 2\nl52 = smf.ols('y ~ np.log(x + 1) + L51(x)', data=l50).fit(); l53 = l52.predict(l50); l54 = smf.logit('x ~ y', data=l50 / 400).fit(disp=0); l55 = l54.params", "assert (l52.predict(l50) == l53).all() and 'OLS' in str(l52.summary()) and (l52.model.fit().params == l52.params).all() and (l54.params == l55).all()\nl52.predict(l50.assign(x=3.))"),
    ("designs of patsy", "import patsy\nl56, l57 = patsy.dmatrices('y ~ center(x)', l50); l58 = patsy.dmatrix('x', l50, return_type='dataframe'); l59 = patsy.EvalEnvironment.capture()", "import patsy\nassert l57.design_info.column_names == ['Intercept', 'center(x)'] and l58.design_info.column_names == ['Intercept', 'x'] and (patsy.build_design_matrices([l57.design_info], l50)[0] == l57).all()\nl60 = 4\nassert l59.eval('l60 + 1') == 5"),
    needs=("statsmodels",),
)  # fmt: skip

LEARNING = _rows(
    "Models and figures",
    ("scipy sparse matrices and arrays", "import scipy.sparse, numpy as np\nl1 = scipy.sparse.random(500, 400, 0.5, format='csr', random_state=1); l2 = l1.sum(); l3 = scipy.sparse.coo_array(l1)", "assert l1.sum() == l2 and l1.format == 'csr' and l3.sum() == l2"),
    needs=("scipy",),
) + _rows(
    "Models and figures",
    ("fitted scikit-learn pipelines and forests", "from sklearn.pipeline import make_pipeline\nfrom sklearn.preprocessing import StandardScaler, FunctionTransformer\nfrom sklearn.ensemble import RandomForestClassifier\nfrom sklearn.datasets import load_wine\nl4, l5 = load_wine(return_X_y=True)\ndef l6(x): return x * 2\nl7 = make_pipeline(FunctionTransformer(l6), StandardScaler(), RandomForestClassifier(20, random_state=0)).fit(l4, l5); l8 = l7.predict_proba(l4)", "assert (l7.predict_proba(l4) == l8).all() and l7[0].func is l6"),
    ("an estimator class of the notebook", "from sklearn.base import BaseEstimator, TransformerMixin\nclass L9(TransformerMixin, BaseEstimator):\n    def fit(self, X, y=None): self.m_ = X.mean(); return self\n    def transform(self, X): return X - self.m_\nl9 = L9().fit(l4)", "assert abs(l9.transform(l4).mean()) < 1e-9 and isinstance(l9, L9) and l9.get_params() == {}"),
    needs=("sklearn",),
) + _rows(
    "Models and figures",
    ("matplotlib figures and their axes", "import matplotlib\nmatplotlib.use('agg')\nfrom matplotlib.figure import Figure\nl10 = Figure(); l11 = l10.subplots(); l12, = l11.plot([1, 2, 3])\nl13 = matplotlib.rcParams['lines.linewidth'] = 7.0", "assert l10.axes[0] is l11 and l11.lines[0] is l12 and list(l12.get_ydata()) == [1, 2, 3]\nimport io; l10.savefig(io.BytesIO())\nimport matplotlib; assert matplotlib.rcParams['lines.linewidth'] == 7.0"),
    ("callbacks of the notebook that a figure calls", "from matplotlib.figure import Figure\nl43 = Figure(); l44 = []; l45 = l43.canvas.mpl_connect('resize_event', lambda event: l44.append(event))", "l43.canvas.callbacks.process('resize_event', 'e')\nassert l44 == ['e']"),
    ("what a slider of matplotlib calls", "from matplotlib.figure import Figure\nfrom matplotlib.widgets import Slider\nl71 = Figure(); l72 = Slider(l71.subplots(), 'a', 0, 1); l73 = []; l74 = l72.on_changed(lambda value: l73.append(value))", "l72.set_val(0.5)\nassert l73 == [0.5]"),
    ("paths of fonts, and fonts", "from matplotlib.font_manager import findfont\nfrom PIL import ImageFont\nl75 = findfont('DejaVu Sans'); l76 = ImageFont.truetype(l75, 12)", "assert l75.endswith('.ttf') and l76.path == l75 and type(l75).__name__ in {'FontPath', 'str'} and l76.size == 12 and l76.getlength('a') > 0"),
    ("a callback that is a method of its figure", "from matplotlib.figure import Figure\nclass L46(Figure):\n    seen = 0\n    def note(self, event): self.seen += event\nl46 = L46(); l47 = l46.canvas.mpl_connect('resize_event', l46.note)", "l46.canvas.callbacks.process('resize_event', 3)\nassert l46.seen == 3"),
    ("the current figure of pyplot, among several, and one that no variable holds", "import matplotlib.pyplot as plt\nl40, l41 = plt.subplots(); l42 = plt.figure(); plt.figure('no variable'); plt.title('T'); plt.figure(l40.number)", "assert plt.gcf() is l40 and plt.gca() is l41 and l42.number in plt.get_fignums() and plt.fignum_exists('no variable') and plt.figure('no variable').gca().get_title() == 'T'\nplt.close('all')"),
    needs=("matplotlib",),
) + _rows(
    "Models and figures",
    ("torch tensors that share storage, also with numpy", "import torch, numpy as np\nl14 = torch.zeros(300, 400); l15 = l14[5]; l16 = np.zeros(100_000); l17 = torch.from_numpy(l16); l18 = np.zeros(8); l19 = torch.from_numpy(l18); l20 = torch.zeros(3); l21 = l20[1:]", "l14[5, 0] = 3\nassert l15[0] == 3\nl16[7] = 2\nassert l17[7] == 2\nl18[1] = 4\nassert l19[1] == 4\nl20[1] = 6\nassert l21[0] == 6"),
    ("torch modules with tied weights, and their optimiser", "class L22(torch.nn.Module):\n    def __init__(self):\n        super().__init__(); self.a = torch.nn.Linear(5, 5); self.b = torch.nn.Linear(5, 5); self.b.weight = self.a.weight\n    def forward(self, x): return self.b(self.a(x))\nl22 = L22(); l23 = torch.optim.Adam(l22.parameters()); l22(torch.ones(5)).sum().backward(); l23.step(); l24 = l22(torch.ones(5)).detach()", "assert l22.a.weight is l22.b.weight and l23.param_groups[0]['params'][0] is l22.a.weight and torch.equal(l22(torch.ones(5)), l24)\nl22(torch.ones(5)).sum().backward(); l23.step()\nassert not torch.equal(l22(torch.ones(5)), l24)"),
    ("gradients that wait for their optimiser", "l27 = torch.nn.Linear(3, 1); l28 = torch.optim.SGD(l27.parameters(), lr=1.); l27(torch.ones(3)).sum().backward(); l29 = l27.weight.grad; l30 = l27.weight.detach().clone()", "assert l27.weight.grad is l29\nl28.step()\nassert torch.equal(l27.weight.detach(), l30 - 1)"),
    ("a tensor that was computed with gradients: its value, and backward() through it raises", "l31 = (l27.weight * 2).sum(); l32 = l31.item()", "assert l31.item() == l32\nimport pytest\nwith pytest.raises(RuntimeError): l31.backward()"),
    needs=("torch",),
) + _rows(
    "Models and figures",
    ("pydantic models of the notebook", "import pydantic, typing\nclass L25(pydantic.BaseModel):\n    n: int\n    tags: list[str] = []\nclass L26(L25):\n    inner: L25\n    @pydantic.field_validator('n')\n    @classmethod\n    def positive(cls, v):\n        assert v > 0\n        return v\nl26 = L26(n=1, inner=L25(n=2))", "import pydantic\nassert l26.inner.n == 2 and L26.model_validate({'n': '3', 'inner': {'n': 1}}).n == 3 and isinstance(l26, L25)\nimport pytest\nwith pytest.raises(pydantic.ValidationError): L26(n=-1, inner=l26.inner)"),
    ("a generic pydantic model", "L33 = typing.TypeVar('L33')\nclass L34(pydantic.BaseModel, typing.Generic[L33]):\n    value: L33\nl34 = L34[int](value=3)", "assert type(l34) is L34[int] and isinstance(L34[int](value='4'), type(l34)) and l34.value == 3"),
    needs=("pydantic",),
)  # fmt: skip

SURROUNDINGS = _rows(
    "Beyond variables",
    ("the random generators of Python and numpy", "import random, numpy as np\nrandom.seed(5); np.random.seed(6); z1 = None", "r = random.random(), np.random.rand()\nrandom.seed(5); np.random.seed(6)\nassert r == (random.random(), np.random.rand())"),
    ("environment variables that cells changed", "import os\nos.environ['PF_TEST_NEW'] = 'x'; os.environ.pop('HOME', None); z2 = 1", "import os\nassert os.environ['PF_TEST_NEW'] == 'x' and 'HOME' not in os.environ"),
    ("the working directory and the import path", "import sys\nos.makedirs('sub', exist_ok=True); z3 = os.path.abspath('sub'); sys.path.insert(0, z3)", "import sys\nassert sys.path[0] == z3"),
    ("warnings filters, decimal precision, numpy and pandas options", "import warnings, decimal, numpy as np\nwarnings.filterwarnings('ignore', message='pf test.*'); decimal.getcontext().prec = 50; np.set_printoptions(precision=3); np.seterr(divide='raise'); np.setbufsize(16384); z4 = 1", "import warnings, decimal\nassert any(f[1] is not None and f[1].pattern == 'pf test.*' for f in warnings.filters) and decimal.getcontext().prec == 50 and np.get_printoptions()['precision'] == 3 and np.geterr()['divide'] == 'raise' and np.getbufsize() == 16384"),
    ("a warnings filter for a category of the notebook", "class Z7(UserWarning): pass\nwarnings.simplefilter('error', Z7); z7 = 1", "import pytest, warnings\nwith pytest.raises(Z7): warnings.warn('x', Z7)"),
    ("arguments of the program, time zone, locale, log levels", "import sys, os, time, locale, logging\nsys.argv[:] = ['prog', '--x']; os.environ['TZ'] = 'Asia/Tokyo'; time.tzset(); locale.setlocale(locale.LC_ALL, 'C.UTF-8'); logging.getLogger('pf.z8').setLevel(7); z8 = locale.setlocale(locale.LC_ALL)", "import sys, time, locale, logging\nassert sys.argv == ['prog', '--x'] and time.localtime(0).tm_hour == 9 and locale.setlocale(locale.LC_ALL) == z8 and logging.getLogger('pf.z8').level == 7"),
    ("annotations of variables, and the notebook's __doc__", "z9: 'int' = 3\n__doc__ = 'mine'", "assert __annotations__ == {'z9': 'int'} and __doc__ == 'mine'"),
    ("attributes of a module whose names the text does not show", "import json, collections\nfor z10 in ('pf_a', 'pf_b'): setattr(json, z10, len)\nvars(json)['pf_c'] = 3; json.__dict__.update(pf_d=[4]); setattr(collections.Counter, 'pf_' + 'e', lambda self: 5)", "import json, collections\nassert json.pf_a is json.pf_b is len and json.pf_c == 3 and json.pf_d == [4] and collections.Counter().pf_e() == 5"),
    ("`from __future__` in a cell", "from __future__ import annotations\nz5 = 1", "def z6(a: NotThere): ...\nassert z6.__annotations__ == {'a': 'NotThere'}"),
    needs=("numpy",),
)  # fmt: skip

NOT_SAVED = _refused(
    "Not saved",
    ("locks, also deep inside", "import threading, types\nclass X1: pass\nx1 = {'a': X1()}; x1['a'].session = X1(); x1['a'].session.lock = threading.Lock()", 'x1["a"].session.lock'),
    ("running generators and coroutines", "def x2(): yield 1\nx2 = x2()", "generator"),
    ("open files", "x3 = open('open.txt', 'w')", "open file ('open.txt', mode 'w')"),
    ("a file open for reading", "x4 = open('/etc/hostname')", "open file"),
    ("sockets", "import socket\nx5 = socket.socket()", "connection"),
    ("database connections", "import sqlite3\nx6 = sqlite3.connect(':memory:')", "connection"),
    ("threads and executors", "import concurrent.futures\nx7 = concurrent.futures.ThreadPoolExecutor()", "threads end with the kernel"),
    ("running programs", "import subprocess\nx8 = subprocess.Popen(['true']); x8.wait()", "program"),
    ("functions that need something of the above", "def x9(l=threading.Lock()): return l", "lock"),
    ("weakref.finalize, hashlib objects, mmap", "import weakref, hashlib\nx10 = weakref.finalize(X1, print); x11 = hashlib.sha256()", "bound to the end"),
    ("classes and objects of a module that was made in this process", "import sys, types\nx13 = types.ModuleType('x13'); exec('class K: pass', vars(x13)); sys.modules['x13'] = x13; x14 = x13.K()", "which cannot be imported"),
    ("shared memory of multiprocessing", "from multiprocessing import shared_memory\nx26 = shared_memory.SharedMemory(create=True, size=16)", "freed when the kernel ends"),
    ("progress bars of tqdm", "from tqdm import tqdm\nx27 = tqdm(total=5)", "make the bar again where you use it"),
    ("objects of ctypes", "import ctypes\nx15 = (ctypes.c_int * 3)(1, 2, 3)", "c_int_Array_3"),
    ("an object that raises whatever it is asked", "class X17:\n    def __getattribute__(self, name): return 1 // 0\nx17 = X17()", "ZeroDivisionError"),
    ("an object that calls sys.exit() when it is pickled", "class X21:\n    def __reduce__(self): raise SystemExit(3)\nx21 = X21()", "SystemExit: 3"),
    ("an object that calls sys.exit() when it is loaded", "class X22:\n    def __getstate__(self): return 1\n    def __setstate__(self, state): raise SystemExit(4)\nx22 = X22()", "SystemExit: 4"),
    ("an object that raises KeyboardInterrupt when it is pickled", "class X23:\n    def __reduce__(self): raise KeyboardInterrupt\nx23 = X23()", "KeyboardInterrupt"),
    ("an object that raises KeyboardInterrupt when it is loaded", "class X24:\n    def __getstate__(self): return 1\n    def __setstate__(self, state): raise KeyboardInterrupt\nx24 = X24()", "KeyboardInterrupt"),
    ("a weak proxy whose object is gone", "import weakref\nx18 = weakref.proxy(X1())", "no longer exists"),
    ("an object whose methods never end", "class X16:\n    def __getattr__(self, k): return getattr(self.q, k)\n    def __reduce__(self): return X16, (self.zz,)\nx16 = X16()", "recursion"),
    ("IPython's own names: In, Out, _, where no later cell reads them", "x12 = 0", ""),
) + _refused(
    "Not saved",
    ("polars expressions with a function of the notebook inside", "import polars as pl\nx20 = pl.col('a').map_batches(lambda s: s)", "a function of the notebook"),
    needs=("polars",),
)  # fmt: skip

MADE_AGAIN = _replayed(
    "Not saved, made by a plain cell, and needed later",
    ("database connections", "import sqlite3\ny1 = sqlite3.connect('y1.db')", "assert y1.execute('select 1').fetchone() == (1,)"),
    ("locks, events, executors", "import threading, concurrent.futures\ny2 = threading.RLock(); y3 = threading.Event(); y4 = concurrent.futures.ThreadPoolExecutor(1)", "with y2: y3.set()\nassert y4.submit(int, '5').result() == 5"),
    ("a lock in an object of a class of the notebook", "class Y5:\n    def __init__(self): self.lock = threading.Lock()\ny5 = Y5()", "with y5.lock: pass"),
    ("a generator that was not begun", "y6 = (n * 2 for n in [1, 2])", "assert list(y6) == [2, 4]"),
)  # fmt: skip

LEFT = [Row("Not saved, and no later cell needs it", "all of the above", "import threading\nw1 = threading.Lock()", "lock", LEFT_OUT)]  # fmt: skip

ROWS = [*PLAIN, *SHARING, *CODE, *NUMPY, *PANDAS, *LEARNING, *FORMULAS, *SURROUNDINGS, *NOT_SAVED, *MADE_AGAIN, *LEFT]
