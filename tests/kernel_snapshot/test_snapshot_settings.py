"""Settings come back one by one, functions of the notebook in them too; what cannot is said by its name."""

from typing import Any

import pytest
from kernel_snapshot.conftest import Kernels, cell

#: What is set, how, and what must hold in the next kernel.
SETTINGS = {
    "numpy formatter": (
        "import numpy as np\nunit = 'm'\ndef fmt(v): return f'{v:.1f} {unit}'\nnp.set_printoptions(formatter={'float': fmt}, precision=3)",
        (
            "assert str(np.array([1.25, 2])) == '[1.2 m 2.0 m]' and np.get_printoptions()['precision'] == 3\n"
            "unit = 'km'; assert str(np.array([1.0])) == '[1.0 km]' and np.get_printoptions()['formatter']['float'] is fmt"
        ),
    ),
    "numpy error call": (
        "import numpy as np\nseen = []\ndef on_error(kind, flag): seen.append(kind)\nnp.seterrcall(on_error); np.seterr(all='call')",
        "np.float64(1) / 0\nassert seen == ['divide by zero'] and np.geterrcall() is on_error",
    ),
    "pandas float_format": (
        "import pandas as pd\npd.options.display.float_format = lambda v: f'<{v:.0f}>'\npd.set_option('styler.format.precision', 2); pd.set_option('display.max_rows', 7)",
        "assert '<3>' in repr(pd.Series([2.9])) and pd.get_option('styler.format.precision') == 2 and pd.get_option('display.max_rows') == 7",
    ),
    "pandas bound method": (
        "import pandas as pd\npd.options.display.float_format = '{:,.1f}!'.format",
        "assert '2.9!' in repr(pd.Series([2.9]))",
    ),
    "polars and scikit-learn": (
        "import polars as pl, sklearn\npl.Config.set_tbl_rows(3); pl.Config.set_fmt_float('full'); sklearn.set_config(transform_output='pandas')",
        (
            "assert pl.Config.state()['set_fmt_float'] == 'full' and pl.Config.state()['POLARS_FMT_MAX_ROWS'] == '3'\n"
            "assert sklearn.get_config()['transform_output'] == 'pandas'"
        ),
    ),
    "matplotlib": (
        "import matplotlib as mpl\nmpl.use('svg'); mpl.rcParams['lines.linewidth'] = 7; mpl.rcParams['axes.prop_cycle'] = mpl.cycler(color=['r'])",
        "assert mpl.get_backend() == 'svg' and mpl.rcParams['lines.linewidth'] == 7 and list(mpl.rcParams['axes.prop_cycle']) == [{'color': 'r'}]",
    ),
    "limits of the process": (
        (
            "import sys, os, gc, csv, socket, resource, decimal, tempfile\nsys.setrecursionlimit(2345); os.umask(0o027); sys.setswitchinterval(0.01)\n"
            "gc.set_threshold(900, 11, 12); csv.field_size_limit(12345); socket.setdefaulttimeout(9); decimal.getcontext().prec = 7\n"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (200, resource.getrlimit(resource.RLIMIT_NOFILE)[1])); tempfile.tempdir = os.getcwd()"
        ),
        (
            "import sys, os, gc, csv, socket, resource, decimal, tempfile\n"
            "assert (sys.getrecursionlimit(), os.umask(0o027), sys.getswitchinterval(), gc.get_threshold()) == (2345, 0o027, 0.01, (900, 11, 12))\n"
            "assert csv.field_size_limit() == 12345 and socket.getdefaulttimeout() == 9 and decimal.getcontext().prec == 7\n"
            "assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 200 and tempfile.gettempdir() == os.getcwd()"
        ),
    ),
    "garbage collection": (
        (
            "import gc\nseen = []\ndef on_collection(phase, info): seen.append(phase)\n"
            "gc.callbacks.append(on_collection); gc.disable(); gc.set_debug(gc.DEBUG_SAVEALL); gc.freeze()"
        ),
        (
            "assert not gc.isenabled() and gc.get_debug() == gc.DEBUG_SAVEALL and gc.get_freeze_count() > 0\n"
            "del seen[:]; gc.collect(); assert seen == ['start', 'stop'] and gc.callbacks.count(on_collection) == 1"
        ),
    ),
    "functions that trace": (
        (
            "import sys, threading\ncalls, lines = [], 0\ndef traced(frame, event, arg):\n    global lines\n"
            "    if frame.f_code.co_name == 'traced_too': calls.append(event)\n"
            "def profiled(frame, event, arg): pass\nthreading.settrace(traced); threading.setprofile(profiled); sys.setprofile(profiled); sys.settrace(traced)"
        ),
        (
            "assert sys.gettrace() is traced and sys.getprofile() is profiled\n"
            "assert threading.gettrace() is traced and threading.getprofile() is profiled\n"
            "def traced_too(): pass\ndel calls[:]; traced_too(); assert calls == ['call']"
        ),
    ),
    "faulthandler and tracemalloc": (
        "import faulthandler, tracemalloc\nfaulthandler.enable(); tracemalloc.start(3)",
        "assert faulthandler.is_enabled() and tracemalloc.is_tracing() and tracemalloc.get_traceback_limit() == 3",
    ),
    "faulthandler, off": (
        "import faulthandler, gc\nfaulthandler.disable()",
        "import gc\nassert not faulthandler.is_enabled() and gc.isenabled()",
    ),
    "decimal traps and a locale of one kind": (
        (
            "import decimal, locale\ndecimal.getcontext().traps[decimal.Inexact] = True; decimal.getcontext().rounding = decimal.ROUND_UP\n"
            "decimal.getcontext().flags[decimal.Rounded] = True; locale.setlocale(locale.LC_NUMERIC, 'C.UTF-8')"
        ),
        (
            "context = decimal.getcontext()\nassert context.traps[decimal.Inexact] and context.rounding == decimal.ROUND_UP and context.flags[decimal.Rounded]\n"
            "assert locale.setlocale(locale.LC_NUMERIC) == 'C.UTF-8'"
        ),
    ),
    "the stream that takes what is printed": (
        "import io, sys\nsys.stdout = printed = io.StringIO(); print('before')",
        "import sys\nassert sys.stdout is printed\nprint('after'); sys.stdout = sys.__stdout__; assert printed.getvalue() == 'before\\nafter\\n'",
    ),
    "a stream of the notebook": (
        (
            "import sys\nclass Tee:\n    def __init__(self, to): self.to = to; self.seen = []\n    def flush(self): self.to.flush()\n"
            "    def write(self, text): self.seen.append(text); return self.to.write(text)\nsys.stderr = Tee(sys.stderr); sys.stderr.write('before')"
        ),
        "import sys\nassert type(sys.stderr) is Tee and sys.stderr.seen == ['before'] and sys.stderr.to is sys.__stderr__",
    ),
    "the decimal context that a variable is": (
        "import decimal\ncontext = decimal.Context(prec=3); decimal.setcontext(context)",
        "import decimal\nassert decimal.getcontext() is context\ncontext.prec = 5; assert decimal.Decimal(1) / 3 == decimal.Decimal('0.33333')",
    ),
    "how pickle takes a class": (
        "import copyreg\nclass Point:\n    def __init__(self, x): self.x = x\ndef taken(p): return Point, (p.x + 1,)\ncopyreg.pickle(Point, taken)",
        "import copyreg, copy\nassert copyreg.dispatch_table[Point] is taken and copy.copy(Point(1)).x == 2",
    ),
    "finders of modules": (
        (
            "import importlib.util, sys\nclass Finder:\n    @staticmethod\n    def find_spec(name, path=None, target=None):\n"
            "        if name == 'pf_made': return importlib.util.spec_from_loader(name, Loader())\n"
            "class Loader:\n    def create_module(self, spec): return None\n    def exec_module(self, module): module.x = 5\nsys.meta_path.insert(0, Finder)"
        ),
        "import sys, pf_made\nassert sys.meta_path[0] is Finder and pf_made.x == 5 and sys.meta_path.count(Finder) == 1",
    ),
    "attributes of modules and classes": (
        (
            "import json, builtins, logging, collections.abc\nfrom fractions import Fraction\nunit = 'm'\ndef fake(value): return f'{value} {unit}'\n"
            "json.dumps = fake; builtins.helper = lambda: unit; logging.raiseExceptions = False\nlogging.Formatter.default_msec_format = '%s.%03d'\n"
            "def half(self): return self / 2\nFraction.half = half; setattr(Fraction, 'kind', property(lambda self: unit))\n"
            "class Mine: pass\ncollections.abc.Sequence.register(Mine)\n@collections.abc.Hashable.register\nclass Other:\n    __hash__ = None"
        ),
        (
            "unit = 'km'; import json, logging, collections.abc, fractions\nassert json.dumps(1) == '1 km' and json.dumps is fake and helper() == 'km'\n"
            "assert logging.raiseExceptions is False and logging.Formatter.default_msec_format == '%s.%03d'\n"
            "assert fractions.Fraction(1).half() == fractions.Fraction(1, 2) and fractions.Fraction(1).kind == 'km'\n"
            "assert issubclass(Mine, collections.abc.Sequence) and issubclass(Other, collections.abc.Hashable)"
        ),
    ),
    "accessors of pandas": (
        (
            "import pandas as pd\nunit = 'm'\n@pd.api.extensions.register_series_accessor('mine')\nclass Mine:\n    def __init__(self, series): self.series = series\n"
            "    def with_unit(self): return [f'{each} {unit}' for each in self.series]\n"
            "@pd.api.extensions.register_dataframe_accessor('rows')\nclass Rows:\n    def __init__(self, frame): self.count = len(frame)"
        ),
        "unit = 'km'; import pandas as pd\nassert pd.Series([1]).mine.with_unit() == ['1 km'] and pd.DataFrame({'a': [1]}).rows.count == 1",
    ),
    "classes and factories of logging": (
        (
            "import logging\nclass Mine(logging.Logger): pass\nlogging.setLoggerClass(Mine); known = logging.getLogger('pf_known'); before = logging.getLogRecordFactory()\n"
            "def make(*given, **named):\n    record = before(*given, **named); record.extra = 1; return record\nlogging.setLogRecordFactory(make)"
        ),
        (
            "import logging\nassert logging.getLoggerClass() is Mine and type(logging.getLogger('pf_new')) is Mine\n"
            "assert type(known) is Mine and logging.getLogger('pf_known') is known\n"
            "assert logging.getLogRecordFactory() is make and logging.makeLogRecord({}).extra == 1"
        ),
    ),
    "signals and hooks": (
        (
            "import os, signal, sys\ngot = []\ndef on_signal(number, frame): got.append(number)\n"
            "signal.signal(signal.SIGUSR1, on_signal); signal.signal(signal.SIGUSR2, signal.SIG_IGN)\ndef hook(*args): got.append(args)\nsys.unraisablehook = hook"
        ),
        (
            "os.kill(os.getpid(), signal.SIGUSR1); os.kill(os.getpid(), signal.SIGUSR2)\n"
            "assert got == [signal.SIGUSR1] and signal.getsignal(signal.SIGUSR1) is on_signal and sys.unraisablehook is hook"
        ),
    ),
    "a warnings filter with a class that has a lock nowhere": (
        "import warnings\nclass Mine(UserWarning): pass\nwarnings.simplefilter('error', Mine)",
        "try: warnings.warn('x', Mine)\nexcept Mine: pass\nelse: assert False",
    ),
    "IPython's settings": (
        "%precision 2\n%config InteractiveShell.ast_node_interactivity = 'all'\n%xmode Plain\n%alias hello echo hello",
        (
            "ip = get_ipython()\nassert ip.ast_node_interactivity == 'all' and ip.InteractiveTB.mode == 'Plain' and ip.display_formatter.format(3.14159)[0]['text/plain'] == '3.14'\n"
            "assert ('hello', 'echo hello') in ip.alias_manager.aliases"
        ),
    ),
    "formatters": (
        (
            "class P:\n    n = 3\np = P(); mark = '*'\nget_ipython().display_formatter.formatters['text/html'].for_type(P, lambda each: f'<b>{each.n}{mark}</b>')\n"
            "get_ipython().display_formatter.formatters['text/plain'].for_type_by_name('fractions', 'Fraction', lambda f, pp, cycle: pp.text('half'))"
        ),
        (
            "mark = '!'; ip = get_ipython()\nassert ip.display_formatter.format(p)[0]['text/html'] == '<b>3!</b>'\n"
            "import fractions; assert ip.display_formatter.format(fractions.Fraction(1, 2))[0]['text/plain'] == 'half'"
        ),
    ),
    "magics, extensions, callbacks": (
        (
            "from IPython.core.magic import register_line_magic, register_cell_magic, Magics, magics_class, line_magic\nbase = 2\n"
            "@register_line_magic\ndef double(line): return base * int(line)\n@register_cell_magic\ndef shout(line, cell): return cell.upper()\n"
            "@magics_class\nclass Mine(Magics):\n    count = 0\n    @line_magic\n    def counted(self, line): self.count += 1; return self.count\n"
            "get_ipython().register_magics(Mine); get_ipython().run_line_magic('counted', '')\n%load_ext autoreload\n%autoreload 2\n"
            "log = []\ndef before(info): log.append(info.raw_cell)\nget_ipython().events.register('pre_run_cell', before)"
        ),
        (
            "base = 3; ip = get_ipython()\nassert ip.run_line_magic('double', '4') == 12 and ip.run_cell_magic('shout', '', 'a') == 'A' and ip.run_line_magic('counted', '') == 2\n"
            "reloader = ip.magics_manager.registry['AutoreloadMagics']._reloader\nassert reloader.enabled and reloader.check_all\n"
            "assert ip.events.callbacks['pre_run_cell'].count(before) == 1 and len(log) >= 1"
        ),
    ),
    "transformers and error handlers": (
        (
            "import ast\ndef euro(lines): return [line.replace('€', 'euro') for line in lines]\n"
            "class Negate(ast.NodeTransformer):\n    def visit_Constant(self, node): return ast.copy_location(ast.Constant(-7), node) if node.value == 7007 else node\n"
            "ip = get_ipython(); ip.input_transformers_cleanup.append(euro); ip.ast_transformers.append(Negate())\n"
            "def handle(shell, kind, value, trace, tb_offset=None): handled.append(value); return []\nhandled = []; ip.set_custom_exc((ZeroDivisionError,), handle)"
        ),
        "euro = 5; assert € == 5 and 7007 == -7",
        "1 / 0",
        "assert len(handled) == 1",
    ),
    "what cells register with Python": (
        (
            "import codecs, csv, html.entities, shutil, sqlite3, sys\nfrom functools import singledispatch\nfrom urllib.parse import uses_netloc\n"
            "from xml.etree import ElementTree as tree\nunit = 'm'\nclass Box: pass\ncodecs.register_error('pf_mark', lambda error: (unit, error.end))\n"
            "csv.register_dialect('pf_bar', delimiter='|'); sqlite3.register_adapter(Box, lambda box: unit); sqlite3.register_converter('box', lambda text: text * 2)\n"
            "shutil.register_archive_format('pf', lambda *given, **named: unit); tree.register_namespace('pf', 'urn:pf')\n"
            "uses_netloc.append('pf'); html.entities.html5['pf;'] = '!'; sys.modules['pf_alias'] = csv; sys.modules['pf_none'] = None\n"
            "open('pf_shown.py', 'w').write('import functools\\n@functools.singledispatch\\ndef show(value): return 0'); sys.path.insert(0, '.')\n"
            "import pf_shown\n@pf_shown.show.register\ndef _(value: Box): return unit"
        ),
        (
            "unit = 'k'; import pf_alias, shutil, sqlite3\nassert 'aä'.encode('ascii', 'pf_mark') == b'ak' and pf_alias.get_dialect('pf_bar').delimiter == '|'\n"
            "database = sqlite3.connect(':memory:', detect_types=sqlite3.PARSE_DECLTYPES); database.execute('create table t (a box)'); database.execute('insert into t values (?)', (Box(),))\n"
            "assert database.execute('select a from t').fetchone() == (b'kk',) and 'pf' in dict(shutil.get_archive_formats())\n"
            "import urllib.parse; assert urllib.parse.uses_netloc is uses_netloc and 'pf' in uses_netloc\nimport html, pf_shown; assert html.unescape('&pf;') == '!' and pf_shown.show(Box()) == 'k'\n"
            "from xml.etree import ElementTree as tree; assert b'xmlns:pf' in tree.tostring(tree.Element('{urn:pf}a'))\n"
            "try: import pf_none\nexcept ImportError: pass\nelse: assert False"
        ),
    ),
    "what cells register with matplotlib": (
        (
            "import matplotlib as mpl, matplotlib.colors, matplotlib.font_manager as fonts, matplotlib.pyplot as plt, matplotlib.units, shutil\n"
            "from matplotlib import projections, scale\nfrom matplotlib.axes import Axes\nmpl.colormaps.register(matplotlib.colors.ListedColormap(['r', 'g'], name='pf_two'))\n"
            "mpl.color_sequences.register('pf_row', ['r', 'b']); matplotlib.colors.get_named_colors_mapping()['pf_red'] = '#f00000'\nplt.style.library['pf_wide'] = {'lines.linewidth': 9}\n"
            "class Wide(Axes): name = 'pf_axes'\nclass Plain(scale.LinearScale): name = 'pf_scale'\nclass Converter(matplotlib.units.ConversionInterface): pass\n"
            "projections.register_projection(Wide); scale.register_scale(Plain); matplotlib.units.registry[Wide] = Converter()\n"
            "shutil.copy(str(fonts.findfont('DejaVu Sans')), 'pf.ttf'); fonts.fontManager.addfont('pf.ttf')"
        ),
        (
            "import matplotlib as mpl, matplotlib.colors, matplotlib.font_manager as fonts, matplotlib.pyplot as plt, matplotlib.units\nfrom matplotlib import projections, scale\n"
            "assert mpl.colormaps['pf_two'].N == 2 and mpl.color_sequences['pf_row'] == ['r', 'b'] and matplotlib.colors.to_hex('pf_red') == '#f00000'\n"
            "assert plt.style.library['pf_wide'] == {'lines.linewidth': 9} and projections.get_projection_class('pf_axes') is Wide and 'pf_scale' in scale.get_scale_names()\n"
            "assert type(matplotlib.units.registry[Wide]) is Converter and any(font.fname.endswith('pf.ttf') for font in fonts.fontManager.ttflist)"
        ),
    ),
    "accessors of polars and xarray, a type of pandas": (
        (
            "import pandas as pd, polars as pl, xarray as xr\nunit = 'm'\n@pl.api.register_dataframe_namespace('mine')\n@xr.register_dataset_accessor('mine')\n"
            "class Mine:\n    def __init__(self, of): self.of = of\n    def unit(self): return unit\n"
            "@pd.api.extensions.register_extension_dtype\nclass Kind(pd.api.extensions.ExtensionDtype):\n    name = 'pf_kind'; type = int\n"
            "    @classmethod\n    def construct_from_string(cls, text):\n        if text == cls.name: return cls()\n        raise TypeError(text)"
        ),
        "unit = 'k'; import pandas as pd, polars as pl, xarray as xr\nassert pl.DataFrame().mine.unit() == xr.Dataset().mine.unit() == 'k' and type(pd.api.types.pandas_dtype('pf_kind')) is Kind",
    ),
    "attributes of modules that no variable names": (
        (
            "import collections, fractions, importlib, json, sys\ndef patch(module, kind): module.pf_a = 1; kind.pf_b = 2\npatch(json, collections.Counter)\n"
            "for module in (json, fractions): module.pf_c = 3\ndel module\nsys.modules['json'].pf_d = 4; importlib.import_module('json').pf_e = 5; exec('json.pf_f = 6')\n"
            "def patch_too():\n    import json as inner\n    inner.pf_g = 7\npatch_too(); object.__setattr__(json, 'pf_h', 8); type(collections.Counter()).pf_i = 9\n"
            "def replace(module): module.dumps = lambda value: 'mine'\nreplace(json); del json"
        ),
        (
            "import collections, fractions, json\nassert [getattr(json, f'pf_{each}') for each in 'acdefgh'] == [1, 3, 4, 5, 6, 7, 8] and fractions.pf_c == 3 and json.dumps(0) == 'mine'\n"
            "assert (collections.Counter.pf_b, collections.Counter.pf_i) == (2, 9)"
        ),
    ),
    "attributes of a library's objects, and deleted ones": (
        "import html.entities, json, reprlib\njson._default_encoder.indent = 7; reprlib.aRepr.maxlist = 99; del json.dumps; delattr(json, 'load'); html.entities.html5.pop('amp;')",
        "import html.entities, json, reprlib\nassert 'amp;' not in html.entities.html5 and json._default_encoder.indent == 7 and reprlib.aRepr.maxlist == 99 and not hasattr(json, 'dumps') and not hasattr(json, 'load')",
    ),
    "how the process runs": (
        (
            "import decimal, os, signal, sys, threading\nbefore = os.nice(1); os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])\n"
            "threading.stack_size(1 << 20); decimal.DefaultContext.prec = 5; decimal.DefaultContext.traps[decimal.Inexact] = True; sys.set_coroutine_origin_tracking_depth(3); sys.ps1 = 'pf> '"
        ),
        (
            "import decimal, os, signal, sys, threading\nassert os.nice(0) == before and len(os.sched_getaffinity(0)) == 1 and signal.pthread_sigmask(signal.SIG_BLOCK, []) == {signal.SIGUSR1}\n"
            "assert threading.stack_size() == 1 << 20 and decimal.DefaultContext.prec == 5 and decimal.DefaultContext.traps[decimal.Inexact] and sys.get_coroutine_origin_tracking_depth() == 3 and sys.ps1 == 'pf> '"
        ),
    ),
    "IPython's hooks, completers, aliases of magics, attributes": (
        (
            "%alias_magic pf_time timeit\n%pdb on\nclass Box: pass\nip = get_ipython(); ip.pf_mine = 5; ip.user_ns_hidden['hidden'] = hidden = 7\n"
            "def complete(self, event): return ['pf_word']\nip.set_hook('complete_command', complete, str_key='pf')\ndef edit(self, *given, **named): pass\nip.set_hook('editor', edit)\n"
            "def match(context): return {'completions': []}\nip.Completer.custom_matchers.append(match)\n"
            "ip.display_formatter.mimebundle_formatter.for_type(Box, lambda *given, **named: {'text/pf': 'x'})\n%pushd .."
        ),
        (
            "ip = get_ipython(); assert ip.find_line_magic('pf_time') and ip.call_pdb and ip.pf_mine == 5 and hidden == 7 and len(ip.dir_stack) == 1; ip.call_pdb = False\n"
            "assert [each.__func__ for each in ip.strdispatchers['complete_command'].flat_matches('pf')] == [complete] and edit in [each.__func__ for _, each in ip.hooks.editor.chain]\n"
            "assert ip.Completer.custom_matchers == [match] and ip.display_formatter.format(Box())[0]['text/pf'] == 'x'"
        ),
    ),
    "another generator of numpy, which warns about the usual one": (
        (
            "import numpy as np, warnings\nwarnings.simplefilter('error'); np.random.set_bit_generator(np.random.PCG64(3)); np.random.rand()\n"
            "import copy; numbers = copy.deepcopy(np.random.get_state(legacy=False))"
        ),
        "import numpy as np\nassert np.random.get_state(legacy=False) == numbers and numbers['bit_generator'] == 'PCG64'",
    ),
    "errors of scipy, the first day of matplotlib, writers of films": (
        (
            "import matplotlib.animation as films, matplotlib.dates as dates, scipy.special\nscipy.special.seterr(singular='raise'); dates.set_epoch('2000-01-01')\n"
            "@films.writers.register('pf_film')\nclass Film(films.AbstractMovieWriter):\n    @classmethod\n    def isAvailable(cls): return True"
        ),
        (
            "import matplotlib.animation as films, matplotlib.dates as dates, scipy.special\n"
            "assert scipy.special.geterr()['singular'] == 'raise' and dates.get_epoch() == '2000-01-01' and 'pf_film' in films.writers.list()"
        ),
    ),
    "an entry that was taken out of the path": (
        "import sys\ntaken = sys.path[0]; sys.path.remove(taken)",
        "import sys\nassert taken not in sys.path",
    ),
    "the order of the path": (
        "import sys\nsys.path.append('/last'); sys.path.insert(0, '/first')",
        "import sys\nassert (sys.path[0], sys.path[-1]) == ('/first', '/last')",
    ),
    "constructors and representers of yaml, overloads": (
        (
            "import typing, yaml\nunit = 'm'\nclass Box: pass\nclass Tagged(yaml.YAMLObject):\n    yaml_tag = '!pf_tagged'; yaml_loader = yaml.SafeLoader\n"
            "yaml.add_representer(Box, lambda dumper, box: dumper.represent_scalar('!pf_box', unit))\n"
            "yaml.add_constructor('!pf_box', lambda loader, node: Box(), Loader=yaml.SafeLoader)\n"
            "class Typed:\n    @typing.overload\n    def at(self, place: int): ...\n    @typing.overload\n    def at(self, place: str): ...\n    def at(self, place): return place"
        ),
        (
            "unit = 'k'; import typing, yaml\nassert type(yaml.safe_load('!pf_tagged {}')) is Tagged and type(yaml.safe_load('!pf_box x')) is Box\n"
            "assert yaml.dump(Box()).split() == ['!pf_box', \"'k'\"] or yaml.dump(Box()).split() == ['!pf_box', 'k']\n"
            "assert len(typing.get_overloads(Typed.at)) == 2"
        ),
    ),
    "a formatter of the notebook, a magic that loads its module, attributes of loggers": (
        (
            "import logging\nfrom IPython.core.formatters import BaseFormatter\nfrom traitlets import ObjectName, Unicode\n"
            "class Formatter(BaseFormatter):\n    format_type = Unicode('text/pf'); print_method = ObjectName('_repr_pf_')\n"
            "class Shown:\n    def _repr_pf_(self): return 'shown'\nip = get_ipython(); ip.display_formatter.formatters['text/pf'] = Formatter(parent=ip)\n"
            "ip.magics_manager.register_lazy('pf_lazy', 'pf_module'); logging.getLogger('pf.named').run = ['a']"
        ),
        (
            "import logging\nip = get_ipython(); assert ip.display_formatter.format(Shown())[0]['text/pf'] == 'shown'\n"
            "assert ip.magics_manager.lazy_magics['pf_lazy'] == 'pf_module' and logging.getLogger('pf.named').run == ['a']"
        ),
    ),
    "attributes of modules, beside an object that raises whatever it is asked": (
        (
            "import collections.abc, json\nclass Silent:\n    def __getattribute__(self, name): return 1 // 0\nsilent = Silent()\n"
            "def patch(module): module.pf_z = 4\npatch(json)\nclass Mine: pass\ncollections.abc.Sequence.register(Mine)\nNone"
        ),
        "import collections.abc, json\nassert json.pf_z == 4 and issubclass(Mine, collections.abc.Sequence)",
    ),
    "warnings that a list records": (
        "import warnings\ncatching = warnings.catch_warnings(record=True); seen = catching.__enter__(); warnings.simplefilter('always')",
        "import warnings\nwarnings.warn('x'); assert len(seen) == 1\ncatching.__exit__(None, None, None); warnings.warn('x'); assert len(seen) == 1",
    ),
    "variables that are the lists and dicts of Python itself": (
        "import gc, sys, warnings\npath, arguments, modules, filters = sys.path, sys.argv, sys.modules, warnings.filters\npath.append('/pf')",
        (
            "import sys, warnings\nassert path is sys.path and arguments is sys.argv and modules is sys.modules and filters is warnings.filters\n"
            "assert '/pf' in sys.path"
        ),
    ),
    "how numpy shows what is masked, and polynomials": (
        "import numpy as np\nnp.ma.masked_print_option.set_display('*'); np.polynomial.set_default_printstyle('ascii')",
        "import numpy as np\nassert str(np.ma.array([1], mask=[1])) == '[*]' and '**' in str(np.polynomial.Polynomial([1, 2, 3]))",
    ),
    "how pickle takes a class of a library": (
        "import copyreg, fractions\ndef taken(value): return fractions.Fraction, (1, 2)\ncopyreg.pickle(fractions.Fraction, taken)",
        "import copyreg, fractions\nassert copyreg.dispatch_table[fractions.Fraction] is taken",
    ),
    "the configuration of IPython in a variable": (
        "c = get_ipython().config\nc.InlineBackend.figure_format = 'svg'",
        "assert c is get_ipython().config and c.InlineBackend.figure_format == 'svg'",
    ),
    "the width of the terminal": (
        "import os, shutil\nos.environ['COLUMNS'] = '211'",
        "import shutil\nassert shutil.get_terminal_size().columns == 211",
    ),
    "a macro": (
        "a = 4\n%macro again 1",
        "assert type(again).__name__ == 'Macro'",
    ),
}


