"""Run an execution in this process: show its progress, and let Ctrl-C and SIGTERM stop it."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from pauseflow_nb.cli.options import advise_answer, format_flags, has_links
from pauseflow_nb.queues import describe_stranded

if TYPE_CHECKING:
    from pauseflow_nb.cli.progress import Progress
    from pauseflow_nb.engine.plan import Plan
    from pauseflow_nb.engine.progress_events import Event
    from pauseflow_nb.engine.queue import Queue
    from pauseflow_nb.runner.control import Control
    from pauseflow_nb.runner.kernels.source import Supply


def run_with_progress(
    queue: "Queue",
    plan: "Plan",
    progress: "Progress",
    on_event: "Callable[[Event], None]",
    *,
    supply: "Supply",
    until_pause: bool = False,
) -> tuple[dict[str, Any], bool]:
    """Start an execution and run it until it ends, or until it is stopped.

    Returns:
        The execution as `Queue.view` shows it, and whether the user has stopped it before its end.
    """
    from pauseflow_nb.launching import attach, start_attached
    from pauseflow_nb.runner.control import Control

    control = Control()
    with _handle_signals(control, progress.print_line):
        execution = start_attached(queue, plan)
        progress.print_line(f"execution {execution}")
        view = attach(
            queue,
            execution,
            until_pause=until_pause,
            has_links=bool(plan.steps),
            control=control,
            on_event=on_event,
            supply=supply,
        )
    if view["ended_at"] is None and not queue.has_runner(execution):
        takes_answer = view["state"] == "suspended" and has_links(view)
        or_here = f", or {advise_answer(execution, queue.settings)}" if takes_answer else ""
        progress.print_line(describe_stranded(queue.find_queue(execution), format_flags(queue.settings)) + or_here)
    return view, bool(control.request) and not view["ended_at"]


@contextmanager
def _handle_signals(control: "Control", say: Callable[[str], None]) -> Iterator[None]:
    """Stop at the next cell on the first Ctrl-C; on the second, or on SIGTERM, interrupt the cell: its step will run again."""

    def stop(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and not control.request:
            control.stop_at_boundary()
            say("stopping before the next cell, or at once if it waits; press Ctrl-C again to interrupt a running cell")
        else:
            control.interrupt()

    if threading.current_thread() is not threading.main_thread():
        # Python lets only the main thread handle signals.
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
