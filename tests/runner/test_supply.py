"""Cold, prestarted or forked: a notebook cannot tell where its kernel came from."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pauseflow_nb.errors import KernelDied
from pauseflow_nb.protocol import Wake
from pauseflow_nb.runner.control import Control
from pauseflow_nb.runner.kernels.fork_client import CannotFork, ForkServer, can_fork
from pauseflow_nb.runner.kernels.source import Source, Supply, find_libraries
from pauseflow_nb.runner.kernels.spec import Spec, find_spec, make_environment

SOURCES: list[Source] = ["cold", "prestarted", "forked"]
if sys.platform != "linux":
    SOURCES.remove("forked")

# What code can see of the process that it runs in. Names of modules: only those that a notebook imports.
LOOK = """
import json, os, random, signal, sys, threading, warnings
print(json.dumps({
    "argv": [os.path.basename(sys.argv[0]), len(sys.argv)],
    "path": sys.path, "cwd": os.getcwd(), "main": __name__, "executable": sys.executable, "flags": str(sys.flags),
    "env": sorted(set(os.environ) - {"JPY_PARENT_PID", "_"}), "encoding": [sys.stdout.encoding, sys.getfilesystemencoding()],
    "recursion": sys.getrecursionlimit(), "thread": threading.current_thread() is threading.main_thread(),
    "stdin": os.path.realpath("/proc/self/fd/0").startswith(("/dev/null", "/proc")),
    "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
    "child": str(signal.getsignal(signal.SIGCHLD)),
    "filters": [str(each) for each in warnings.filters], "umask": os.umask(0o22),
    "loaded": [name for name in ("matplotlib", "debugpy", "IPython.lib.pylabtools") if name in sys.modules],
    "leader": os.getpgid(0) == os.getpid(),
}, indent=1))
"""


@pytest.fixture(autouse=True)
def _outside_of_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide from kernels that this is a test: ipykernel would not look at what C code prints."""
    everything = make_environment

    def environment(spec: Spec, given: Mapping[str, str] | None) -> dict[str, str]:
        found = everything(spec, given)
        found.pop("PYTEST_CURRENT_TEST", None)
        return found

    for module in ("spec", "start", "source"):
        monkeypatch.setattr(f"pauseflow_nb.runner.kernels.{module}.make_environment", environment)


@pytest.fixture(params=SOURCES)
def supply(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Supply]:
    """One of each, warm: what is handed out has been waiting, or is forked from what has."""
    with_one_waiting = Supply(request.param)
    if request.param == "prestarted":
        with_one_waiting.start_ahead(find_spec("python3"), cwd=str(tmp_path), env=_env())
    yield with_one_waiting
    with_one_waiting.close()


def _env() -> dict[str, str]:
    import pauseflow_nb

    return {"PYTHONPATH": str(Path(pauseflow_nb.__file__).parents[1])}


@pytest.fixture
def shared_supply() -> None:
    """A rehearsal that is given no supply starts its kernels here, to compare with."""


def test_a_notebook_sees_the_same_process(supply: Supply, rehearse: Any, tmp_path: Path) -> None:
    seen = rehearse(LOOK)
    seen.run(supply=supply)
    expected = rehearse(LOOK)
    expected.run()

    assert json.loads(seen.text(0)) == json.loads(expected.text(0))


@pytest.mark.every(2)
def test_steps_pause_and_go_on(supply: Supply, rehearse: Any) -> None:
    rehearsal = rehearse(
        "from pauseflow_nb import flow, steps\nimport numpy as np\ndata = np.arange(5)",
        "%%step ask\nflow.suspend()",
        "print(data.sum(), steps.ask.data)",
    )

    assert rehearsal.run(supply=supply).kind == "suspended"
    wake = Wake("ask", "suspend", "continue", by="user:ann", at="2026-11-20T10:00:00+00:00", callback={"body": 7})
    assert rehearsal.run(supply=supply, wake=wake).kind == "completed"

    assert rehearsal.text(2) == "10 7\n"
    assert len(set(rehearsal.log.pids)) == 2


@pytest.mark.every(2)
def test_everything_is_printed_and_flushed(supply: Supply, rehearse: Any, tmp_path: Path) -> None:
    rehearsal = rehearse(
        "import os, subprocess, sys\nos.write(1, b'from C\\n')\nprint('out')\nprint('err', file=sys.stderr)\nsys.stdout.flush()\n"
        "subprocess.run(['echo', 'from a program'])\nimport time\ntime.sleep(1.5)",
        "left_open = open('left.txt', 'w')\nleft_open.write('flushed')\nimport atexit\natexit.register(lambda: open('bye.txt', 'w').write('bye'))",
        "import local_module\nlocal_module.HERE",
    )
    (tmp_path / "local_module.py").write_text("HERE = 'beside the notebook'")
    end = rehearsal.run(supply=supply)

    assert end.kind == "completed"
    # Four writers share no order, and a line and its end are two writes; but nothing is lost or said twice.
    assert sorted(rehearsal.text(0)) == sorted("from C\nout\nerr\nfrom a program\n")
    assert "beside the notebook" in rehearsal.text(2)
    assert (tmp_path / "left.txt").read_text() == "flushed"
    assert (tmp_path / "bye.txt").read_text() == "bye"


