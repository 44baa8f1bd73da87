"""A kernel is a kernel: what notebooks see of it does not tell whether it was started, prestarted, forked or kept."""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import pauseflow_nb
from pauseflow_nb.protocol import Wake
from pauseflow_nb.runner.client import KernelClient
from pauseflow_nb.runner.kernels.source import Supply
from pauseflow_nb.runner.kernels.spec import Spec, find_spec, make_environment

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only, and /proc is read")

ENV = {"PYTHONPATH": str(Path(pauseflow_nb.__file__).parents[1])}
WAKE = Wake("ask", "suspend", "continue", by="user:ann", at="2026-11-20T10:00:00+00:00", callback={"body": 7})

#: Modules that a kernel has which has saved once, as one that was kept has.
BY_SAVING = {
    "blake3",
    "blake3.blake3",
    "cloudpickle",
    "cloudpickle.cloudpickle",
    "concurrent.futures.thread",
    "fractions",
    "mmap",
    "secrets",
}

#: What code can see of its process. Not looked at: process ids, addresses, times, and the command line that `ps` shows.
LOOK = """
import asyncio, atexit, builtins, gc, json, locale, logging, multiprocessing, os, re, resource, signal, sys, tempfile, threading, time, warnings

def plainly(value): return re.sub(r'0x[0-9a-f]+|/[^ ]*/pauseflow-\\w+|pipe:\\[\\d+\\]|(?<=<StreamHandler )\\d+', '…', str(value))
def status(*names): return {line.split(':')[0]: line.split(':')[1].strip() for line in open('/proc/self/status') if line.split(':')[0] in names}
def descriptors():
    links = [os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') if os.path.lexists(f'/proc/self/fd/{n}')]
    return sorted({plainly(link).split(':')[0] for link in links})

shell = get_ipython()
seen = {
    'modules': sorted(name for name in sys.modules if not name.startswith('pauseflow_nb')), 'before any import of it': 'pandas' in sys.modules,
    'filters': [plainly(each) for each in warnings.filters], 'signals': {n.name: plainly(signal.getsignal(n)) for n in signal.Signals},
    'masks': status('SigIgn', 'SigBlk', 'SigCgt', 'Umask', 'NoNewPrivs', 'Seccomp', 'Threads'), 'locale': locale.setlocale(locale.LC_ALL),
    'encodings': [sys.getfilesystemencoding(), sys.getdefaultencoding(), locale.getpreferredencoding()], 'zone': time.tzname,
    'environment': {name: value for name, value in os.environ.items() if name != 'JPY_PARENT_PID'}, 'parent': 'JPY_PARENT_PID' in os.environ,
    'threads': sorted(re.sub(r'\\d+', '', each.name) for each in threading.enumerate()), 'current': [threading.current_thread().name, threading.main_thread().name],
    'argv': [os.path.basename(sys.argv[0]), len(sys.argv)], 'orig_argv': [os.path.basename(each) for each in sys.orig_argv[:2]] + [len(sys.orig_argv)],
    'directory': os.getcwd(), 'path': sys.path, 'flags': str(sys.flags), 'options': [sys.warnoptions, sys._xoptions], 'name': __name__,
    'main': plainly(vars(sys.modules['__main__']).get('__file__')), 'hash': hash('pauseflow'), 'order of a set': list({'alpha', 'beta', 'gamma', 'delta'}),
    'collector': [gc.get_threshold(), gc.isenabled()], 'switch': sys.getswitchinterval(), 'recursion': sys.getrecursionlimit(), 'digits': sys.get_int_max_str_digits(),
    'loop': [plainly(type(asyncio.get_event_loop_policy())), plainly(type(asyncio.get_running_loop()))],
    'limits': {name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith('RLIMIT_')},
    'input': [plainly(os.readlink('/proc/self/fd/0')), os.read(0, 1).decode()], 'descriptors': descriptors(),
    'streams': [[type(each).__name__, each.encoding, each.isatty(), each.errors] for each in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__, sys.__stdin__)],
    'temporary': tempfile.gettempdir(), 'start method': multiprocessing.get_start_method(allow_none=True),
    'loggers': {name: [each.level, plainly(each.handlers), each.propagate] for name, each in logging.root.manager.loggerDict.items() if isinstance(each, logging.Logger) and not name.startswith('pauseflow_nb')},
    'root': [logging.root.level, plainly(logging.root.handlers)], 'clock of logging': logging.LogRecord('a', 1, '', 1, '', (), None).relativeCreated < 600_000,
    'priority': [os.getpriority(os.PRIO_PROCESS, 0), open('/proc/self/oom_score_adj').read(), len(os.sched_getaffinity(0))],
    'group': [os.getpgid(0) == os.getpid(), os.getsid(0) == os.getpid()], 'cgroup': open('/proc/self/cgroup').read(),
    'hooks': [plainly(each) for each in (sys.excepthook, sys.displayhook, sys.unraisablehook, threading.excepthook, sys.breakpointhook, sys.gettrace())],
    'exit functions': atexit._ncallbacks(), 'builtins': sorted(vars(builtins)), 'names': sorted(set(globals()) - {'shell'}), 'finders': [plainly(type(each)) for each in sys.meta_path],
    'callbacks': {event: [plainly(each) for each in functions] for event, functions in shell.events.callbacks.items()},
    'settings': {f'{type(owner).__name__}.{name}': plainly(getattr(owner, name)) for owner in shell.configurables for name in owner.trait_names(config=True) if name not in ('parent_handle', 'connection_file')},
    'magics': {kind: sorted(magics) for kind, magics in shell.magics_manager.magics.items()}, 'interactive': [hasattr(sys, 'ps1'), plainly(sys.ps1)],
}
import numpy as np, pandas as pd
seen['filters of libraries'] = [plainly(each) for each in warnings.filters]
seen['modules of libraries'] = sorted(name for name in sys.modules if not name.startswith('pauseflow_nb'))
with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    seen['pandas'] = {key: plainly(pd.get_option(key)) for key in pd._config.config._registered_options}
seen['numpy'] = plainly([np.get_printoptions(), np.geterr(), np.geterrcall(), np.getbufsize()])
seen['specification'] = [plainly(np.__spec__), plainly(pd.__spec__), plainly(np.__loader__), np.__spec__.name]
try:
    import matplotlib as mpl, matplotlib.pyplot as plt
    seen['matplotlib'] = {key: plainly(value) for key, value in mpl.rcParams.items()} | {'backend': mpl.get_backend()}
except ImportError: pass
with open('seen.json', 'w') as file: file.write(json.dumps(seen))
"""

