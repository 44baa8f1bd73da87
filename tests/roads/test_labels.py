"""An author's labels go with the question to everybody who is asked, and into the record."""

import nbformat
from roads.rider import Rider

from pauseflow_nb.cli.terminal import describe_waiting
from pauseflow_nb.engine.retry_fork import fork


def test_labels_reach_the_view_the_terminal_and_the_record_in_the_notebook(rider: Rider) -> None:
    view = rider.run('%%step ask\nflow.suspend(title="Ship?", labels={"resume": "Ship it", "cancel": "Stop"});', "1")

    assert view["suspended"][0]["labels"] == {"resume": "Ship it", "cancel": "Stop"}
    assert "buttons   Ship it | Stop" in describe_waiting(view["suspended"][0])
    assert "To choose: Ship it, or Stop." in card(rider)
    rider.answer(view["id"])
    assert "Answered with “Ship it” by ann" in card(rider)


def test_a_question_without_labels_has_ours(rider: Rider) -> None:
    view = rider.run("%%step ask\nflow.suspend(schema=int);", "1")

    assert view["suspended"][0]["labels"] == {"resume": "Submit", "cancel": "Cancel the run"}
    assert "buttons" not in describe_waiting(view["suspended"][0])


def test_a_fork_asks_with_the_same_labels(rider: Rider) -> None:
    view = rider.run('%%step ask\nflow.suspend(labels={"resume": "Ship it"});', "1")
    sibling = fork(rider.queue, view["id"], by="user:ann")

    assert rider.queue.view(sibling)["suspended"][0]["labels"]["resume"] == "Ship it"


def card(rider: Rider) -> str:
    notebook = nbformat.read(rider.folder / "out.ipynb", as_version=4)
    return "\n".join(output.data["text/plain"] for output in notebook.cells[1].outputs if "data" in output)
