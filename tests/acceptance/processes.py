"""Workers and attached runs in processes of their own, to be killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from pauseflow_nb.engine.plan import Plan
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.runner.notebook import freeze
from pauseflow_nb.settings import Settings

_WORKER = """
import signal, sys, threading
from pauseflow_nb.engine.worker import run_worker
from pauseflow_nb.settings import Settings
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
run_worker(Settings.load(), stop=stop, on_ready=lambda name: print(name, flush=True), drain_seconds=int(sys.argv[1]))
"""

_ATTACHED = """
import signal, sys
from pauseflow_nb.engine.attached import run_attached
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.runner.control import Control
from pauseflow_nb.settings import Settings
control = Control()
signal.signal(signal.SIGTERM, lambda *_: control.stop_at_boundary())
queue = Queue.open(Settings.load())
print("ready", flush=True)
view = run_attached(queue, sys.argv[1], control=control)
print(view["state"], "dbos" in sys.modules, flush=True)
queue.close()
"""


def is_alive(pid: int) -> bool:
    """Whether there is a process with this id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class Process:
    """A Python program under way; `said` is its first line."""

    def __init__(self, program: str, settings: Settings, *arguments: str, **environment: str) -> None:
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("PAUSEFLOW_", "JUPYTERHUB_"))}
        store = {
            "PAUSEFLOW_DATA_DIR": str(settings.data_dir),
            "PAUSEFLOW_DB": settings.db,
            "PAUSEFLOW_KERNELS": settings.kernels,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            env={**mine, **store, "IPYTHONDIR": str(settings.data_dir / "ipython"), **environment},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self._stdout = self._process.stdout
        self.ready_line = self._stdout.readline().strip()

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def ask_to_end(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def rest(self) -> str:
        """Wait for the end, and return what it said after its first line."""
        ready_line = self._stdout.read().strip()
        assert self._process.wait(30) == 0, ready_line
        return ready_line

    def close(self) -> None:
        if self._process.poll() is None:
            self.kill()
        self._stdout.close()


@dataclass
class Lab:
    """A store with real kernels, and the processes that work for it."""

    queue: Queue
    folder: Path
    processes: list[Process] = field(default_factory=list)

    def worker(self, *, drain_seconds: int = 60, **environment: str) -> Process:
        return self._started(Process(_WORKER, self.queue.settings, str(drain_seconds), **environment))

    def attached(self, execution: str) -> Process:
        return self._started(Process(_ATTACHED, self.queue.settings, execution))

    def plan(self, *sources: str, **values: Any) -> Plan:
        """A notebook whose steps may call `log(word)`, and `wait_for(name)` a file."""
        path = self.folder / "in.ipynb"
        cells = [new_code_cell(source) for source in (_TOOLS.format(folder=str(self.folder)), *sources)]
        notebook = new_notebook(cells=cells)
        notebook.metadata.kernelspec = {"name": "python3", "language": "python", "display_name": "Python"}
        nbformat.write(notebook, path)
        frozen = freeze(str(path))
        how: dict[str, Any] = {
            "output": str(self.folder / "out.ipynb"),
            "cwd": str(self.folder),
            "options": {},
            **values,
        }
        return Plan.of(frozen, notebook=str(path), created_by="user:test", **how)

    def log(self) -> list[str]:
        path = self.folder / "log"
        return path.read_text().split() if path.exists() else []

    def pid(self) -> int:
        """Process id of the kernel that wrote to the log last."""
        return int((self.folder / "pid").read_text())

    def let(self, name: str) -> None:
        (self.folder / name).touch()

    def output(self) -> nbformat.NotebookNode:
        notebook: nbformat.NotebookNode = nbformat.read(self.folder / "out.ipynb", 4)
        nbformat.validate(notebook)
        return notebook

    def _started(self, process: Process) -> Process:
        self.processes.append(process)
        return process


@contextmanager
def lab(settings: Settings, folder: Path) -> Iterator[Lab]:
    """Open a lab; whatever still runs at the end is ended."""
    made = Lab(Queue.open(settings), folder)
    try:
        yield made
    finally:
        for process in made.processes:
            process.close()
        made.queue.close()


_TOOLS = """\
import os, time
def log(word):
    with open({folder!r} + "/log", "a") as file:
        file.write(word + "\\n")
    with open({folder!r} + "/pid", "w") as file:
        file.write(str(os.getpid()))
def wait_for(name):
    while not os.path.exists({folder!r} + "/" + name):
        time.sleep(0.02)
"""
