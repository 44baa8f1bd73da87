"""`flow.pause`: it waits within the step, with the kernel alive."""

from typing import Any

import pytest
from roads.acts import Act, answer, ride
from roads.rider import LOG, Rider, returned, shown

from pauseflow_nb.engine.authorization import Callback

pytestmark = pytest.mark.acceptance


def test_it_returns_the_data_with_the_kernel_alive(rider: Rider, wait_until: Any) -> None:
    execution = rider.start(
        "import os",
        "%%step ask\nopen_file = open(os.devnull)\npid = os.getpid()\nprint('before')\n"
        "answer = flow.pause('5m', title='Go on?', data={'n': 1})\nprint('after')\n[answer, pid == os.getpid(), open_file.closed]",
        "%%step last\nsteps.ask.data",
    )
    seen: list[dict[str, Any]] = []

    def act(view: dict[str, Any]) -> None:
        seen.append(view)
        wait_until(lambda: "Go on?" in shown(rider.output()), description="the card stands in the output")
        answer(rider, {"ok": True})(view)

    view = ride(rider, execution, act)

    assert view["state"] == "completed"
    assert returned(view, "ask") == [{"ok": True}, True, False]
    assert returned(view, "last") == {"ok": True}
    assert seen[0]["state"] == "paused"
    (waits,) = seen[0]["suspended"]
    assert (waits["kind"], waits["step"], waits["title"], waits["data"]) == ("pause", "ask", "Go on?", {"n": 1})
    assert waits["resume_url"].startswith("http")
    assert view["usage"]["wakeups"] == 0
    text = shown(rider.output())
    assert "Go on?" in text
    assert "Waits for an answer." not in text


def test_the_decision_stands_between_the_outputs(rider: Rider, wait_until: Any) -> None:
    execution = rider.start("%%step ask\nprint('before')\nflow.pause('5m', title='Go on?')\nprint('after')")

    def act(view: dict[str, Any]) -> None:
        wait_until(lambda: "Go on?" in shown(rider.output()), description="the card stands in the output")
        answer(rider, {"ok": True})(view)

    ride(rider, execution, act)

    text = shown(rider.output())
    assert text.index("before") < text.index("Approved by ann") < text.index("after")


def test_its_links_work_and_answer_once(rider: Rider) -> None:
    execution = rider.start("%%step ask\nflow.pause()", "%%step last\n1")

    def act(view: dict[str, Any]) -> None:
        url = view["suspended"][0]["resume_url"]
        claim = rider.queue.signer.read(url.rpartition("/")[2], "resume")
        first = rider.queue.settle(claim, Callback("resume", {"method": "POST", "body": 1}, "link"))
        second = rider.queue.settle(claim, Callback("resume", {"method": "POST", "body": 2}, "link"))
        assert (first.status, second.status, second.body["already"]) == (200, 200, True)

    assert returned(ride(rider, execution, act), "ask") == 1


def test_nobody_answers_in_time(rider: Rider) -> None:
    view = rider.run("%%step ask\nflow.pause('0.3s')")

    assert (view["state"], view["error"]["type"]) == ("failed", "PauseTimeout")
    assert view["error"]["message"] == "step 'ask' paused and never resumed"


def test_a_timeout_can_be_caught(rider: Rider) -> None:
    view = rider.run(
        "from pauseflow_nb.errors import PauseTimeout",
        "%%step ask\ntry:\n    got = flow.pause('0.2s')\nexcept PauseTimeout:\n    got = 'default'\ngot",
    )

    assert returned(view, "ask") == "default"


def test_a_second_pause_never_sees_the_first_answer(rider: Rider) -> None:
    execution = rider.start("%%step ask\n[flow.pause(), flow.pause()]", "%%step last\nsteps.ask.data")
    urls: list[str] = []

    def act(data: str) -> Act:
        def answered(view: dict[str, Any]) -> None:
            urls.append(view["suspended"][0]["resume_url"])
            answer(rider, data)(view)

        return answered

    view = ride(rider, execution, act("one"), act("two"))

    assert returned(view, "ask") == ["one", "two"]
    assert returned(view, "last") == "two"
    assert urls[0] != urls[1]


def test_a_cancel_raises_and_uncaught_it_cancels(rider: Rider) -> None:
    cancelled: list[dict[str, Any]] = []

    def sent(waits: dict[str, Any], action: Any) -> int:
        claim = rider.queue.signer.read(waits[f"{action}_url"].rpartition("/")[2], action)
        return rider.queue.settle(claim, Callback(action, {"method": "POST"}, "link")).status

    def cancel(view: dict[str, Any]) -> None:
        cancelled.append(view["suspended"][0])
        assert sent(cancelled[-1], "cancel") == 200

    caught = rider.start(
        "from pauseflow_nb.errors import Cancelled",
        "%%step ask\ntry:\n    flow.pause()\nexcept Cancelled as problem:\n    said = str(problem)\nsaid",
    )
    view = ride(rider, caught, cancel)
    assert (view["state"], returned(view, "ask")) == (
        "completed",
        "step 'ask' was cancelled by someone with the link while it paused",
    )
    # The cancel was not its end, which is over all the same.
    assert [sent(cancelled[0], action) for action in ("cancel", "resume")] == [410, 410]

    view = ride(rider, rider.start("%%step ask\nflow.pause()", "%%step last\n1"), cancel)
    assert (view["state"], view["reason"]["kind"]) == ("cancelled", "link")
    assert "last" not in view["steps"]


