"""A real kernel for every segment, and what an engine would do around it, in a few lines."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

import pauseflow_nb
from pauseflow_nb.json_values import JSON
from pauseflow_nb.links import Signer
from pauseflow_nb.protocol import (
    Briefing,
    Loss,
    MessageRequest,
    Outcome,
    PauseAnswer,
    PauseQuestion,
    StepBriefing,
    Wake,
)
from pauseflow_nb.runner.control import Control
from pauseflow_nb.runner.document import Document
from pauseflow_nb.runner.kernels.source import Supply
from pauseflow_nb.runner.notebook import freeze
from pauseflow_nb.runner.observer import SegmentEnd
from pauseflow_nb.runner.segment import run_segment
from pauseflow_nb.user_secrets.providers import Providers

SIGNER = Signer(["a key for tests"])
BASE = "http://127.0.0.1:7287"


@dataclass
class Log:
    """An observer that remembers all calls."""

    pids: list[int] = field(default_factory=list)
    cells: list[tuple[int, int]] = field(default_factory=list)
    steps: list[tuple[str, int, int, int]] = field(default_factory=list)
    checkpoints: list[tuple[int, Outcome]] = field(default_factory=list)
    outputs: list[tuple[int, NotebookNode]] = field(default_factory=list)
    answers: list[PauseAnswer | None] = field(default_factory=list)
    messages: list[MessageRequest] = field(default_factory=list)
    not_suspended: list[str] = field(default_factory=list)
    responses: list[dict[str, JSON]] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    checks: list[tuple[list[dict[str, JSON]], Outcome | None]] = field(default_factory=list)
    updates: list[tuple[int, NotebookNode]] = field(default_factory=list)
    when_output: Callable[[int, NotebookNode], None] = lambda _cell, _output: None
    when_checkpoint: Callable[[Document], None] = lambda _document: None

    def on_kernel(self, pid: int) -> None:
        self.pids.append(pid)

    def on_cell(self, index: int, done: int) -> None:
        self.cells.append((index, done))

    def on_losses(self, losses: list[Loss]) -> None:
        self.losses += losses

    def on_step_start(self, step: str, run: int, attempt: int, cell: int) -> None:
        self.steps.append((step, run, attempt, cell))

    def on_checkpoint(self, next_cell: int, outcome: Outcome, document: Document) -> None:
        self.checkpoints.append((next_cell, outcome))
        self.when_checkpoint(document)

    def on_checks(
        self, checks: list[dict[str, JSON]], first_cell: int, saved: Outcome | None, document: Document
    ) -> None:
        self.checks.append((checks, saved))

    def respond(self, response: dict[str, JSON]) -> bool:
        self.responses.append(response)
        return len(self.responses) == 1

    def find_answer(self, question: PauseQuestion, cell: int) -> PauseAnswer | None:
        return self.answers.pop(0) if self.answers else None

    def find_secret(self, name: str) -> str:
        return Providers().find(name)

    def deliver(self, message: MessageRequest) -> tuple[str, str] | None:
        self.messages.append(message)
        return None

    def on_not_suspended(self, problem: str) -> None:
        self.not_suspended.append(problem)

    def on_update(self, cell: int, output: NotebookNode) -> None:
        self.updates.append((cell, output))

    def on_output(self, cell: int, output: NotebookNode) -> None:
        self.outputs.append((cell, output))
        self.when_output(cell, output)


@dataclass
class Rehearsal:
    """One execution without an engine: every `run` is a segment in a new kernel."""

    folder: Path
    cells: list[NotebookNode]
    kernel: str = "python3"
    #: None: each kernel is a new process.
    supply: Supply | None = None

    def __post_init__(self) -> None:
        self.path = self.folder / "notebook.ipynb"
        self.path.write_text(nbformat.writes(notebook_of(self.cells, self.kernel)))
        frozen = freeze(str(self.path))
        self.document = Document.from_bytes(frozen.document)
        self.log = Log()
        self.control = Control()
        self.briefing = Briefing(
            execution="e1",
            notebook=str(self.path),
            started_at="2026-11-20T10:00:00+00:00",
            segment=-1,
            snapshots=str(self.folder / "snapshots"),
            steps={name: StepBriefing() for name in frozen.steps},
        )
        (self.folder / "snapshots").mkdir(exist_ok=True)

    def run(self, *, wake: Wake | None = None, **options: Any) -> SegmentEnd:
        """Run the next segment, from where the last one ended."""
        segment = self.briefing.segment + 1
        if wake is not None and wake.callback is not None:
            self.briefing.steps[wake.step].exports["$resume_data"] = wake.callback
        steps = {
            name: replace(step, links=[SIGNER.links(BASE, "e1", segment, name)])
            for name, step in self.briefing.steps.items()
        }
        first = self.briefing.first_cell
        sources = {str(i): cell.source for i, cell in enumerate(self.document.cells) if cell.cell_type == "code"}
        self.briefing = replace(
            self.briefing,
            segment=segment,
            steps=steps,
            wake=wake,
            execution_count=self.document.execution_count(before=first),
            coming={i: source for i, source in sources.items() if int(i) >= first},
            passed={i: source for i, source in sources.items() if int(i) < first and not source.startswith("%%step")},
        )
        arguments: dict[str, Any] = {"kernel": self.kernel, "cwd": str(self.folder), "supply": self.supply} | options
        arguments["env"] = {**PYTHONPATH, **options.get("env", {})}
        end = run_segment(self.document, self.briefing, observer=self.log, control=self.control, **arguments)
        self._take(end)
        # As an engine does: what is kept is bytes.
        self.document = Document.from_bytes(self.document.to_bytes())
        return end

    def when_it_says(self, word: str, act: Callable[[], None]) -> None:
        """Act, in another thread, when a cell prints a word: not at each output, which an interrupt causes, too."""

        def listen(_cell: int, output: NotebookNode) -> None:
            if word in output.get("text", ""):
                threading.Thread(target=act).start()

        self.log.when_output = listen

    def text(self, cell: int) -> str:
        """What a cell shows, as plain text."""
        return plain(self.document.cells[cell])

    def links(self, step: str) -> dict[str, str]:
        """The links that a step had in the last segment."""
        return SIGNER.links(BASE, "e1", self.briefing.segment, step)

    def _take(self, end: SegmentEnd) -> None:
        outcomes = [outcome for _, outcome in self.log.checkpoints] + ([end.outcome] if end.outcome else [])
        updated = {o.step: StepBriefing(runs=o.run, exports=dict(o.exports)) for o in outcomes}
        snapshot = next((o.snapshot for o in reversed(outcomes) if o.snapshot is not None), self.briefing.snapshot)
        self.briefing = replace(
            self.briefing, first_cell=end.next_cell, snapshot=snapshot, steps={**self.briefing.steps, **updated}
        )


PYTHONPATH = {"PYTHONPATH": str(Path(pauseflow_nb.__file__).parents[1])}


def notebook_of(cells: list[NotebookNode], kernel: str = "python3") -> NotebookNode:
    notebook = new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": kernel, "display_name": kernel, "language": "python"}
    return NotebookNode(notebook)


def plain(cell: NotebookNode) -> str:
    shown = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return "".join(shown)


@pytest.fixture
def rehearse(tmp_path: Path, shared_supply: Supply | None) -> Iterator[Callable[..., Rehearsal]]:
    """Make a rehearsal of cells, given as sources or as cells; every document it leaves must be valid."""
    made: list[Rehearsal] = []

    def rehearsal(*cells: str | NotebookNode, kernel: str = "python3") -> Rehearsal:
        nodes = [new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
        made.append(Rehearsal(tmp_path, nodes, kernel, shared_supply))
        return made[-1]

    yield rehearsal
    for one in made:
        nbformat.validate(nbformat.reads(one.document.to_bytes().decode(), as_version=4))