NOTEBOOKS = {
    "frames": ["import pandas as pd\nframe = pd.DataFrame({f'c{n}': range(3) for n in range(30)})\nframe", "print(frame)", "frame.describe()"],
    "options": ["import numpy as np, pandas as pd\nprint(np.get_printoptions())", "pd.describe_option('display.max_columns')", "pd.Series(range(100))"],
    "arrays": ["import numpy as np\nnp.arange(2000).reshape(20, 100)", "np.seterr(all='raise')\nnp.float64(1) / 0"],
    "errors": ["def f(n): return f(n - 1) if n else {}['key']\nf(3)"],
    "threads": [
        "import threading\nthread = threading.Thread(target=lambda: print('in', threading.current_thread().name.split('-')[0])); thread.start(); thread.join()\nthreading.current_thread().name",
        "import multiprocessing as mp\nwith mp.Pool(2) as pool: print(pool.map(len, ['a', 'bc']))",
    ],
    "sets": ["names = {'alpha', 'beta', 'gamma', 'delta', 'eps'}\nprint(names, list({n: 1 for n in names}))", "import sys, subprocess\nprint(subprocess.run([sys.executable, '-c', \"import os; print(os.environ.get('PYTHONHASHSEED'), os.environ.get('PAUSEFLOW_HASH_SEED'))\"], capture_output=True, text=True).stdout)"],
    "warnings": ["import warnings\nwarnings.warn('mine')\nwarnings.warn('old', DeprecationWarning)", "import numpy as np\nnp.array([1.0]) / 0"],
    "shell": ["!echo from a shell", "%pwd", "names = !ls *.ipynb\nnames", "%%bash\nread -t 5 line; echo $? $line"],
    "modules": ["import importlib.util, sys\nprint([name in sys.modules for name in ('numpy', 'pandas', 'dateutil.easter', 'matplotlib')], importlib.util.find_spec('pandas') is not None)", "import dateutil.easter\nprint(dateutil.easter.__spec__.name, 'pandas' in sys.modules)", "import numpy.linalg\nprint('pandas' in sys.modules, numpy.__spec__.name, sys.modules['numpy'] is numpy)", "from pandas.api.types import is_list_like\nprint(is_list_like([]), 'pandas' in sys.modules)\nimport importlib, pickle\nprint(pickle.loads(pickle.dumps(numpy.arange(2))), importlib.reload(importlib.import_module('pandas.api.types')).__name__)"],
    "plots": ["import matplotlib.pyplot as plt\nprint(plt.get_backend(), plt.isinteractive())\nplt.plot([1, 2])", "plt.rcParams['figure.dpi'], plt.rcParams['savefig.bbox']"],
}  # fmt: skip


SOURCES = ("prestarted", "forked", "kept")
#: The source of which each notebook is not slow: the one that is most likely to change it. What a source changes for every
#: notebook shows in `test_a_notebook_sees_the_same_kernel`, which has all sources.
RISKS = {
    "prestarted": {"frames", "errors", "warnings"},
    "forked": {"threads", "sets", "modules", "plots"},
    "kept": {"options", "arrays", "shell"},
}
SLICE = [
    pytest.param(source, name, id=f"{source}-{name}", marks=[] if name in RISKS[source] else [pytest.mark.slow])
    for source in SOURCES
    for name in NOTEBOOKS
]