@pytest.mark.every(2)
def test_an_interrupt_reaches_the_cell(supply: Supply, rehearse: Any) -> None:
    rehearsal = rehearse("import time\nprint('now', flush=True)\ntime.sleep(60)")
    rehearsal.control = Control()
    rehearsal.when_it_says("now", rehearsal.control.interrupt)

    end = rehearsal.run(supply=supply)

    assert (end.kind, end.failure.type) == ("interrupted", "KeyboardInterrupt")
    assert rehearsal.document.cells[0].outputs[-1].ename == "KeyboardInterrupt", "a kernel that was killed shows none"


@pytest.mark.every(2)
@pytest.mark.parametrize(("code", "says"), [("os._exit(3)", "3"), ("os.kill(os.getpid(), 9)", "SIGKILL")])
def test_a_death_is_noticed_at_once(supply: Supply, rehearse: Any, code: str, says: str) -> None:
    rehearsal = rehearse(f"import os\n{code}")
    with pytest.raises(KernelDied, match=says):
        rehearsal.run(supply=supply)


@pytest.mark.every(2)
def test_two_kernels_draw_different_numbers(supply: Supply, rehearse: Any) -> None:
    code = "import random, uuid, numpy as np\nprint(random.random(), np.random.rand(), uuid.uuid4(), np.random.default_rng().random())"
    drawn = []
    for _ in range(2):
        rehearsal = rehearse(code)
        rehearsal.run(supply=supply)
        drawn += rehearsal.text(0).split()

    assert len(set(drawn)) == 8


@pytest.mark.every(2)
def test_work_in_many_threads_and_processes(supply: Supply, rehearse: Any) -> None:
    rehearsal = rehearse(
        "import numpy as np, asyncio\nfrom concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor\n"
        "a = np.ones((400, 400))\nprint(int((a @ a).sum()))\nprint(sum(ThreadPoolExecutor(4).map(abs, range(10))))\n"
        "with ProcessPoolExecutor(2) as pool:\n    print(sum(pool.map(abs, range(10))))",
        "await asyncio.sleep(0)\nprint('awaited')",
    )
    rehearsal.run(supply=supply)

    assert (rehearsal.text(0), rehearsal.text(1)) == ("64000000\n45\n45\n", "awaited\n")


