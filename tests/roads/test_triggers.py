"""What starts an execution is `steps.trigger` in all its segments."""

from pathlib import Path
from typing import Any

from roads.rider import Rider, returned

from pauseflow_nb.engine.triggers import managing
from pauseflow_nb.store import executions, triggers
from pauseflow_nb.store.database import reading, transaction
from pauseflow_nb.store.workers import process_name

READ = "dict(steps.trigger.event), steps.trigger.context.kind, steps.trigger.context.id, steps.trigger.context.ts"


def test_parameters_are_the_event_before_and_after_a_pause(rider: Rider) -> None:
    view = rider.run(f"%%step ask\nflow.suspend()\n{READ}", f"%%step last\n{READ}", alpha=0.6)
    ended = rider.answer(view["id"])

    seen = [{"alpha": 0.6}, "run", view["id"], view["created_at"]]
    assert (returned(ended, "ask"), returned(ended, "last")) == (seen, seen)


def test_a_notebook_that_a_step_runs_has_the_parameters_it_was_given(rider: Rider) -> None:
    rider.notebook("%%step tell\ndict(steps.trigger.event), steps.trigger.context.kind", name="child.ipynb")
    ended = rider.ride(
        rider.start(
            "%%step call\nflow.run_notebook('child.ipynb', {'n': 1}, name='c')", "%%step last\nsteps.call.c.tell"
        ),
        until_pause=False,
    )

    assert returned(ended, "last")["$return_value"] == [{"n": 1}, "notebook"]


def start_by_http(rider: Rider, tmp_path: Path, *sources: str, event: Any) -> str:
    """Start an execution as a request does, and let this process run it."""
    path = rider.notebook(*sources)
    trigger = managing.add(rider.queue, managing.NewTrigger(str(path), waits=True), by="user:ann")["id"]
    with reading(rider.queue.engine) as connection:
        row = triggers.require(connection, trigger)
    execution = managing.start_by_request(rider.queue, row, event, key=None).execution
    with transaction(rider.queue.engine) as connection:
        executions.attach(connection, execution, process_name())
    return execution


def test_the_request_is_the_event_in_every_segment_and_in_a_fork(rider: Rider, tmp_path: Path) -> None:
    read = "steps.trigger.event['body']['name'], steps.trigger.context.kind"
    event = {"method": "POST", "body": {"name": "ann"}, "headers": {}}
    execution = start_by_http(
        rider, tmp_path, f"%%step ask\nflow.suspend()\n{read}", f"%%step last\n{read}", event=event
    )
    rider.ride(execution)
    fork = rider.fork(execution)
    ended = rider.answer(execution)

    assert (returned(ended, "ask"), returned(ended, "last")) == (["ann", "http"], ["ann", "http"])
    assert returned(rider.answer(fork), "last") == ["ann", "http"]


def test_the_first_response_counts_and_the_notebook_goes_on(rider: Rider, tmp_path: Path) -> None:
    execution = start_by_http(
        rider, tmp_path, "%%step a\nflow.respond(201, {'X-A': 'b'}, {'n': 1})\nflow.respond(500)\n'went on'", event=None
    )
    ended = rider.ride(execution)

    response, state = managing.read_response(rider.queue, execution) or (None, "")
    assert (response, state) == ({"status": 201, "headers": {"X-A": "b"}, "body": {"n": 1}}, "completed")
    assert returned(ended, "a") == "went on"
    history = rider.queue.view(execution, history=True)
    assert "an earlier call has responded" in str(history)


def test_without_a_request_a_response_is_a_note(rider: Rider) -> None:
    view = rider.run("%%step a\nflow.respond({'status': 200, 'body': 'ok'})\n'went on'")

    assert returned(view, "a") == "went on"
    assert "no request waits for it" in str(rider.queue.view(view["id"], history=True))