#: Whose settings are kept by the library, and read and set by its own functions.
LIBRARIES = ("numpy", "pandas", "polars", "sklearn", "matplotlib")


@pytest.mark.every(3)
@pytest.mark.parametrize("what", SETTINGS)
def test_a_setting_comes_back(what: str, kernels: Kernels) -> None:
    for library in LIBRARIES:
        if library in SETTINGS[what][0]:
            pytest.importorskip(library)
    make, *checks = SETTINGS[what]
    saved = kernels.save(make)

    restored = kernels.run(*_restoring(kernels, saved), *map(cell, checks))

    assert saved["notes"] == []
    assert restored[0]["notes"] == []
    assert [
        answer["error"] for answer in restored[2:] if answer["error"] and "ZeroDivision" not in answer["error"]
    ] == []


@pytest.mark.thorough
def test_a_setting_is_still_there_after_a_second_pause(kernels: Kernels) -> None:
    pytest.importorskip("pandas")
    make = "import pandas as pd\ndef fmt(v): return f'<{v:.0f}>'\npd.options.display.float_format = fmt\n%alias hello echo hello"
    first = kernels.save(make)
    save = {"do": "save", "folder": kernels.folder}
    *_, second = kernels.run(*_restoring(kernels, first), save)

    *_, checked = kernels.run(
        *_restoring(kernels, second),
        cell(
            "assert '<3>' in repr(pd.Series([2.9])) and ('hello', 'echo hello') in get_ipython().alias_manager.aliases"
        ),
    )

    assert checked["error"] is None


