"""What cells started that ends with the kernel, and stands in no variable, is said when it is saved."""

import sys
from typing import Any

import pytest
from kernel_snapshot.conftest import Kernels, cell

UNFINISHED = {
    "a timer that calls a function of the notebook": (
        "import threading\ndef beep(): pass\nthreading.Timer(600, beep).start()",
        ["timer 'Thread-", "which calls __main__.beep", "cancel it before the pause"],
    ),
    "a thread that runs a function of the notebook": (
        "import threading, time\ndef work():\n    while True: time.sleep(600)\nthreading.Thread(target=work, name='worker', daemon=True).start()",
        ["thread 'worker', which calls __main__.work", "ends with this kernel", "join it"],
    ),
    "a thread that calls what is Python's": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=[600], name='nap', daemon=True).start()",
        ["thread 'nap', which calls time.sleep"],
    ),
    "a thread of a class of the notebook": (
        "import threading\nclass Work(threading.Thread):\n    def run(self): self.end = threading.Event(); self.end.wait()\nWork(name='own', daemon=True).start()",
        ["thread 'own'"],
    ),
    "a thread in a list": (
        "import threading\nclass Job:\n    def run(self): threading.Event().wait()\nthreading.Thread(target=Job().run, name='job', daemon=True).start()",
        ["thread 'job', which calls __main__.Job.run"],
    ),
    "an executor that nobody holds, at work": (
        (
            "from concurrent.futures import ThreadPoolExecutor\nimport threading\nbegun = []\n"
            "def wait():\n    begun.append(1); threading.Event().wait()\n"
            "ThreadPoolExecutor(thread_name_prefix='pool').submit(wait)\nwhile not begun: pass"
        ),
        ["thread 'pool_0'"],
    ),
    "a process of multiprocessing": (
        (
            "import multiprocessing, time\ndef work(): time.sleep(600)\n"
            "multiprocessing.get_context('fork').Process(target=work, name='child', daemon=True).start()"
        ),
        ["process 'child'", "join it before the pause"],
    ),
    "a function of atexit": (
        "import atexit\n@atexit.register\ndef bye(): pass",
        ["__main__.bye, which `atexit` calls when this kernel ends", "`%%setup`"],
    ),
    "a method and a partial function of atexit": (
        (
            "import atexit, functools\nclass Box:\n    def close(self, how=None): pass\n"
            "atexit.register(Box().close, how='gently'); atexit.register(functools.partial(Box().close, 1), 2)"
        ),
        ["__main__.Box.close, which `atexit` calls"],
    ),
    "a function of Python's, for atexit": (
        "import atexit, shutil\natexit.register(shutil.rmtree, '/nowhere', ignore_errors=True)",
        ["shutil.rmtree, which `atexit` calls"],
    ),
    "weakref.finalize that nobody holds": (
        "import weakref\nclass Box: pass\nbox = Box()\ndef gone(): pass\nweakref.finalize(box, gone)\nNone",
        ["weakref.finalize() with __main__.gone"],
    ),
    "signal.alarm": (
        "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN); signal.alarm(600)\nNone",
        ["signal.ITIMER_REAL"],
    ),
    "signal.setitimer": (
        "import signal\nsignal.setitimer(signal.ITIMER_VIRTUAL, 600)\nNone",
        ["signal.ITIMER_VIRTUAL", "start it in a `%%setup` cell"],
    ),
    "faulthandler.register": (
        "import faulthandler, signal\nfaulthandler.register(signal.SIGUSR1)",
        ["faulthandler.register()"],
    ),
    "faulthandler.dump_traceback_later": (
        "import faulthandler\nfaulthandler.dump_traceback_later(600)",
        ["faulthandler.dump_traceback_later()", "its timer ends with this kernel"],
    ),
    "a patch of unittest.mock": (
        "from unittest.mock import patch\nimport os\npatch('os.getcwd', return_value='/').start()\nNone",
        ["unittest.mock.patch of 'getcwd'", "start it in a `%%setup` cell"],
    ),
    "a codec": (
        "import codecs\ndef find(name): return None\ncodecs.register(find)",
        ["codecs.register()", "call it in a `%%setup` cell"],
    ),
    "a codec, under another name": (
        "from codecs import register as add\ndef find(name): return None\nadd(find)",
        ["codecs.register()"],
    ),
    "an error handler whose name the text does not show": (
        "import codecs\nname = 'pf_mark'\ncodecs.register_error(name, lambda error: ('?', error.end))",
        ["codecs.register_error()"],
    ),
    "a variable of the environment that Python does not see": ("import os\nos.putenv('PF', '1')", ["os.putenv()"]),
    "the number of an open file": (
        "import os\nreader, writer = os.pipe(); os.close(writer)\nclosed = os.open('.', os.O_RDONLY); os.close(closed)",
        ["the file that number", "in reader stands for"],
    ),
    "what a library is told to do": (
        "import joblib.externals.loky as work\nfrom joblib.externals.loky import set_loky_pickler\nset_loky_pickler('pickle'); work.set_loky_pickler()",
        ["what joblib.externals.loky.", "set_loky_pickler() changes in joblib"],
    ),
    "what tqdm puts into pandas": (
        "import pandas; from tqdm import tqdm\ntqdm.pandas()",
        ["tqdm.pandas()"],
    ),
    "what a library is told under a name of its own": (
        "import joblib, threadpoolctl\njoblib.parallel_config(backend='threading'); threadpoolctl.threadpool_limits(1)\nNone",
        ["it ends with this kernel", "in a `%%setup` cell"],
    ),
    "the seed of polars": ("import polars\npolars.set_random_seed(3)", ["polars.set_random_seed()"]),
    "what is added to a library": (
        "import re, yaml\nyaml.add_implicit_resolver('!pf', re.compile('pf'))",
        ["what yaml.add_implicit_resolver() changes in yaml"],
    ),
    "an audit hook": (
        "import sys\nsys.addaudithook(lambda event, arguments: None)",
        ["sys.addaudithook()"],
    ),
}


