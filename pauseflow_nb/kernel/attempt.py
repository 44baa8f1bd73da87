"""Make one attempt at a step: `--timeout` limits it, and after an error `--retries` makes another."""

import asyncio
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from pauseflow_nb.durations import format_duration
from pauseflow_nb.errors import PauseflowError
from pauseflow_nb.kernel.display import show_sentences
from pauseflow_nb.kernel.hints import explain
from pauseflow_nb.kernel.mode import Mode
from pauseflow_nb.kernel.step_run import StepRun
from pauseflow_nb.kernel.timeout import StepTimeout, TimeLimit
from pauseflow_nb.kernel.tracebacks import hide_our_frames

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


class Attempt:
    """The `with` around a step's code. Each attempt has the whole `--timeout`; the waits between do not count."""

    def __init__(self, shell: "InteractiveShell", mode: Mode, run: StepRun, cell: str, *, is_magic: bool) -> None:
        """Take the run, the file name of the cell's code, and whether it is one cell magic."""
        self._shell, self._mode, self._run, self._cell = shell, mode, run, cell
        self._is_magic = is_magic
        self._last_shown = _last_shown_error()
        limit = run.header.options.timeout
        #: The `--timeout`, if the step has one.
        self.limit = TimeLimit(run.step, limit, cell) if limit is not None else None

    def __enter__(self) -> None:
        if self.limit is not None:
            self.limit.arm()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        __tracebackhide__ = True
        late = self._late(error)
        may_retry = self._run.failed_attempts < self._run.header.options.retries
        swallowed = self._find_swallowed(is_retried=may_retry) if error is None else None
        problem = late or error or swallowed
        explain(problem)
        if may_retry and isinstance(problem, (Exception, StepTimeout)):
            self._wait_for_next(problem)
            return True
        if problem is not None and problem is swallowed:
            self._run.swallowed = swallowed
            show_sentences(self._shell, f"{type(swallowed).__name__}: {swallowed}")
        if isinstance(problem, (PauseflowError, StepTimeout)):
            hide_our_frames(self._shell, problem, self._cell)
        if late is not None and late is not error:
            raise late from None
        return False

    def close(self) -> None:
        """Remove the time limit."""
        if self.limit is not None:
            self.limit.disarm()

    def _late(self, error: BaseException | None) -> StepTimeout | None:
        self.close()
        if self.limit is None or not self.limit.has_passed:
            return None
        # A step that swallowed the interruption has still run too long.
        late = self.limit.error(error)
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
        return late

    def _wait_for_next(self, error: BaseException | None) -> None:
        run, options = self._run, self._run.header.options
        run.failed_attempts += 1
        run.is_retrying = True
        delay = options.retry_delay * options.backoff ** (run.failed_attempts - 1)
        note = (
            f"attempt {run.failed_attempts} of {options.retries + 1} failed: {type(error).__name__}: {error}; "
            f"the next starts {f'in {format_duration(delay)}' if delay else 'now'}"
        )
        run.notes.append(note)
        show_sentences(self._shell, note, is_small=True)
        time.sleep(delay.total_seconds())

    def _find_swallowed(self, *, is_retried: bool) -> BaseException | None:
        """Find an error that was shown but not raised, as by `%run`, `%%capture` and `run_cell`."""
        shown = _last_shown_error()
        if shown is None or shown is self._last_shown:
            return None
        fails = self._mode.fails_step(self._run, is_magic=self._is_magic, is_retried=is_retried)
        return shown if fails else None


def _last_shown_error() -> BaseException | None:
    shown: BaseException | None = getattr(sys, "last_value", None)
    return shown