UNSAVEABLE = {
    "numpy.set_printoptions(formatter)": "import numpy as np\nnp.set_printoptions(formatter={'float': lambda v, lock=lock: str(v)})",
    "pandas option display.float_format": "import pandas as pd\npd.options.display.float_format = lambda v, lock=lock: str(v)",
    "handler of SIGUSR1": "import signal\nsignal.signal(signal.SIGUSR1, lambda *_, lock=lock: None)",
    "magic %mine": "get_ipython().register_magic_function(lambda line, lock=lock: None, 'line', 'mine')",
    "callback of pre_run_cell": "get_ipython().events.register('pre_run_cell', lambda info, lock=lock: None)",
    "formatter of builtins.complex": "get_ipython().display_formatter.formatters['text/html'].for_type(complex, lambda v, lock=lock: '')",
    "log handler of root: QueueHandler": "import logging.handlers, queue\nlogging.getLogger().addHandler(logging.handlers.QueueHandler(queue.Queue()))",
}


@pytest.mark.every(2)
@pytest.mark.parametrize("name", UNSAVEABLE)
def test_a_setting_that_cannot_be_saved_is_said_by_name_and_leaves_the_others_alone(
    name: str, kernels: Kernels
) -> None:
    for library in ("numpy", "pandas"):
        if f"import {library}" in UNSAVEABLE[name]:
            pytest.importorskip(library)
    saved = kernels.save(
        "import threading, sys\nlock = threading.Lock()\nkept = [1]",
        UNSAVEABLE[name],
        "del lock\nsys.setrecursionlimit(2345)",
    )

    assert len(saved["notes"]) == 1, saved["notes"]
    note = saved["notes"][0]
    assert note.startswith(f"not saved: {name}")
    assert "%%setup" in note
    assert saved["unsaved"] == {}
    restored = kernels.restore(saved, "import sys\nassert kept == [1] and sys.getrecursionlimit() == 2345")
    assert restored["notes"] == []