@pytest.mark.every(3)
@pytest.mark.parametrize("what", UNFINISHED)
def test_what_ends_with_the_kernel_is_said_when_it_is_saved(what: str, kernels: Kernels) -> None:
    make, parts = UNFINISHED[what]

    saved = kernels.save(make)

    assert saved["unsaved"] == {}
    assert saved["notes"] != []
    for note in saved["notes"]:
        assert note.startswith("not saved: ")
        assert [part for part in parts if part not in note] == []
    assert kernels.restore(saved)["notes"] == []


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python has sys.monitoring since 3.12")
def test_a_tool_of_sys_monitoring_is_said(kernels: Kernels) -> None:
    saved = kernels.save("import sys\nsys.monitoring.use_tool_id(4, 'mine')")

    (note,) = saved["notes"]
    assert note.startswith("not saved: tool 'mine' of sys.monitoring")


@pytest.mark.every(3)
@pytest.mark.parametrize(
    "make",
    [
        "import threading\nended = threading.Thread(target=len, args=['x']); ended.start(); ended.join(); del ended",
        "import threading\nthreading.Timer(600, print).start()\nfor each in threading.enumerate():\n    if isinstance(each, threading.Timer): each.cancel(); each.join()\ndel each",
        "import atexit\ndef bye(): pass\natexit.register(bye); atexit.unregister(bye)",
        "import signal\nsignal.setitimer(signal.ITIMER_VIRTUAL, 600); signal.setitimer(signal.ITIMER_VIRTUAL, 0)\nNone",
        "import tempfile, os\nwith tempfile.TemporaryDirectory() as folder: pass",
        "import logging, multiprocessing, concurrent.futures, asyncio, weakref, atexit, threading",
        "import matplotlib.pyplot, pandas, atexit, threading",
        "import tqdm, threading\nfor _ in tqdm.tqdm(range(3)): pass",
        "import codecs, csv, joblib\nassert joblib.hash(1); set_up = codecs.lookup('utf-8'); csv.list_dialects()",
        "import os\nreader, writer = os.pipe(); os.close(reader); os.close(writer)",
        "class Ours:\n    def register(self): return 1\n    def set_name(self): return 2\nours = Ours(); ours.register(); ours.set_name()\ndef setup(): pass\nsetup()",
        "import joblib\nwith joblib.parallel_config(n_jobs=1): pass",
        "import asyncio, threading\nasync def work(): return await asyncio.to_thread(len, 'abc')\nassert await work() == 3",
    ],
)
def test_what_has_ended_or_is_a_librarys_is_not_said(make: str, kernels: Kernels) -> None:
    for library in ("matplotlib", "pandas", "tqdm"):
        if library in make:
            pytest.importorskip(library)
    saved = kernels.save(make)

    assert saved["notes"] == []


def test_what_a_setup_starts_is_not_said(kernels: Kernels) -> None:
    start = "import atexit, threading\ndef work(): threading.Event().wait()\nthreading.Thread(target=work, daemon=True).start()\natexit.register(work)"
    save = {"do": "save", "folder": kernels.folder}

    def notes(*actions: dict[str, Any]) -> list[str]:
        return kernels.run(*actions, save)[-1]["notes"]  # type: ignore[no-any-return]

    assert notes({"do": "begin_setup"}, cell(start), {"do": "end_setup"}) == []
    assert len(notes({"do": "begin_setup"}, cell(start), {"do": "end_setup"}, cell(start))) == 2


def test_a_thread_in_a_variable_is_said_once(kernels: Kernels) -> None:
    saved = kernels.save(
        "import threading\nwaiting = threading.Timer(600, print); waiting.daemon = True; waiting.start()"
    )

    assert saved["unsaved"].keys() == {"waiting"}
    assert saved["notes"] == []


def test_a_function_that_traces_is_not_called_for_what_saving_does(kernels: Kernels) -> None:
    saved = kernels.save(
        "import sys\nevents = []\ndef traced(frame, event, arg): events.append(frame.f_code.co_name)\n"
        "rows = [[n] for n in range(2_000)]\nsys.settrace(traced)"
    )

    kernels.restore(saved, "assert 'switched_off' in events and 'dump_namespace' not in events")
