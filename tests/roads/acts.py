"""Do something each time that an execution pauses with its kernel alive."""

import threading
from collections.abc import Callable
from typing import Any

from roads.rider import Rider

from pauseflow_nb.engine.progress_events import Event
from pauseflow_nb.runner.control import Control

Act = Callable[[dict[str, Any]], None]


def ride(rider: Rider, execution: str, *acts: Act, control: Control | None = None) -> dict[str, Any]:
    """Ride to the end; each time that it pauses the next act is done, in another thread, with its view."""
    left, threads, problems = list(acts), [], []

    def do(view: dict[str, Any]) -> None:
        try:
            left.pop(0)(view)
        except BaseException as problem:  # noqa: BLE001
            problems.append(problem)
            rider.queue.cancel(execution, by="user:test")

    def on_event(event: Event) -> None:
        if event.kind == "suspended" and event.data["view"]["state"] == "paused":
            threads.append(threading.Thread(target=do, args=[event.data["view"]]))
            threads[-1].start()

    view = rider.ride(execution, on_event=on_event, control=control)
    for thread in threads:
        thread.join()
    for problem in problems:
        raise problem
    assert left == []
    return view


def answer(rider: Rider, data: Any = None) -> Act:
    def act(view: dict[str, Any]) -> None:
        assert rider.queue.resume(view["id"], data=data, by="user:ann").status == 200

    return act
