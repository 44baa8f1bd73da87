"""A real ipykernel, seen from a front end: what crosses the wire."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from pauseflow_nb.protocol import SOURCE, Briefing, Outcome

from .conftest import running_kernel, step_briefing

pytestmark = pytest.mark.timeout(120)
PAUSE = "%%step a\nlinks = flow.suspend()\nprint('told')"


@dataclass
class Reply:
    content: dict[str, Any]
    outputs: list[dict[str, Any]]

    @property
    def kinds(self) -> list[str]:
        return [o["msg_type"] for o in self.outputs]


class FrontEnd:
    """Sends cells and collects what comes back."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self.client = client

    def send(self, source: str, **options: Any) -> str:
        identity: str = self.client.execute(source, **options)
        return identity

    def take(self, identity: str) -> Reply:
        outputs: list[dict[str, Any]] = []
        while True:
            message = self.client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") != identity:
                continue
            kind = message["msg_type"]
            if kind == "status" and message["content"]["execution_state"] == "idle":
                break
            if kind not in {"status", "execute_input"}:
                outputs.append({"msg_type": kind, **message["content"]})
        while True:
            reply = self.client.get_shell_msg(timeout=60)
            if reply["parent_header"].get("msg_id") == identity:
                return Reply(reply["content"], outputs)

    def run(self, source: str, **options: Any) -> Reply:
        while True:
            reply = self.take(self.send(source, **options))
            # ipykernel 6 goes on aborting for a moment after an error.
            if reply.content["status"] != "aborted":
                return reply


@pytest.fixture(scope="module")
def process() -> Iterator[KernelManager]:
    with running_kernel() as manager:
        yield manager


@pytest.fixture
def front_end(client: BlockingKernelClient) -> FrontEnd:
    front_end = FrontEnd(client)
    assert (
        front_end.run("from pauseflow_nb import flow, steps\nget_ipython().pauseflow.reset()").content["status"] == "ok"
    )
    return front_end


def begin(front_end: FrontEnd, folder: Path) -> None:
    briefing = Briefing(
        "k3v9",
        "n.ipynb",
        "2026-11-20T08:00:00+00:00",
        0,
        str(folder),
        steps={name: step_briefing(name) for name in "ab"},
    )
    reply = front_end.run(f"get_ipython().pauseflow.begin({briefing.to_json()!r})", silent=True, store_history=False)
    assert reply.content["status"] == "ok"
    assert [p["source"] for p in reply.content["payload"]] == [SOURCE]


def outcome(reply: Reply) -> Outcome:
    (payload,) = [p for p in reply.content["payload"] if p["source"] == SOURCE]
    return Outcome.from_json(payload["json"])


def test_by_hand_a_pause_is_a_display_and_an_error_in_the_reply_only(front_end: FrontEnd) -> None:
    front_end.run("1 / 0")
    reply = front_end.run(PAUSE)

    kinds = [kind for kind in reply.kinds if not kind.startswith("comm_")]
    assert kinds == ["stream", "display_data", "display_data"]  # the card, and the buttons with text beside them
    assert (reply.content["status"], reply.content["ename"], reply.content["traceback"]) == ("error", "Paused", [])
    text = reply.outputs[1]["data"]["text/plain"]
    assert text.startswith(
        "Workflow execution canceled — this may be due to `flow.suspend()` usage (not supported in test)\n"
    )


def test_run_all_stops_at_a_pause(front_end: FrontEnd) -> None:
    first, second = front_end.send("import time; time.sleep(0.3)\n"), front_end.send(PAUSE)
    third = front_end.send("never = 1")

    front_end.take(first)
    assert front_end.take(second).content["ename"] == "Paused"
    assert front_end.take(third).content["status"] == "aborted"
    assert front_end.run("'never' in globals()").outputs[0]["data"]["text/plain"] == "False"


def test_a_later_step_stops_calmly_too(front_end: FrontEnd) -> None:
    front_end.run(PAUSE)
    reply = front_end.run("%%step b\n1")

    assert reply.kinds == ["display_data"]
    assert (reply.content["status"], reply.content["ename"], reply.content["traceback"]) == ("error", "Paused", [])