def test_a_setting_that_cannot_be_set_again_is_said_by_name_and_leaves_the_others_alone(kernels: Kernels) -> None:
    make = (
        "import pf_away, sys, signal\nsignal.signal(signal.SIGUSR1, pf_away.on_signal)\nsys.setrecursionlimit(2345)\ndel pf_away\n"
        "signal.signal(signal.SIGUSR2, signal.SIG_IGN)"
    )
    (kernels.directory / "pf_away.py").write_text("def on_signal(*_): pass")
    saved = kernels.save("import sys; sys.path.insert(0, '.')", make)
    (kernels.directory / "pf_away.py").unlink()

    restored = kernels.restore(
        saved,
        "import sys, signal\nassert sys.getrecursionlimit() == 2345 and signal.getsignal(signal.SIGUSR2) == signal.SIG_IGN",
    )

    (note,) = restored["notes"]
    assert note.startswith("handler of SIGUSR1: ModuleNotFoundError")
    assert restored["unrestored"] == {}


def test_settings_do_not_stand_among_the_variables(kernels: Kernels) -> None:
    saved = kernels.save("import signal\nsignal.signal(signal.SIGUSR1, lambda *_: None)\nx = 1")

    restored = kernels.restore(saved, "assert [n for n in globals() if 'pauseflow' in n] == []")

    assert "x" in restored["names"]
    assert [name for name in restored["names"] if "setting" in name] == []


