"""Run notebooks with real kernels in this process: the whole road without its command line."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import sqlalchemy as sa
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from pauseflow_nb.engine.attached import run_attached
from pauseflow_nb.engine.checkpoints import Restart
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.engine.retry_fork import fork, retry
from pauseflow_nb.launching import RunOptions, plan, start_attached
from pauseflow_nb.runner.kernels.source import Supply
from pauseflow_nb.store.database import transaction
from pauseflow_nb.store.tables import suspensions
from pauseflow_nb.store.workers import process_name

IMPORT = "from pauseflow_nb import flow, steps"


@dataclass
class Rider:
    """Starts executions and rides them until they wait or end."""

    queue: Queue
    folder: Path
    #: None: each kernel is a new process.
    supply: Supply | None = None

    def notebook(self, *sources: str, name: str = "in.ipynb") -> Path:
        """Write a notebook; a source that begins with `#: ` is a markdown cell."""
        cells = [new_markdown_cell(s) if s.startswith("#: ") else new_code_cell(s) for s in (IMPORT, *sources)]
        made = new_notebook(cells=cells)
        made.metadata.kernelspec = {"name": "python3", "language": "python", "display_name": "Python"}
        nbformat.write(made, self.folder / name)
        return self.folder / name

    def start(self, *sources: str, output: str | None = "out.ipynb", **parameters: Any) -> str:
        path = self.notebook(*sources)
        out = None if output is None else str(self.folder / output)
        return start_attached(self.queue, plan(str(path), out, parameters, RunOptions(cwd=str(self.folder))))

    def ride(self, execution: str, **options: Any) -> dict[str, Any]:
        """Run until it waits or ends."""
        return run_attached(self.queue, execution, supply=self.supply, **{"until_pause": True, **options})

    def run(self, *sources: str, **parameters: Any) -> dict[str, Any]:
        return self.ride(self.start(*sources, **parameters))

    def answer(self, execution: str, data: Any = None, **choice: Any) -> dict[str, Any]:
        """Answer what it waits for, and ride on."""
        answered = self.queue.resume(execution, data=data, by="user:ann", **choice)
        assert answered.status == 200, answered
        return self.ride(execution)

    def fork(self, execution: str, **choice: Any) -> str:
        return fork(self.queue, execution, by="user:ann", attached_to=process_name(), **choice)

    def retry(self, execution: str, **choice: Any) -> Restart:
        return retry(self.queue, execution, by="user:ann", attached_to=process_name(), **choice)

    def let_time_pass(self, view: dict[str, Any], hours: float) -> None:
        """Move what an execution waits for into the past."""
        with transaction(self.queue.engine) as connection:
            statement = suspensions.update().where(suspensions.c.execution == view["id"])
            connection.execute(statement.values(deadline=suspensions.c.deadline - sa.literal(hours * 3600.0)))

    def output(self, name: str = "out.ipynb") -> nbformat.NotebookNode:
        found: nbformat.NotebookNode = nbformat.read(self.folder / name, 4)
        nbformat.validate(found)
        return found

    def log(self) -> list[str]:
        """Words that the cells wrote with `LOG`."""
        path = self.folder / "log"
        return path.read_text().split() if path.exists() else []


def returned(view: dict[str, Any], step: str) -> Any:
    return view["steps"][step]["exports"]["$return_value"]


def shown(notebook: nbformat.NotebookNode) -> str:
    """All that a notebook's cells show, as JSON."""
    return json.dumps([cell.get("outputs", []) for cell in notebook.cells])


#: Defines `log(word)`, which writes to a file in the working directory.
LOG = "def log(word):\n    with open('log', 'a') as file:\n        file.write(word + '\\n')"
