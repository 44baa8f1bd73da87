"""What an attempt at a segment records while it runs, and reports to those who watch."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from engine.stage import ME, Stage, saved
from nbformat.v4 import new_output

from pauseflow_nb.engine.attempt_fence import Fenced
from pauseflow_nb.engine.progress_events import Event
from pauseflow_nb.engine.run_segment import Segments
from pauseflow_nb.errors import StoreUnavailable
from pauseflow_nb.protocol import Loss, MessageRequest, Outcome, PauseQuestion, SuspensionRequest
from pauseflow_nb.runner.control import Control
from pauseflow_nb.runner.document import Document
from pauseflow_nb.runner.observer import Observer, SegmentEnd
from pauseflow_nb.store import executions, segments, triggers
from pauseflow_nb.store.database import reading, transaction
from pauseflow_nb.store.tables import segments as segment_table

Act = Callable[[Observer, Document], object]

DONE = Outcome("finished", "ask", 1, exports={}, snapshot=saved())
PAUSE = PauseQuestion("ask", 1, 1001, SuspensionRequest("pause", seconds=3600.0, on_timeout="fail"))
ERRORS: list[Any] = [{"path": ["n"], "message": "must be even"}]
CHECKS: list[Any] = [
    {"name": "price", "is_drift": True, "reason": "7 became 8", "old": "7", "new": "8", "rows": []},
    {"name": "rate", "is_drift": False, "reason": "", "old": "1", "new": "1", "rows": []},
]


def play(stage: Stage, act: Act, execution: str | None = None) -> tuple[str, list[Event]]:
    """Play a segment in which the kernel has these things to report; return the execution and its events."""
    reported: list[Event] = []
    problems: list[Exception] = []

    def run(document: Document, _briefing: Any, *, observer: Observer, **_options: Any) -> SegmentEnd:
        try:
            act(observer, document)
        except Exception as problem:
            # Otherwise it would only fail the execution.
            problems.append(problem)
            raise
        return SegmentEnd("completed", len(document.cells))

    execution = execution or stage.start("%%step ask", "1")
    number = stage.queue.view(execution)["segment"]
    Segments(stage.queue, ME, run=run, on_event=reported.append).run(execution, number, Control())
    if problems:
        raise problems[0]
    return execution, reported


def the_execution(stage: Stage) -> str:
    return str(stage.queue.list()[0]["id"])


def row(stage: Stage, n: int = 0) -> Any:
    with reading(stage.queue.engine) as connection:
        return segments.find(connection, the_execution(stage), n)


def events(reported: list[Event]) -> list[tuple[str, dict[str, Any]]]:
    return [(event.kind, dict(event.data)) for event in reported if event.kind != "ended"]


def test_all_that_happens_is_reported(stage: Stage) -> None:
    shown = new_output("stream", text="hello")

    def act(observer: Observer, document: Document) -> None:
        observer.on_kernel(7)
        observer.on_losses([Loss("x", "int", "it is gone"), Loss("", "", "the directory is gone")])
        observer.on_step_start("ask", 1, 2, 0)
        observer.on_output(0, shown)
        observer.on_update(0, shown)
        observer.on_not_suspended("x cannot be saved")
        observer.on_checks(CHECKS, 0, None, document)
        observer.on_cell(0, 1)

    _, reported = play(stage, act)

    losses = [("said", {"text": f"⚠ {loss}"}) for loss in (Loss("x", "int", "it is gone"), "the directory is gone.")]
    assert events(reported) == [
        ("kernel", {"pid": 7, "segment": 0}),
        *losses,
        ("step", {"step": "ask", "run": 1, "attempt": 2}),
        ("output", {"cell": 0, "output": shown}),
        ("updated", {"cell": 0, "output": shown}),
        ("said", {"text": "it was not suspended: x cannot be saved"}),
        ("said", {"text": "⚠ price has changed since it was shown: 7 became 8"}),
        ("cell", {"cell": 0, "done": 1, "total": 2}),
    ]


WRITES: dict[str, Act] = {
    "the progress": lambda observer, _: observer.on_cell(0, 1),
    "losses": lambda observer, _: observer.on_losses([Loss("x", "int", "it is gone")]),
    "the start of a step": lambda observer, _: observer.on_step_start("ask", 1, 1, 0),
    "a checkpoint": lambda observer, document: observer.on_checkpoint(1, DONE, document),
    "checks": lambda observer, document: observer.on_checks(CHECKS, 0, None, document),
    "a response": lambda observer, _: observer.respond({"status": 200}),
    "that it was not suspended": lambda observer, _: observer.on_not_suspended("x cannot be saved"),
    "a pause": lambda observer, _: observer.find_answer(PAUSE, 0),
}


@pytest.mark.every(3)
@pytest.mark.parametrize("write", WRITES)
def test_an_attempt_that_was_overtaken_records_nothing(stage: Stage, write: str) -> None:
    def act(observer: Observer, document: Document) -> None:
        with transaction(stage.queue.engine) as connection:
            connection.execute(segment_table.update().values(attempt=segment_table.c.attempt + 1, worker="another"))
        before = facts()
        with pytest.raises(Fenced):
            WRITES[write](observer, document)
        assert facts() == before

    def facts() -> list[Any]:
        view = stage.queue.view(the_execution(stage))
        return [view["state"], view["steps"], view["cells"], view["suspended"], stage.whats(the_execution(stage))]

    play(stage, act)


def test_a_loss_is_recorded_once_however_many_kernels_report_it(stage: Stage) -> None:
    lost, other = Loss("x", "int", "it is gone"), Loss("y", "str", "so is this")

    def act(observer: Observer, _document: Document) -> None:
        observer.on_losses([lost])
        observer.on_losses([lost, other])
        observer.on_losses([other])

    execution, _ = play(stage, act)

    assert [loss["name"] for loss in row(stage).losses] == ["x", "y"]
    missed = [line for line in stage.queue.audit(execution) if line["what"] == "missed"]
    assert [line["details"]["losses"] for line in missed] == [[str(lost)], [str(lost), str(other)], [str(other)]]


def test_progress_is_recorded(stage: Stage) -> None:
    def act(observer: Observer, _document: Document) -> None:
        observer.on_cell(0, 1)
        assert stage.queue.view(the_execution(stage))["cells"]["done"] == 1

    play(stage, act)


def test_a_checkpoint_replaces_the_notebook_and_voids_the_pauses_of_its_step(stage: Stage) -> None:
    def act(observer: Observer, document: Document) -> None:
        execution = the_execution(stage)
        assert observer.find_answer(PAUSE, 0) is None
        document.cells[0].outputs = [new_output("stream", text="hello")]
        document.changed(0)
        observer.on_checkpoint(1, DONE, document)
        view = stage.queue.view(execution)
        assert (view["state"], view["cells"]["done"], view["suspended"]) == ("running", 1, [])
        assert view["steps"]["ask"]["state"] == "finished"
        assert b"hello" in stage.queue.document(execution)
        assert (row(stage).first_cell, row(stage).snapshot) == (1, "manifest.json")
        assert stage.send(execution, ordinal=1001)[0] == 410
        with pytest.raises(Fenced):
            observer.find_answer(PAUSE, 0)

    play(stage, act)


@pytest.mark.parametrize("is_saved", [True, False])
def test_checks_are_recorded_and_not_made_again_once_the_variables_are_saved(stage: Stage, *, is_saved: bool) -> None:
    execution = stage.suspended()
    stage.send(execution)
    before = stage.queue.document(execution)
    assert (folder := stage.queue.files.local) is not None

    def act(observer: Observer, document: Document) -> None:
        document.cells[2].outputs = [new_output("stream", text="hello")]
        document.changed(2)
        observer.on_checks(CHECKS, 2, DONE if is_saved else None, document)
        assert (b"hello" in stage.queue.document(execution)) is is_saved
        assert (stage.queue.document(execution) == before) is not is_saved
        assert len(list((folder / execution).glob("*.ipynb"))) == 1, "the notebook that was replaced is removed"
        assert row(stage, 1).wake.get("is_checked", False) is is_saved

    play(stage, act, execution)

    (line,) = [line for line in stage.queue.audit(execution) if line["what"] == "checked"]
    assert line["details"]["checks"] == CHECKS


def test_a_pause_is_asked_answered_refused_and_asked_again(stage: Stage) -> None:
    seen: list[Any] = []
    refused = PauseQuestion(**{**vars(PAUSE), "refusals": 1, "errors": ERRORS})

    def act(observer: Observer, _document: Document) -> None:
        execution = the_execution(stage)
        assert observer.find_answer(PAUSE, 0) is None
        seen.append(stage.queue.view(execution)["suspended"][0])
        assert stage.send(execution, ordinal=1001, body={"n": 1})[0] == 200
        answer = observer.find_answer(PAUSE, 0)
        assert answer is not None
        assert (answer.action, answer.by, answer.at[:2]) == ("resume", "link", "20")
        assert observer.find_answer(refused, 0) is None
        view = stage.queue.view(execution)
        seen.append(view["suspended"][0])
        assert view["state"] == "paused"
        assert stage.send(execution, ordinal=1001, body={"n": 2})[0] == 200
        assert observer.find_answer(refused, 0) is not None

    execution, reported = play(stage, act)

    assert [event.kind for event in reported[:4]] == ["suspended", "queued"] * 2
    assert [event.data["view"]["state"] for event in reported[:4]] == ["paused", "running"] * 2
    assert [each["errors"] for each in seen] == [None, ERRORS]
    assert seen[0]["shown"] != seen[1]["shown"], "who saw the question before the refusal saw another one"
    lines = {line["what"]: line for line in stage.queue.audit(execution)}
    assert (lines["paused"]["by"], lines["paused"]["step"]) == ("step:ask", "ask")
    assert (lines["refused"]["details"]["status"], lines["refused"]["details"]["errors"]) == (422, ERRORS)


@pytest.mark.parametrize("is_answered", [True, False])
def test_an_attempt_after_a_stop_finds_the_pause_as_it_is(stage: Stage, *, is_answered: bool) -> None:
    answers: list[Any] = []

    def run(document: Document, _briefing: Any, *, observer: Observer, **_options: Any) -> SegmentEnd:
        answers.append(observer.find_answer(PAUSE, 0))
        answers.append(stage.queue.state(execution))
        if len(answers) == 2 and is_answered:
            stage.send(execution, ordinal=1001)
        return SegmentEnd("stopped" if len(answers) == 2 else "completed", 0)

    reported: list[Event] = []
    execution = stage.start("%%step ask", "1")
    for _ in range(2):
        Segments(stage.queue, ME, run=run, on_event=reported.append).run(execution, 0, Control())

    first, state, second, later_state = answers
    assert (first, state) == (None, "paused")
    assert (second is not None, later_state) == ((True, "running") if is_answered else (False, "paused"))
    assert [event.kind for event in reported].count("suspended") == 2 - is_answered
    assert stage.whats(execution).count("paused") == 1


def test_a_store_that_does_not_answer_for_a_moment_is_asked_again(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_arguments: object) -> None:
        raise StoreUnavailable("the database", "it does not answer")

    def act(observer: Observer, _document: Document) -> None:
        assert observer.find_answer(PAUSE, 0) is None
        assert stage.send(the_execution(stage), ordinal=1001)[0] == 200
        sa.event.listen(stage.queue.engine, "before_cursor_execute", refuse)
        try:
            assert observer.find_answer(PAUSE, 0) is None
        finally:
            sa.event.remove(stage.queue.engine, "before_cursor_execute", refuse)
        assert observer.find_answer(PAUSE, 0) is not None

    play(stage, act)

    assert "could not look for an answer" in caplog.text


def test_what_a_step_asks_of_this_process(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAUSEFLOW_SECRET_KEY", "42")

    def act(observer: Observer, _document: Document) -> None:
        execution = the_execution(stage)
        problem = observer.deliver(MessageRequest("notify", ["nobody"], "subject", "text"))
        assert problem is not None
        assert problem[0] == "nobody"
        assert observer.find_secret("KEY") == "42"
        assert observer.respond({"status": 200}) is False
        with transaction(stage.queue.engine) as connection:
            triggers.add_start(connection, execution, trigger="hook", kind="http", event=None)
        assert observer.respond({"status": 200}) is True
        assert observer.respond({"status": 201}) is False
        with transaction(stage.queue.engine) as connection:
            executions.ask_to_suspend(connection, execution, "user:ann")
        observer.on_not_suspended("x cannot be saved")
        with reading(stage.queue.engine) as connection:
            assert executions.list_to_suspend(connection, [execution]) == {}
            assert triggers.read_response(connection, execution) == ({"status": 200}, "running")

    execution, _ = play(stage, act)

    lines = {line["what"]: line for line in stage.queue.audit(execution)}
    assert lines["not suspended"]["details"]["text"] == "x cannot be saved"
