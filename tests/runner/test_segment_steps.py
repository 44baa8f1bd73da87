"""The road of a notebook with steps, over several kernels."""

from typing import Any

from nbformat.v4 import new_code_cell, new_markdown_cell

from pauseflow_nb.protocol import Wake
from pauseflow_nb.runner.cards import Decision, close_document
from pauseflow_nb.runner.cell_statuses import status_of

ANSWERED = Wake(
    step="approve", kind="suspend", by="user:ann", at="2026-11-20T10:30:00+00:00", callback={"body": {"ok": 1}}
)


def test_variables_outputs_and_numbers_go_on_in_a_new_kernel(rehearse: Any) -> None:
    rehearsal = rehearse(
        "from pauseflow_nb import flow, steps\nimport os",
        "%%setup\nprint('made in', os.getpid())\nclient = [1]",
        new_markdown_cell("between"),
        "data = {'n': 41}; print('pid', os.getpid())",
        "%%step approve\nlinks = flow.suspend(title='Deploy?', message='Look first')\nprint(links.resume_url)\nprint('asked')",
        "%%step act\nprint('pid', os.getpid(), data['n'] + 1, client, steps.approve.data)",
        "data['n'] + 1",
    )

    end = rehearsal.run()

    assert (end.kind, end.next_cell, end.outcome.suspension.title) == ("suspended", 5, "Deploy?")
    assert rehearsal.log.steps == [("approve", 1, 1, 4)]
    assert [status_of(cell) for cell in rehearsal.document.cells] == [
        *["completed"] * 4,
        "suspended",
        "pending",
        "pending",
    ]
    card = rehearsal.document.cells[4].outputs[-1]
    noted = card.metadata.pauseflow
    assert (noted.kind, noted.step, noted.run, noted.segment, noted.decision) == ("suspension", "approve", 1, 0, None)
    assert "Deploy?" in card.data["text/html"]
    assert "Look first" in card.data["text/plain"]
    assert "/pauseflow/resume/***" in rehearsal.text(4)
    setup = rehearsal.text(1)

    end = rehearsal.run(wake=ANSWERED)

    assert end.failure is None
    assert end.kind == "completed"
    assert rehearsal.log.pids[0] != rehearsal.log.pids[1]
    assert "42 [1]" in rehearsal.text(5)
    assert rehearsal.text(1) == setup
    assert [cell.get("execution_count") for cell in rehearsal.document.cells] == [1, 2, None, 3, 4, 5, 6]
    assert rehearsal.document.cells[6].outputs[0].execution_count == 6
    assert "Approved by ann at 2026-11-20 10:30:00 UTC." in rehearsal.text(4)
    assert not any(
        output.get("metadata", {}).get("pauseflow", {}).get("card") for output in rehearsal.document.cells[4].outputs
    )
    assert {status_of(cell) for cell in rehearsal.document.cells} == {"completed"}
    assert [next_cell for next_cell, _ in rehearsal.log.checkpoints] == [6]
    assert [done for _, done in rehearsal.log.cells] == [1, 2, 3, 4, 5, 6, 7]


def test_a_rerun_replaces_the_outputs_of_the_run_before(rehearse: Any) -> None:
    rehearsal = rehearse(
        "from pauseflow_nb import flow",
        "%%step poll\nprint('run', flow.context.run.runs)\nif flow.context.run.runs == 1: flow.rerun(60_000)",
        "print('after')",
    )

    end = rehearsal.run()

    assert (end.kind, end.next_cell, end.outcome.suspension.kind) == ("suspended", 1, "rerun")

    end = rehearsal.run(wake=Wake(step="poll", kind="rerun", then="rerun", at="2026-11-20T10:30:00+00:00"))

    assert end.kind == "completed"
    assert "run 2" in rehearsal.text(1)
    assert "run 1\n" not in rehearsal.text(1)
    assert rehearsal.log.steps == [("poll", 1, 1, 1), ("poll", 2, 1, 1)]
    assert [cell.execution_count for cell in rehearsal.document.cells] == [1, 2, 3]


def test_exit_ends_the_notebook_and_the_rest_is_not_run(rehearse: Any) -> None:
    rehearsal = rehearse(
        "%%step first\nfrom pauseflow_nb import flow\nflow.exit('enough')\nprint('goes on')", "print('never')"
    )

    end = rehearsal.run()

    assert (end.kind, end.outcome.exit_reason) == ("exited", "enough")
    assert "goes on" in rehearsal.text(0)
    assert [status_of(cell) for cell in rehearsal.document.cells] == ["completed", "not run"]


def test_a_failed_step_says_cell_and_step_and_goes_on_from_the_checkpoint(rehearse: Any) -> None:
    rehearsal = rehearse("%%step good\nx = 1", "y = 2", "%%step bad\n1 / 0", "print('never')")

    end = rehearsal.run()

    assert (end.kind, end.next_cell, end.environment) == ("failed", 1, False)
    assert (end.failure.type, end.failure.cell, end.failure.step) == ("ZeroDivisionError", 2, "bad")
    assert [status_of(cell) for cell in rehearsal.document.cells] == ["completed", "completed", "failed", "not run"]
    assert rehearsal.document.metadata.papermill.exception is True


def test_a_setup_that_raises_in_the_new_kernel_is_the_environment(rehearse: Any) -> None:
    rehearsal = rehearse(
        "import pathlib\nfrom pauseflow_nb import flow",
        "%%setup\nassert not pathlib.Path('seen').exists(), 'second time'\npathlib.Path('seen').touch()",
        "%%step ask\nflow.suspend()",
        "print('never')",
    )
    assert rehearsal.run().kind == "suspended"

    end = rehearsal.run(wake=Wake(step="ask", kind="suspend"))

    assert (end.kind, end.environment, end.next_cell) == ("failed", True, 3)
    assert (end.failure.type, end.failure.message, end.failure.cell) == ("AssertionError", "second time", 1)


def test_a_document_is_closed_without_a_kernel(rehearse: Any) -> None:
    rehearsal = rehearse("from pauseflow_nb import flow", "%%step ask\nflow.suspend(timeout=60_000)", "print('never')")
    rehearsal.run()

    close_document(rehearsal.document, "ask", Decision("the clock at 2026-11-20 11:00:00 UTC", "timeout"))

    assert "Timed out by the clock at 2026-11-20 11:00:00 UTC." in rehearsal.text(1)
    assert "waits for an answer" not in rehearsal.text(1)
    assert [status_of(cell) for cell in rehearsal.document.cells] == ["completed", "completed", "not run"]


def test_cells_that_are_not_run(rehearse: Any) -> None:
    rehearsal = rehearse(
        new_code_cell("print('never')", metadata={"tags": ["interactive-only"]}),
        new_code_cell("   \n"),
        new_code_cell("1 / 0", metadata={"tags": ["raises-exception"]}),
        "print('goes on')",
        "input('who?')",
    )

    end = rehearsal.run()

    assert (end.kind, end.failure.type, end.failure.cell) == ("failed", "StdinNotImplementedError", 4)
    assert rehearsal.text(0) == ""
    assert rehearsal.text(3) == "goes on\n"
    assert [status_of(cell) for cell in rehearsal.document.cells] == [
        "not run",
        "completed",
        "completed",
        "completed",
        "failed",
    ]
    assert [cell.execution_count for cell in rehearsal.document.cells] == [None, None, 1, 2, 3]
