"""A variable that only its kernel has: the worker keeps the kernel while the notebook waits, and says so when it is lost."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from acceptance.processes import Lab, is_alive, lab
from click.testing import CliRunner

from pauseflow_nb.cli.execution_commands import retry
from pauseflow_nb.engine import retry_fork
from pauseflow_nb.engine.attached import run_attached
from pauseflow_nb.engine.progress_events import Event
from pauseflow_nb.runner.control import Control
from pauseflow_nb.settings import Settings
from pauseflow_nb.store.workers import process_name

pytestmark = pytest.mark.acceptance

STEPS = (
    "from pauseflow_nb import flow, steps\nimport threading",
    "%%step make\nlog('make')\nlock = threading.Lock()\nheld = lock.acquire()",
    "%%step ask\nlog('ask')\nlinks = flow.suspend('1h')",
    "%%step use\nlog('use')\nlog(str(lock.locked()))\nlog(steps.ask.data)",
    "%%step last\nlog('last')",
)


@pytest.fixture
def on_sqlite(sqlite_settings: Settings, tmp_path: Path) -> Iterator[Lab]:
    with lab(sqlite_settings, tmp_path) as made:
        yield made


def waits(lab: Lab, execution: str) -> bool:
    view = lab.queue.view(execution)
    assert view["error"] is None
    return bool(view["state"] == "suspended")


def test_it_goes_on_in_the_kernel_that_was_kept_whoever_else_works(on_sqlite: Lab, wait_until: Any) -> None:
    lab = on_sqlite
    names = [lab.worker().ready_line, lab.worker().ready_line]
    execution = lab.queue.start(lab.plan(*STEPS))
    wait_until(lambda: waits(lab, execution), description="it waits")
    kernel, view = lab.pid(), lab.queue.view(execution)
    fates = {report.name: report.fate for report in lab.queue.variables(execution)}
    shown = str(lab.output().cells[3].outputs)
    lab.queue.resume(execution, data="yes", by="user:ann")
    wait_until(lambda: lab.queue.state(execution) == "completed", description="it is completed")

    assert view["kernel_bound"] == ["lock"]
    assert (fates["lock"], fates["held"]) == ("kept with its kernel", "restored")
    assert "kernel-bound: this execution keeps its kernel while it waits" in shown
    assert "lock (_thread.lock" in shown
    assert any("kernel-bound" in sentence for sentence in view["steps"]["ask"]["notes"])
    assert lab.log() == ["make", "ask", "use", "True", "yes", "last"]
    assert lab.pid() == kernel
    trail = lab.queue.audit(execution)
    assert len({line["by"] for line in trail if line["what"] == "running"} & set(names)) == 1
    assert lab.queue.view(execution)["kernel_bound"] == []
    assert lab.queue.view(execution)["usage"]["wakeups"] == 1
    wait_until(lambda: not is_alive(kernel), description="the kernel has ended")


@pytest.mark.thorough
def test_a_kernel_that_dies_with_its_worker_is_said_to_be_lost_and_retry_from_is_the_way_out(
    on_sqlite: Lab, wait_until: Any
) -> None:
    lab = on_sqlite
    doomed = lab.worker()
    execution = lab.queue.start(lab.plan(*STEPS))
    wait_until(lambda: waits(lab, execution), description="it waits")
    kernel = lab.pid()
    doomed.kill()
    wait_until(lambda: not is_alive(kernel), description="the kernel has gone with its worker")
    assert lab.queue.resume(execution, data="yes", by="user:ann").status == 200
    lab.worker()
    wait_until(lambda: lab.queue.state(execution) == "failed", description="the loss is noticed")
    lost = lab.queue.view(execution)

    assert lost["reason"]["kind"] == "kernel-lost"
    assert lost["error"]["type"] == "KernelLost"
    assert "lock (_thread.lock, made in cell 3; " in lost["error"]["message"]
    assert f"`pauseflow retry {execution} --from make`" in lost["error"]["message"]

    retry_fork.retry(lab.queue, execution, by="user:ann", from_step="make")
    wait_until(lambda: waits(lab, execution), description="it asks again")
    lab.queue.resume(execution, data="no", by="user:ann")
    wait_until(lambda: lab.queue.state(execution) == "completed", description="it is completed")
    assert lab.log() == ["make", "ask", "make", "ask", "use", "True", "no", "last"]


@pytest.mark.thorough
def test_a_kernel_that_nobody_needs_any_more_ends_and_so_do_all_with_their_worker(
    on_sqlite: Lab, wait_until: Any
) -> None:
    lab = on_sqlite
    worker = lab.worker()
    first = lab.queue.start(lab.plan(*STEPS, output=None))
    wait_until(lambda: waits(lab, first), description="the first one waits")
    kernel = lab.pid()
    lab.queue.cancel(first, by="user:ann")
    wait_until(lambda: not is_alive(kernel), description="the kernel of the cancelled one has ended")

    second, third = (lab.queue.start(lab.plan(*STEPS, output=None)) for _ in range(2))
    wait_until(lambda: waits(lab, second) and waits(lab, third), description="both wait")
    os.kill(lab.pid(), 9)
    wait_until(
        lambda: "failed" in (lab.queue.state(second), lab.queue.state(third)), description="that kernel is missed"
    )
    worker.ask_to_end()
    worker.rest()

    assert [lab.queue.view(each)["reason"]["kind"] for each in (second, third)] == ["kernel-lost"] * 2


def test_an_attached_run_that_waits_keeps_its_kernel(on_sqlite: Lab) -> None:
    lab = on_sqlite

    def answer(event: Event) -> None:
        if event.kind == "suspended":
            lab.queue.resume(execution, data="yes", by="user:ann")

    execution = lab.queue.start(lab.plan(*STEPS), attached_to=process_name())
    view = run_attached(lab.queue, execution, on_event=answer)

    assert (view["state"], view["error"]) == ("completed", None)
    assert lab.log() == ["make", "ask", "use", "True", "yes", "last"]


def test_an_attached_run_that_is_left_loses_it(on_sqlite: Lab) -> None:
    lab, control = on_sqlite, Control()

    def leave(event: Event) -> None:
        if event.kind == "suspended":
            assert event.data["view"]["kernel_bound"] == ["lock"]
            control.stop_at_boundary()

    execution = lab.queue.start(lab.plan(*STEPS), attached_to=process_name())
    view = run_attached(lab.queue, execution, control=control, on_event=leave)

    assert (view["state"], view["reason"]["kind"], view["suspended"]) == ("failed", "kernel-lost", [])
    assert not is_alive(lab.pid())


def test_a_command_that_returns_at_the_pause_keeps_none(on_sqlite: Lab) -> None:
    lab = on_sqlite
    execution = lab.queue.start(lab.plan(*STEPS))
    lab.queue.cancel(execution, by="user:ann")
    store = ["--data-dir", str(lab.queue.settings.data_dir)]
    retried = CliRunner().invoke(retry, [execution, "--from", "make", "--wait", *store])

    assert retried.exit_code == 1, retried.output
    assert "Unsaveable: variable 'lock' (_thread.lock), made in cell 3, cannot be saved: " in retried.output


@pytest.mark.parametrize(("options", "until_pause"), [({"strict": True}, False), ({}, True)])
def test_where_no_kernel_may_be_kept_the_step_fails(on_sqlite: Lab, options: Any, *, until_pause: bool) -> None:
    lab = on_sqlite
    execution = lab.queue.start(lab.plan(*STEPS, options=options), attached_to=process_name())
    view = run_attached(lab.queue, execution, until_pause=until_pause)

    assert (view["state"], view["reason"]["kind"], view["error"]["type"]) == ("failed", "error", "Unsaveable")
    assert "variable 'lock' (_thread.lock), made in cell 3, cannot be saved: " in view["error"]["message"]
    assert "`%%setup`" in view["error"]["message"]