def test_each_notebook_has_one_source_in_which_it_is_not_slow() -> None:
    assert sorted(name for names in RISKS.values() for name in names) == sorted(NOTEBOOKS)


@pytest.fixture(autouse=True)
def _outside_of_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide from kernels that this is a test: ipykernel would not look at what C code prints."""
    everything = make_environment

    def environment(spec: Spec, given: Mapping[str, str] | None) -> dict[str, str]:
        return {name: value for name, value in everything(spec, given).items() if name != "PYTEST_CURRENT_TEST"}

    for module in ("spec", "start", "source"):
        monkeypatch.setattr(f"pauseflow_nb.runner.kernels.{module}.make_environment", environment)


@pytest.fixture
def shared_supply() -> None:
    """A rehearsal that is given no supply starts its kernels here, to compare with."""


@pytest.fixture(params=SOURCES)
def run_otherwise(request: pytest.FixtureRequest, rehearse: Any, tmp_path: Path) -> Iterator[Any]:
    """Run cells in a kernel of another source than a cold one; returns the rehearsal."""
    supply = Supply("cold" if request.param == "kept" else request.param)

    def run(*cells: str) -> Any:
        if request.param == "prestarted":
            supply.start_ahead(find_spec("python3"), cwd=str(tmp_path), env=ENV)
        if request.param == "forked":
            # What another notebook has needed is there when this one begins.
            rehearse("import numpy, pandas").run(supply=supply)
        return _run_kept(rehearse, cells) if request.param == "kept" else _run(rehearse, cells, supply=supply)

    yield run
    supply.close()


def _run(rehearse: Any, cells: tuple[str, ...], **options: Any) -> Any:
    rehearsal = rehearse(*cells)
    rehearsal.run(**options)
    return rehearsal


def _run_kept(rehearse: Any, cells: tuple[str, ...]) -> Any:
    """Run cells after a pause in the kernel that the pause left alive, because of a generator."""
    rehearsal = rehearse(
        "g = (n for n in [1, 2]); import pauseflow_nb",
        "%%step ask\nnext(g)\npauseflow_nb.flow.suspend()",
        *cells,
        "next(g)",
    )
    rehearsal.briefing = replace(rehearsal.briefing, may_keep=True)
    found: list[KernelClient] = []
    assert rehearsal.run(keep=found.append).kind == "suspended"
    rehearsal.run(client=found[0], wake=WAKE)
    del rehearsal.document.cells[:2]
    return rehearsal


#: What each notebook shows in a kernel that is started for it: found out once.
_SHOWN_COLD: dict[str, list[Any]] = {}


def _difference(cold: Any, other: Any) -> Any:
    if not isinstance(cold, list) or not all(isinstance(each, str) for each in cold):
        return cold, other
    return {"only cold": sorted({*cold} - {*other}), "only there": sorted({*other} - {*cold})}


def _shown(rehearsal: Any, count: int) -> list[Any]:
    cells = rehearsal.document.cells[:count]
    return [[_without_place(each, str(rehearsal.folder)) for each in cell.outputs] for cell in cells]


def _without_place(output: Any, folder: str) -> Any:
    text = json.dumps({name: value for name, value in output.items() if name != "execution_count"})
    text = re.sub(r"ipykernel_\d+|(?<=In\[)\d+|0x[0-9a-f]+|\x1b\[[0-9;]*m|\\u001b\[[0-9;]*m", "…", text)
    text = text.replace(folder, "…")
    return re.sub(r'image/png": "[^"]*', 'image/png": "', text)


def test_a_notebook_sees_the_same_kernel(run_otherwise: Any, rehearse: Any, tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    expected = _run(rehearse, (LOOK,))
    assert expected.document.cells[0].outputs == []
    cold = json.loads((tmp_path / "seen.json").read_text())
    (tmp_path / "seen.json").unlink()
    run_otherwise(LOOK)
    other = json.loads((tmp_path / "seen.json").read_text())

    # In a kernel that was kept, some cells ran before.
    for seen in (cold, other):
        for name in ("modules", "modules of libraries"):
            seen[name] = [each for each in seen[name] if each not in BY_SAVING]
        seen["names"] = [
            each for each in seen["names"] if each not in {"g", "pauseflow_nb"} and not each.startswith("_")
        ]
    different = {name: _difference(cold[name], other[name]) for name in cold if cold[name] != other[name]}
    assert different == {}


@pytest.mark.every(4)
@pytest.mark.parametrize(("run_otherwise", "name"), SLICE, indirect=["run_otherwise"])
def test_a_notebook_shows_the_same(name: str, run_otherwise: Any, rehearse: Any) -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("matplotlib")
    cells = tuple(NOTEBOOKS[name])
    if name not in _SHOWN_COLD:
        _SHOWN_COLD[name] = _shown(_run(rehearse, cells), len(cells))

    other = _shown(run_otherwise(*cells), len(cells))

    assert other == _SHOWN_COLD[name]
