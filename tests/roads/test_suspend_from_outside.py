"""`suspend`: somebody outside stops a run at the next cell, and somebody else lets it go on."""

import threading
import time
from typing import Any

import pytest
from roads.rider import LOG, Rider, returned, shown

from pauseflow_nb.errors import CannotSuspend

pytestmark = pytest.mark.acceptance

WAIT = """
import pathlib, time
while not pathlib.Path('go').exists():
    time.sleep(0.02)
"""


def suspend_when_running(rider: Rider, execution: str, word: str, noticed: threading.Event) -> dict[str, Any]:
    """Ride, and ask for it while the cell that logs this word is running; `noticed` is set once the segment knows."""

    def ask() -> None:
        while word not in rider.log():
            time.sleep(0.02)
        rider.queue.suspend(execution, by="user:bob")
        assert noticed.wait(60)
        (rider.folder / "go").touch()

    asking = threading.Thread(target=ask)
    asking.start()
    view = rider.ride(execution)
    asking.join()
    return view


def test_it_stops_before_the_next_cell_and_goes_on_with_its_variables(
    rider: Rider, noticed_suspension: threading.Event
) -> None:
    execution = rider.start(
        LOG, f"%%step one\nlog('one')\nx = [1]{WAIT}", "y = x\nlog('plain')", "%%step two\nlog('two')\nx is y"
    )
    view = suspend_when_running(rider, execution, "one", noticed_suspension)

    assert view["state"] == "suspended"
    (waits,) = view["suspended"]
    assert (waits["kind"], waits["step"], waits["path"], waits["deadline"]) == ("operator", None, [], None)
    assert waits["title"] == "Suspended by bob"
    assert rider.log() == ["one"]
    assert "Suspended by bob" in shown(rider.output())
    with pytest.raises(CannotSuspend, match="it is suspended"):
        rider.queue.suspend(execution, by="user:bob")

    view = rider.answer(execution)
    assert (view["state"], returned(view, "two")) == ("completed", True)
    assert rider.log() == ["one", "plain", "two"]
    assert "Resumed by ann" in shown(rider.output())


def test_variables_of_plain_cells_before_the_boundary_survive(
    rider: Rider, noticed_suspension: threading.Event
) -> None:
    execution = rider.start(LOG, f"log('plain')\nx = [1]\ny = x{WAIT}", "%%step two\nlog('two')\nx is y")
    suspend_when_running(rider, execution, "plain", noticed_suspension)
    view = rider.answer(execution)

    assert returned(view, "two") is True
    assert rider.log() == ["plain", "two"]
    assert view["usage"]["wakeups"] == 1


def test_what_ends_with_the_kernel_is_said_on_the_card(rider: Rider, noticed_suspension: threading.Event) -> None:
    begin = f"log('plain')\nimport signal\nsignal.setitimer(signal.ITIMER_VIRTUAL, 600){WAIT}"
    execution = rider.start(LOG, begin, "%%step two\nlog('two')")

    suspend_when_running(rider, execution, "plain", noticed_suspension)

    assert "not saved: the timer of signal.setitimer(signal.ITIMER_VIRTUAL)" in shown(rider.output())


def test_one_that_is_queued_is_suspended_before_its_first_cell(rider: Rider) -> None:
    execution = rider.start(LOG, "%%step one\nlog('one')")
    rider.queue.suspend(execution, by="user:bob")

    assert rider.ride(execution)["state"] == "suspended"
    assert rider.log() == []
    assert rider.answer(execution)["state"] == "completed"
    assert [line["what"] for line in rider.queue.audit(execution)].count("suspended") == 1


def test_one_that_is_suspended_from_outside_can_be_cancelled(rider: Rider) -> None:
    execution = rider.start(LOG, "%%step one\nlog('one')")
    rider.queue.suspend(execution, by="user:bob")
    rider.ride(execution)
    rider.queue.cancel(execution, by="user:ann")

    assert rider.queue.state(execution) == "cancelled"
    with pytest.raises(CannotSuspend, match="it is cancelled"):
        rider.queue.suspend(execution, by="user:bob")
