"""How a segment ends when it does not end by itself."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from pauseflow_nb.errors import KernelDied
from pauseflow_nb.runner.cell_statuses import status_of
from pauseflow_nb.runner.control import Control
from pauseflow_nb.runner.kernels.kernel import Kernel
from pauseflow_nb.runner.output_file import OutputFile


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_an_interrupted_step_fails_with_a_keyboard_interrupt(rehearse: Any) -> None:
    rehearsal = rehearse(
        "%%step one\n1", "%%step two\nimport time\nprint('now', flush=True)\ntime.sleep(60)", "print('never')"
    )
    rehearsal.when_it_says("now", rehearsal.control.interrupt)

    end = rehearsal.run()

    assert (end.kind, end.next_cell, end.failure.type) == ("interrupted", 1, "KeyboardInterrupt")
    assert [status_of(cell) for cell in rehearsal.document.cells] == ["completed", "interrupted", "pending"]
    assert not is_alive(rehearsal.log.pids[0])


def test_a_cell_that_ignores_the_interrupt_is_killed(rehearse: Any) -> None:
    stubborn = (
        "import signal, time\n"
        "signal.signal(signal.SIGINT, lambda *_: print('no', flush=True))\n"
        "print('now', flush=True)\n"
        "time.sleep(600)"
    )
    rehearsal = rehearse(stubborn)
    rehearsal.control = Control(grace_seconds=1)
    rehearsal.when_it_says("now", rehearsal.control.interrupt)

    end = rehearsal.run()

    assert end.kind == "interrupted"
    assert "no\n" in rehearsal.text(0)
    assert status_of(rehearsal.document.cells[0]) == "interrupted"


def test_it_stops_at_a_boundary_and_goes_on_from_the_checkpoint(rehearse: Any) -> None:
    rehearsal = rehearse("%%step one\npass", "print('plain')", "print('not yet')")
    rehearsal.log.when_output = lambda _cell, _output: rehearsal.control.stop_at_boundary()

    end = rehearsal.run()

    assert (end.kind, end.next_cell) == ("stopped", 1)
    assert [status_of(cell) for cell in rehearsal.document.cells] == ["completed", "completed", "pending"]

    rehearsal.control, rehearsal.log.when_output = Control(), lambda _cell, _output: None
    assert rehearsal.run().kind == "completed"
    assert [cell.execution_count for cell in rehearsal.document.cells] == [1, 2, 3]


def test_a_request_before_the_kernel_started_counts(rehearse: Any) -> None:
    rehearsal = rehearse("print('never')")
    rehearsal.control.interrupt()

    end = rehearsal.run()

    assert (end.kind, end.next_cell, rehearsal.text(0)) == ("interrupted", 0, "")


def test_a_killed_segment_ends_at_once(rehearse: Any) -> None:
    rehearsal = rehearse("import time\nprint('now', flush=True)\ntime.sleep(60)")
    rehearsal.when_it_says("now", rehearsal.control.kill)

    end = rehearsal.run()

    assert (end.kind, end.next_cell, rehearsal.text(0)) == ("interrupted", 0, "now\n")
    assert status_of(rehearsal.document.cells[0]) == "interrupted"


def test_a_dead_kernel_leaves_its_outputs(rehearse: Any, tmp_path: Path) -> None:
    rehearsal = rehearse(
        "%%step one\n1",
        # ZeroMQ sends it in a thread of its own, a moment later.
        "import os, time\nprint('last words', flush=True)\ntime.sleep(0.2)\nos.kill(os.getpid(), 9)",
        "print('never')",
    )
    output = OutputFile(str(tmp_path / "out.ipynb"), execution="e1", is_first=True)

    with pytest.raises(KernelDied) as caught:
        rehearsal.run(output=output)

    assert caught.value.status == -signal.SIGKILL
    assert rehearsal.text(1) == "last words\n"
    assert [status_of(cell) for cell in rehearsal.document.cells] == ["completed", "interrupted", "pending"]
    assert "last words" in output.path.read_text()
    assert [next_cell for next_cell, _ in rehearsal.log.checkpoints] == [1]


def test_elsewhere_than_on_linux_a_dead_kernel_is_noticed_too(
    rehearse: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("too long for the name of a socket" * 4)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    monkeypatch.setattr(Kernel, "open_end", lambda _kernel: None)
    rehearsal = rehearse("import os\nprint('over tcp', flush=True)", "os._exit(3)")

    with pytest.raises(KernelDied) as caught:
        rehearsal.run()

    assert (caught.value.status, rehearsal.text(0)) == (3, "over tcp\n")
    assert list(deep.iterdir()) == []


def test_an_observer_that_raises_aborts_and_kills(rehearse: Any) -> None:
    rehearsal = rehearse("%%step one\n1", "open('ran', 'w')")

    def fenced(_document: object) -> None:
        raise RuntimeError("fenced off")

    rehearsal.log.when_checkpoint = fenced

    with pytest.raises(RuntimeError, match="fenced off"):
        rehearsal.run()

    assert not is_alive(rehearsal.log.pids[0])
    assert not (rehearsal.folder / "ran").exists()


def test_a_cell_that_takes_too_long_fails(rehearse: Any) -> None:
    rehearsal = rehearse("import time\ntime.sleep(60)")

    end = rehearsal.run(cell_timeout=0.3)

    assert (end.kind, end.failure.type, end.failure.message) == (
        "failed",
        "TimeoutError",
        "the cell ran longer than 0.3 s",
    )
    assert status_of(rehearsal.document.cells[0]) == "failed"


def test_time_limits_may_be_of_any_length(rehearse: Any) -> None:
    end = rehearse("1").run(start_timeout=1e300, cell_timeout=1e300)

    assert end.kind == "completed"


def test_the_error_of_a_cell_that_ends_its_kernel_names_flow_exit(rehearse: Any) -> None:
    rehearsal = rehearse("exit()", "print('never')")

    end = rehearsal.run()

    assert (end.kind, end.failure.type) == ("failed", "SystemExit")
    assert "flow.exit()" in end.failure.message


def test_files_left_open_are_flushed_and_children_are_gone(rehearse: Any, wait_until: Any) -> None:
    rehearsal = rehearse(
        "kept = open('kept.txt', 'w'); n = kept.write('all of it')",
        "import atexit; atexit.register(lambda: open('said.txt', 'w').write('bye'))\n"
        "import subprocess; print(subprocess.Popen(['sleep', '60']).pid)",
    )

    assert rehearsal.run().kind == "completed"

    assert (rehearsal.folder / "kept.txt").read_text() == "all of it"
    assert (rehearsal.folder / "said.txt").read_text() == "bye"
    wait_until(lambda: not is_alive(int(rehearsal.text(1).splitlines()[0])), description="the child is gone")


RUNNER = """
import sys
from conftest import Rehearsal
from nbformat.v4 import new_code_cell
from pathlib import Path
busy = '''import subprocess, os
child = subprocess.Popen(['sleep', '60'])
open('pids', 'w').write(f'{os.getpid()} {child.pid}')
import re
re.match(r'(a+)+$', 'a' * 64 + 'b')'''
Rehearsal(Path(sys.argv[1]), [new_code_cell(busy)]).run()
"""


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_killed_runner_leaves_no_kernel_even_if_it_never_looks_up(tmp_path: Path, wait_until: Any) -> None:
    here = str(Path(__file__).parent)
    paths = os.pathsep.join([here, str(Path(here).parents[1])])
    runner = subprocess.Popen([sys.executable, "-c", RUNNER, str(tmp_path)], env={**os.environ, "PYTHONPATH": paths})
    pids = tmp_path / "pids"
    wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2, description="the cell runs")
    kernel, child = map(int, pids.read_text().split())
    assert is_alive(kernel)

    runner.kill()
    runner.wait()

    wait_until(
        lambda: not is_alive(kernel) and not is_alive(child), description="kernel and child are gone", seconds=1.5
    )
