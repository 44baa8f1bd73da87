"""`pauseflow` in processes of its own, as a person or a script runs it.

Most are forked where all is imported; see `acceptance.nursery` for what that hides.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat
from acceptance.forked import Forked, Nursery
from acceptance.web import wait_until

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.settings import Settings

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"


def example(name: str) -> Path:
    """Find an example notebook by its name without the number."""
    (found,) = NOTEBOOKS.glob(f"[0-9][0-9]_{name}.ipynb")
    return found


@dataclass
class Ended:
    """A `pauseflow` command that returned."""

    code: int
    stdout: str
    stderr: str
    output: Path

    @cached_property
    def execution(self) -> dict[str, Any]:
        """What `--json` printed; exactly one JSON value stands on standard output."""
        execution: dict[str, Any] = json.loads(self.stdout)
        return execution

    def exports(self, step: str) -> dict[str, Any]:
        exports: dict[str, Any] = self.execution["steps"][step]["exports"]
        return exports

    @cached_property
    def notebook(self) -> nbformat.NotebookNode:
        notebook: nbformat.NotebookNode = nbformat.read(self.output, as_version=4)
        nbformat.validate(notebook)
        return notebook

    def printed(self, cell_id: str) -> str:
        """What a cell wrote to standard output, from the finished notebook."""
        outputs = next(cell.outputs for cell in self.notebook.cells if cell.id == cell_id)
        return "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")


class Running:
    """A `pauseflow` command under way; its standard error is read as it comes."""

    def __init__(self, process: subprocess.Popen[str] | Forked, output: Path) -> None:
        self.process, self.output = process, output
        self._lines: list[str] = []
        self._stdout: list[str] = []
        self._threads = [
            threading.Thread(target=self._drain, args=(process.stderr, self._lines)),
            threading.Thread(target=self._drain, args=(process.stdout, self._stdout)),
        ]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _drain(stream: Any, into: list[str]) -> None:
        with stream:
            into.extend(iter(stream.readline, ""))

    @property
    def stderr(self) -> str:
        return "".join(self._lines)

    def line_with(self, text: str) -> str:
        """Wait for a line on standard error."""

        def found() -> str | None:
            if line := next((line for line in list(self._lines) if text in line), None):
                return line
            assert self.process.poll() is None or self._threads[0].is_alive(), f"no {text!r} in:\n{self.stderr}"
            return None

        line: str = wait_until(found, f"{text!r} on standard error")
        return line

    def link(self, action: str) -> str:
        """Wait for a printed link: `resume`, `cancel` or `approve`."""
        return "http" + self.line_with(f"/pauseflow/{action}/").partition("http")[2].split()[0]

    def kill(self) -> None:
        """End it and what it started, as a closed terminal or a power cut does."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def end(self) -> Ended:
        code = self.process.wait(timeout=100)
        for thread in self._threads:
            thread.join()
        return Ended(code, "".join(self._stdout), self.stderr, self.output)


@dataclass
class Pauseflow:
    """The command line, with a store and a working directory of its own."""

    folder: Path
    environment: dict[str, str]
    #: None: every command is a new process.
    nursery: Nursery | None = None
    running: list[Running] = field(default_factory=list)

    def start(self, *arguments: str | Path, output: Path | None = None) -> Running:
        """Run the command here, in a process group of its own."""
        if self.nursery is None or not self.nursery.can_fork(self.environment):
            return self.start_process("-m", "pauseflow_nb", *arguments, output=output)
        words = list(map(str, arguments))
        return self._running(self.nursery.fork(words, cwd=self.folder, environment=self.environment), output)

    def start_process(self, *arguments: str | Path, output: Path | None = None) -> Running:
        """Run Python here, in a new process and a process group of its own."""
        process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        return self._running(process, output)

    def _running(self, process: subprocess.Popen[str] | Forked, output: Path | None) -> Running:
        self.running.append(Running(process, output or self.folder / "out.ipynb"))
        return self.running[-1]

    def __call__(self, *arguments: str | Path) -> Ended:
        return self.start(*arguments).end()

    def start_example(self, name: str, *flags: str, **parameters: object) -> Running:
        """Run a notebook from notebooks/ with --json, attached."""
        data = self.folder / "data"
        if not data.exists():
            data.symlink_to(NOTEBOOKS / "data")
        given = [word for key, value in parameters.items() for word in ("-p", key, str(value))]
        output = self.folder / f"{name}.ipynb"
        return self.start("run", example(name), output, *given, "--json", *flags, output=output)

    def run_example(self, name: str, *flags: str, **parameters: object) -> Ended:
        return self.start_example(name, *flags, **parameters).end()

    def create_store(self) -> None:
        """Create the store, as the first run does: commands that only read do not."""
        Queue.open(Settings.load(environment=self.environment)).close()

    def executions(self) -> list[dict[str, Any]]:
        executions: list[dict[str, Any]] = json.loads(self("list", "--json").stdout)
        return executions