@pytest.mark.every(2)
def test_another_environments_python(
    supply: Supply, rehearse: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", other], check=True)
    site = next((other / "lib").glob("python*/site-packages"))
    # As if pip had installed there what is installed here.
    (site / "here.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    folder = tmp_path / "jupyter" / "kernels" / "other"
    folder.mkdir(parents=True)
    argv = [str(other / "bin" / "python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (folder / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "Other", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    rehearsal = rehearse("import sys\nprint(sys.prefix)", "%%step one\n1", kernel="other")
    end = rehearsal.run(supply=supply)

    assert (end.kind, rehearsal.text(0)) == ("completed", f"{other}\n")


def test_nothing_is_left_when_the_supply_closes(rehearse: Any, tmp_path: Path) -> None:
    supply = Supply("prestarted")
    rehearse("1").run(supply=supply)
    _wait(lambda: bool(supply._spares))
    spare = supply._spares[0].kernel
    supply.close()

    assert spare.process.returncode is not None
    assert not Path(spare.folder).exists()


def test_a_prestarted_kernel_that_died_or_fits_nothing_is_not_handed_out(rehearse: Any, tmp_path: Path) -> None:
    supply = Supply()
    spec = find_spec("python3")
    supply.start_ahead(spec, cwd=str(tmp_path), env=_env())
    supply._spares[0].kernel.process.kill()
    supply.start_ahead(spec, cwd="/", env=_env())
    _wait(lambda: supply._spares[0].kernel.process.poll() is not None)
    rehearsal = rehearse("import os; print(os.getcwd())")
    rehearsal.run(supply=supply)
    supply.close()

    assert rehearsal.text(0) == f"{tmp_path}\n"


needs_fork = pytest.mark.skipif("forked" not in SOURCES, reason="kernels are forked on Linux only")


@needs_fork
def test_a_module_beside_the_notebook_is_not_hidden_by_one_that_was_preloaded(rehearse: Any, tmp_path: Path) -> None:
    supply = Supply("forked")
    rehearse("import pandas").run(supply=supply)
    for name in ("pandas", "cloudpickle"):
        (tmp_path / f"{name}.py").write_text("mine = True")
    rehearsal = rehearse("import cloudpickle, pandas\npandas.mine and cloudpickle.mine")
    end = rehearsal.run(supply=supply)
    supply.close()

    assert end.failure is None
    assert rehearsal.text(0) == "True"


@needs_fork
def test_a_package_installed_meanwhile_is_seen(rehearse: Any) -> None:
    supply = Supply("forked")
    rehearse("1").run(supply=supply)
    first = next(iter(supply._servers.values()))
    first._install_times = {}
    rehearse("1").run(supply=supply)
    second = next(iter(supply._servers.values()))

    _wait(lambda: first.has_ended)
    assert second is not first
    supply.close()


@needs_fork
def test_kernels_end_with_the_process_that_requested_them(tmp_path: Path) -> None:
    program = tmp_path / "asks.py"
    program.write_text(
        "import time\nfrom pauseflow_nb.runner.client import KernelClient\nfrom pauseflow_nb.runner.kernels.spec import find_spec\n"
        "from pauseflow_nb.runner.kernels.source import Supply\nsupply = Supply('forked')\n"
        f"kernel = supply.take(find_spec('python3'), cwd={str(tmp_path)!r})\n"
        "client = KernelClient(kernel, print)\nclient.wait_until_ready(60)\n"
        'client.send(\'import subprocess, time; subprocess.Popen(["sleep", "100"]); time.sleep(100)\')\ntime.sleep(0.5)\n'
        "server, = supply._servers.values()\nprint('PIDS', kernel.pid, server.pid, flush=True)\ntime.sleep(100)"
    )
    asks = subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True, env={**os.environ, **_env()})
    assert asks.stdout is not None
    with asks.stdout as output:
        line = next(line for line in output if line.startswith("PIDS"))
        kernel, server = map(int, line.split()[1:])
        asks.send_signal(signal.SIGKILL)
        asks.wait()

    _wait(lambda: not _is_alive(kernel) and not _is_alive(server))
    assert not [pid for pid in _group(kernel) if _is_alive(pid)]


@needs_fork
def test_a_server_that_is_killed_takes_its_kernels_along_and_is_replaced(rehearse: Any) -> None:
    supply = Supply("forked")
    rehearsal = rehearse("import time\nprint('now', flush=True)\ntime.sleep(60)")
    rehearsal.log.when_output = lambda _cell, _output: os.kill(next(iter(supply._servers.values())).pid, signal.SIGKILL)
    with pytest.raises(KernelDied):
        rehearsal.run(supply=supply)
    again = rehearse("print('fine')")
    again.run(supply=supply)
    supply.close()

    assert again.text(0) == "fine\n"


@needs_fork
def test_a_library_that_cannot_be_imported_ahead_makes_a_cold_start(rehearse: Any, tmp_path: Path) -> None:
    broken = tmp_path / "elsewhere"
    broken.mkdir()
    (broken / "pandas.py").write_text("import warnings\nwarnings.warn('pandas has something to say')")
    env = {"PYTHONPATH": f"{_env()['PYTHONPATH']}:{broken}"}
    supply = Supply("forked")
    rehearsal = rehearse("import pandas")
    rehearsal.run(supply=supply, env=env)
    supply.close()

    assert "pandas has something to say" in rehearsal.text(0)


def test_only_ipykernel_as_it_is_installed_can_be_forked() -> None:
    assert can_fork(["/usr/bin/python", "-m", "ipykernel_launcher"]) == (sys.platform == "linux")
    assert not can_fork(["/usr/bin/python", "wrapper.py", "-m", "ipykernel_launcher"])
    assert not can_fork(["conda", "run", "python", "-m", "ipykernel_launcher"])
    assert not can_fork(["bash_kernel"])


@needs_fork
def test_a_server_that_does_not_start_says_so(tmp_path: Path) -> None:
    server = ForkServer(["/bin/false"], {})
    with pytest.raises(CannotFork, match="did not start"):
        server.fork([], cwd="/", folder=str(tmp_path), output=1, libraries=[])
    server.stop()


def test_libraries_are_found_in_cells() -> None:
    found = find_libraries(
        ["import numpy as np", "x = 1\n  from pandas import DataFrame", "important = 'import torch'"]
    )

    assert found == ["numpy", "pandas"]


def _wait(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def _group(leader: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[2]) == leader:
                found.append(int(stat.parent.name))
    return found


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
