"""A stage for the engine: executions of made-up notebooks, and a function that plays the kernel."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import nbformat
import sqlalchemy as sa
from nbformat.v4 import new_code_cell, new_notebook

from pauseflow_nb.cells import read_header
from pauseflow_nb.engine.authorization import Callback
from pauseflow_nb.engine.plan import Plan
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.engine.run_segment import Segments
from pauseflow_nb.errors import KernelDied
from pauseflow_nb.links import Claim
from pauseflow_nb.protocol import Briefing, Failure, Outcome, SnapshotRef, StepBriefing, SuspensionRequest
from pauseflow_nb.runner.control import Control
from pauseflow_nb.runner.document import Document
from pauseflow_nb.runner.observer import Observer, SegmentEnd
from pauseflow_nb.runner.output_file import OutputFile
from pauseflow_nb.store.database import transaction
from pauseflow_nb.store.tables import suspensions

ME = "test:1:me"


def notebook(*sources: str) -> bytes:
    made = new_notebook(cells=[new_code_cell(source, id=f"c{n}") for n, source in enumerate(sources)])
    return str(nbformat.writes(made)).encode()


def plan(*sources: str, **values: Any) -> Plan:
    defaults: dict[str, Any] = {
        "notebook": "in.ipynb",
        "output": None,
        "inputs": {},
        "kernel": "python3",
        "interpreter": None,
        "cwd": "/",
        "created_by": "user:ann",
    }
    steps = [header.name for source in sources if (header := read_header(source)) and header.kind == "step"]
    return Plan(**{**defaults, "document": notebook(*sources), "cells": len(sources), "steps": steps, **values})


@dataclass
class Script:
    """Plays the kernel: `steps` says what each step does when it runs."""

    steps: dict[str, Callable[[Briefing], Outcome | None]] = field(default_factory=dict)
    #: Every run of every step, in order: (step, run, attempt).
    ran: list[tuple[str, int, int]] = field(default_factory=list)
    briefings: list[Briefing] = field(default_factory=list)
    observer: Observer | None = None

    def __call__(
        self,
        document: Document,
        briefing: Briefing,
        *,
        observer: Observer,
        control: Control,
        output: OutputFile | None = None,
        may_run: Callable[[int], bool] = lambda _cell: True,
        **_options: Any,
    ) -> SegmentEnd:
        end = self._played(document, briefing, observer, control, output, may_run)
        if output is not None:
            document.changed()
            output.save(document)
        return end

    def _played(
        self,
        document: Document,
        briefing: Briefing,
        observer: Observer,
        control: Control,
        output: OutputFile | None,
        may_run: Callable[[int], bool],
    ) -> SegmentEnd:
        self.briefings.append(briefing)
        self.observer = observer
        checkpoint = briefing.first_cell
        for index in range(briefing.first_cell, len(document.cells)):
            if control.request:
                return SegmentEnd("stopped" if control.request == "stop" else "interrupted", checkpoint)
            if not may_run(index):
                return SegmentEnd("handed over", index, Outcome("finished", "", 0, snapshot=saved()))
            header = read_header(document.cells[index].source)
            if header is not None and header.kind == "step":
                step_briefing = briefing.steps.get(header.name, StepBriefing())
                run, attempt = step_briefing.runs + 1, step_briefing.interrupted + 1
                observer.on_step_start(header.name, run, attempt, index)
                self.ran.append((header.name, run, attempt))
                outcome = self.steps.get(header.name, finish)(briefing)
                outcome = outcome or finish(briefing)
                if output is not None:
                    # As messages of the kernel come.
                    document.changed()
                    output.save(document)
                outcome = Outcome(**{**vars(outcome), "step": header.name, "run": run})
                if outcome.kind == "suspended":
                    assert outcome.suspension is not None
                    again = outcome.suspension.then == "rerun"
                    return SegmentEnd("suspended", index if again else index + 1, outcome)
                if outcome.kind == "exited":
                    return SegmentEnd("exited", index + 1, outcome)
                if outcome.kind == "failed":
                    return SegmentEnd("failed", checkpoint, outcome, outcome.failure)
                checkpoint = index + 1
                observer.on_checkpoint(checkpoint, outcome, document)
            observer.on_cell(index, index + 1)
        return SegmentEnd("completed", len(document.cells))


def saved() -> SnapshotRef:
    return SnapshotRef("manifest.json", "digest")


def finish(_briefing: Briefing) -> Outcome:
    return Outcome("finished", "", exports={"$return_value": 1}, snapshot=saved())


def suspend(**ask: Any) -> Callable[[Briefing], Outcome]:
    asked = SuspensionRequest(**{"kind": "suspend", "on_timeout": "cancel", **ask})
    return lambda _briefing: Outcome("suspended", "", exports={"x": 1}, suspension=asked, snapshot=saved())


def fail(text: str = "it broke") -> Callable[[Briefing], Outcome]:
    return lambda _briefing: Outcome("failed", "", failure=Failure("ValueError", text))


def die(_briefing: Briefing) -> Outcome:
    raise KernelDied(-9)


def in_turn(*acts: Callable[[Briefing], Outcome | None]) -> Callable[[Briefing], Outcome | None]:
    """Do the first thing the first time, the second thing the second time, and so on."""
    left = list(acts)
    return lambda briefing: left.pop(0)(briefing)  # noqa: PLW0108  (the next one each time)


@dataclass
class Stage:
    """Starts executions that are attached to the test, and plays their segments."""

    queue: Queue
    script: Script = field(default_factory=Script)

    @property
    def recording(self) -> Observer | None:
        """Who is told what happens in the segment that is played."""
        return self.script.observer

    def start(self, *sources: str, **values: Any) -> str:
        return self.queue.start(plan(*sources, **values), attached_to=ME)

    def play(self, execution: str, n: int | None = None, control: Control | None = None) -> str:
        number = self.queue.view(execution)["segment"] if n is None else n
        return Segments(self.queue, ME, run=self.script).run(execution, number, control or Control())

    def suspended(self, **ask: Any) -> str:
        """An execution that waits in the step `ask`, the second of three cells."""
        self.script.steps["ask"] = suspend(**ask)
        execution = self.start("%%step first", "%%step ask", "%%step last")
        assert self.play(execution) == "ended"
        return execution

    def send(
        self, execution: str, action: str = "resume", body: Any = None, **claim: Any
    ) -> tuple[int, dict[str, Any]]:
        facts: dict[str, Any] = {"segment": 0, "step": "ask", "ordinal": 0, **claim}
        envelope = {"method": "POST", "body": body}
        answer = self.queue.settle(
            Claim(execution, action=action, **facts),
            Callback(action, envelope, "link"),  # type: ignore[arg-type]
        )
        return answer.status, answer.body

    def make_overdue(self, execution: str) -> None:
        """Move the deadlines of an execution an hour into the past."""
        with transaction(self.queue.engine) as connection:
            statement = suspensions.update().where(suspensions.c.execution == execution)
            connection.execute(statement.values(deadline=sa.func.coalesce(suspensions.c.deadline, 0.0) - 3600.0))

    def whats(self, execution: str) -> list[str]:
        return [line["what"] for line in self.queue.audit(execution)]


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Call all at the same moment, each in a thread of its own; errors are results."""
    barrier = threading.Barrier(len(calls))
    results: list[Any] = [None] * len(calls)

    def run(index: int, call: Callable[[], Any]) -> None:
        barrier.wait()
        try:
            results[index] = call()
        except Exception as problem:  # noqa: BLE001
            results[index] = problem

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