def test_what_a_setup_set_last_is_not_saved(kernels: Kernels) -> None:
    actions = [
        {"do": "begin_setup"},
        cell(
            "import os, sys\nos.environ['PF_TOKEN'] = 'secret'; os.environ['PF_MODE'] = 'setup'; sys.setrecursionlimit(1111)"
        ),
        {"do": "end_setup"},
        cell("os.environ['PF_MODE'] = 'cell'"),
        {"do": "save", "folder": kernels.folder},
    ]
    saved = kernels.run(*actions)[-1]

    kernels.restore(saved, "import os, sys\nassert 'PF_TOKEN' not in os.environ and os.environ['PF_MODE'] == 'cell'")


def test_what_a_setup_changes_on_the_way_is_set_again(kernels: Kernels) -> None:
    setup = cell("import sys\nsys.setrecursionlimit(1111)")
    begin, end = {"do": "begin_setup"}, {"do": "end_setup"}
    saved = kernels.run(
        begin, setup, end, cell("sys.setrecursionlimit(2222)"), {"do": "save", "folder": kernels.folder}
    )[-1]
    restore, put_back = _restoring(kernels, saved)

    *_, checked = kernels.run(restore, begin, setup, end, put_back, cell("assert sys.getrecursionlimit() == 2222"))

    assert checked["error"] is None


def _restoring(kernels: Kernels, saved: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    restore = {"do": "restore", "folder": kernels.folder, "ref": saved["ref"]}
    return restore, {"do": "put_back", "bound_by_setup": []}