def test_cancelling_the_execution_works_while_it_is_paused(rider: Rider) -> None:
    execution = rider.start(LOG, "%%step ask\nflow.pause()\nlog('on')")
    view = ride(rider, execution, lambda _view: rider.queue.cancel(execution, by="user:ann"))

    assert view["state"] == "cancelled"
    assert view["suspended"] == []
    assert rider.log() == []


#: The clock of `--timeout`: it stands still, so that no machine is too slow, and moves far ahead during the pause.
STOPPED_CLOCK = """
import pathlib, threading, time
from pauseflow_nb.kernel import timeout

class Clock:
    now, looks = 0.0, 0
    def monotonic(self):
        self.looks += 1
        return self.now

clock = timeout.time = Clock()

def be_looked_at():
    seen = clock.looks + 2
    while clock.looks < seen:
        time.sleep(0.01)

def move_on():
    while not pathlib.Path('paused').exists():
        time.sleep(0.01)
    clock.now += 100
    be_looked_at()
    pathlib.Path('moved').touch()
"""


@pytest.mark.parametrize(
    ("rest", "error"),
    [("be_looked_at()", None), ("clock.now += 2\nwhile True: time.sleep(0.01)", "StepTimeout")],
)
def test_the_time_of_a_pause_is_not_counted_by_timeout(
    rider: Rider, wait_until: Any, rest: str, error: str | None
) -> None:
    def act(view: dict[str, Any]) -> None:
        (rider.folder / "paused").touch()
        wait_until((rider.folder / "moved").exists, description="the time limit was looked at")
        answer(rider)(view)

    step = "%%step ask --timeout 1s\nthreading.Thread(target=move_on, daemon=True).start()\nflow.pause()\n"
    view = ride(rider, rider.start(STOPPED_CLOCK, step + rest), act)

    assert (view["error"] and view["error"]["type"]) == error


def test_a_model_gives_an_instance_and_bad_data_does_not_end_the_pause(rider: Rider) -> None:
    model = (
        "from pydantic import BaseModel, field_validator\n"
        "class Order(BaseModel):\n    amount: int\n"
        "    @field_validator('amount')\n    @classmethod\n"
        "    def even(cls, amount):\n        if amount % 2: raise ValueError('must be even')\n        return amount"
    )
    execution = rider.start(model, "%%step ask\norder = flow.pause(schema=Order)\n[type(order) is Order, order.amount]")

    def act(view: dict[str, Any]) -> None:
        bad = rider.queue.resume(execution, data={"amount": "many"}, by="user:ann")
        assert (bad.status, rider.queue.state(execution)) == (422, "paused")
        answer(rider, {"amount": 3})(view)

    def again(view: dict[str, Any]) -> None:
        assert view["suspended"][0]["errors"] == [{"path": ["amount"], "message": "must be even"}]
        answer(rider, {"amount": 4})(view)

    assert returned(ride(rider, execution, act, again), "ask") == [True, 4]


def test_a_kernel_that_dies_while_it_is_paused_asks_the_same_again(rider: Rider) -> None:
    execution = rider.start(
        "import os, pathlib",
        "%%step ask\npathlib.Path('pid').write_text(str(os.getpid()))\n[flow.pause(), flow.context.run.attempt]",
    )
    urls: list[str] = []

    def kill(view: dict[str, Any]) -> None:
        import os

        urls.append(view["suspended"][0]["resume_url"])
        os.kill(int((rider.folder / "pid").read_text()), 9)

    def act(view: dict[str, Any]) -> None:
        urls.append(view["suspended"][0]["resume_url"])
        answer(rider, "late")(view)

    view = ride(rider, execution, kill, act)

    assert returned(view, "ask") == ["late", 2]
    assert urls[0] == urls[1]


def test_a_plain_number_and_a_place_outside_a_step_are_refused(rider: Rider) -> None:
    view = rider.run("%%step ask\nflow.pause(5)")
    assert view["error"]["type"] == "InvalidDuration"
    assert rider.run("flow.pause()")["error"]["type"] == "NotInStep"


def test_input_in_a_headless_cell_still_fails_at_once(rider: Rider) -> None:
    view = rider.run("%%step ask\nflow.pause('0.1s') if False else input('name?')")

    assert view["error"]["type"] == "StdinNotImplementedError"