def test_a_program_that_cannot_answer_gets_an_error_that_names_the_engine(front_end: FrontEnd) -> None:
    reply = front_end.run(PAUSE, allow_stdin=False)

    assert reply.kinds == ["stream", "display_data", "error"]
    assert "papermill --engine pauseflow" in reply.content["evalue"]
    assert len(reply.outputs[-1]["traceback"]) == 1


def test_headless_a_pause_is_an_outcome_and_shows_nothing(front_end: FrontEnd, tmp_path: Path) -> None:
    begin(front_end, tmp_path)
    reply = front_end.run(PAUSE, allow_stdin=False)

    assert reply.kinds == ["stream"]
    assert (reply.content["status"], reply.content["ename"], reply.content["traceback"]) == ("error", "Paused", [])
    assert outcome(reply).kind == "suspended"


def test_headless_an_error_is_an_outcome_and_one_traceback(front_end: FrontEnd, tmp_path: Path) -> None:
    begin(front_end, tmp_path)
    reply = front_end.run("%%step a\nflow.suspend()\n1 / 0")

    assert reply.kinds == ["error"]
    assert reply.content["ename"] == "ZeroDivisionError"
    assert outcome(reply).kind == "failed"


def test_awaiting_steps_and_handlers_run_on_the_kernels_loop(front_end: FrontEnd, tmp_path: Path) -> None:
    begin(front_end, tmp_path)
    awaited = front_end.run("%%step a\nimport asyncio\nx = await asyncio.sleep(0.01, 5)\nx")
    handled = front_end.run("%%step b\nasync def handler(pd):\n    return {'x': await asyncio.sleep(0.01, 6)}")

    assert outcome(awaited).exports["$return_value"] == 5
    assert outcome(handled).exports["$return_value"] == {"x": 6}
    assert awaited.kinds == handled.kinds == ["execute_result"]


@pytest.mark.parametrize(
    "body",
    ["import time\ntime.sleep(60)", "import asyncio\nawait asyncio.sleep(60)", "%%time\nimport time\ntime.sleep(60)"],
)
def test_a_timeout_ends_the_step_and_the_kernel_lives(front_end: FrontEnd, tmp_path: Path, body: str) -> None:
    begin(front_end, tmp_path)
    reply = front_end.run(f"%%step a --timeout 300ms\n{body}")

    assert (reply.kinds[-1], reply.content["ename"]) == ("error", "StepTimeout")
    assert outcome(reply).kind == "failed"
    assert front_end.run("1 + 1").content["status"] == "ok"


def test_a_timeout_ends_a_shell_command_too(front_end: FrontEnd, tmp_path: Path) -> None:
    begin(front_end, tmp_path)
    reply = front_end.run("%%step a --timeout 300ms\n!sleep 50")

    assert reply.content["ename"] == "StepTimeout"
    assert outcome(reply).kind == "failed"


@pytest.mark.parametrize(
    ("options", "body"),
    [
        ("", "import time\ntime.sleep(60)"),
        (" --timeout 10m", "import time\ntime.sleep(60)"),
        (" --timeout 10m", "import asyncio\nawait asyncio.sleep(60)"),
    ],
)
def test_an_interrupt_fails_the_step_and_the_kernel_lives(
    process: KernelManager, front_end: FrontEnd, tmp_path: Path, body: str, options: str
) -> None:
    begin(front_end, tmp_path)
    identity = front_end.send(f"%%step a{options}\nprint('started', flush=True)\n{body}")
    while front_end.client.get_iopub_msg(timeout=60)["msg_type"] != "stream":
        pass
    process.interrupt_kernel()
    reply = front_end.take(identity)

    assert reply.content["ename"] in {"KeyboardInterrupt", "CancelledError"}
    assert outcome(reply).kind == "failed"
    assert front_end.run("1 + 1").content["status"] == "ok"


def test_the_kernel_shows_steps_in_its_numbering(front_end: FrontEnd) -> None:
    one = front_end.run("1").content["execution_count"]

    assert front_end.run("%%step a\n1").content["execution_count"] == one + 1
