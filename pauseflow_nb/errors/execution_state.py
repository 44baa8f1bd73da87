"""Errors of requests that an execution does not allow in its present state."""

import errno
from collections.abc import Sequence

from pauseflow_nb.errors.root import PauseflowError

#: How an execution continues that is `queued`.
_QUEUED = "it is queued and continues when a worker takes it; `pauseflow serve` starts one"


class UnknownExecution(PauseflowError, LookupError):
    """No execution has this id."""

    def __init__(self, execution: str) -> None:
        super().__init__(execution)
        self.execution = execution

    def __str__(self) -> str:
        return f"no execution {self.execution!r} in this store: `pauseflow list` shows its executions"


class AmbiguousExecution(PauseflowError, LookupError):
    """The beginning of an id that several executions share."""

    def __init__(self, beginning: str, ids: Sequence[str]) -> None:
        super().__init__(beginning, tuple(ids))
        self.beginning, self.ids = beginning, tuple(ids)

    def __str__(self) -> str:
        return f"several executions begin with {self.beginning!r}, write more of the id: {', '.join(self.ids)}"


class NotebookGone(PauseflowError, FileNotFoundError):
    """The store's copy of an executed notebook was removed."""

    def __init__(self, execution: str, notebook: str, where: str) -> None:
        super().__init__(execution, notebook, where)
        self.execution, self.notebook, self.where = execution, notebook, where
        self.errno = errno.ENOENT

    def __str__(self) -> str:
        return (
            f"the stored notebook of execution {self.execution} is missing from {self.where}: restore the file from a "
            f"backup and retry, or start a new execution with `pauseflow run {self.notebook}`"
        )


class AllowanceReached(PauseflowError, RuntimeError):
    """A user or a queue has as many executions or bytes as a setting allows: nothing new is started."""

    def __init__(self, whose: str, used: str, limit: str, setting: str) -> None:
        super().__init__(whose, used, limit, setting)
        #: `"user ann"`, or `"queue gpu"`.
        self.whose = whose
        #: As text: `"5"`, or `"10.0 MB"`.
        self.used, self.limit, self.setting = used, limit, setting

    def __str__(self) -> str:
        if self.setting.startswith("bytes"):
            has = f"the executions of {self.whose} hold {self.used}, and no more than {self.limit} are allowed"
            remedy = "remove what is not needed any more with `pauseflow gc`"
        else:
            ended = "execution that has" if self.used == "1" else "executions that have"
            allowed = "is allowed" if self.limit == "1" else "are allowed"
            has = f"{self.whose} has {self.used} {ended} not ended, and no more than {self.limit} {allowed}"
            remedy = "wait until one ends, or cancel one"
        return f"{has}: {remedy}, or raise the setting `{self.setting}`; nothing was started"


class OutputInUse(PauseflowError, RuntimeError):
    """Another execution that has not ended writes this output."""

    def __init__(self, path: str, execution: str, state: str) -> None:
        super().__init__(path, execution, state)
        self.path, self.execution, self.state = path, execution, state

    def __str__(self) -> str:
        return (
            f"{self.path} belongs to execution {self.execution}, which is {self.state}: "
            f"choose another output, or cancel that execution with `pauseflow cancel {self.execution}`"
        )


class AmbiguousSuspension(PauseflowError, LookupError):
    """Several suspensions are open and none was named."""

    def __init__(self, execution: str, steps: Sequence[str]) -> None:
        super().__init__(execution, tuple(steps))
        self.execution, self.steps = execution, tuple(steps)

    def __str__(self) -> str:
        return f"execution {self.execution} waits in several steps, name one with --step: {', '.join(self.steps)}"


class NotSuspended(PauseflowError, RuntimeError):
    """An answer to an execution that does not wait for one."""

    def __init__(self, execution: str, state: str, step: str | None = None, waits_in: Sequence[str] = ()) -> None:
        super().__init__(execution, state, step, tuple(waits_in))
        self.execution, self.state, self.step, self.waits_in = execution, state, step, tuple(waits_in)

    def __str__(self) -> str:
        step = f" in step {self.step!r}" if self.step else ""
        if self.waits_in:
            return (
                f"execution {self.execution} is {self.state} and does not wait for an answer{step}, "
                f"but in {', '.join(self.waits_in)}: pass --step {self.waits_in[0]}"
            )
        if self.state == "queued":
            return f"execution {self.execution} does not wait for an answer{step}: {_QUEUED}"
        has_ended = self.state in ("completed", "failed", "cancelled")
        shows = "what happened" if has_ended or self.state == "running" else "what it waits for"
        return (
            f"execution {self.execution} does not wait for an answer{step}: it is {self.state}; "
            f"`pauseflow show {self.execution}` shows {shows}"
        )


class QuestionChanged(PauseflowError, RuntimeError):
    """An answer to a question that has changed since it was shown: nothing was settled."""

    def __init__(self, execution: str) -> None:
        super().__init__(execution)
        self.execution = execution

    def __str__(self) -> str:
        return (
            f"the question has changed since you saw it, and nothing was settled: look at it again with"
            f" `pauseflow show {self.execution}`, then decide"
        )


class CannotRetry(PauseflowError, RuntimeError):
    """A retry or a fork that the execution's state does not allow."""

    def __init__(self, execution: str, state: str, needs_step: bool = False) -> None:
        super().__init__(execution, state, needs_step)
        self.execution, self.state, self.needs_step = execution, state, needs_step

    def __str__(self) -> str:
        if self.needs_step:
            return f"execution {self.execution} is {self.state}: name the step to go back to with --from STEP"
        if self.state in {"completed", "cancelled"}:
            return f"execution {self.execution} has not failed, it is {self.state}: go back with --from STEP"
        if self.state == "queued":
            return f"execution {self.execution} has not ended, {_QUEUED}"
        if self.state in {"suspended", "waiting", "paused"}:
            return (
                f"execution {self.execution} has not ended, it is {self.state}: "
                f"answer it with `pauseflow resume {self.execution}`, or cancel or fork it"
            )
        return f"execution {self.execution} has not ended, it is {self.state}: wait for its end, or cancel or fork it"


class CannotSuspend(PauseflowError, RuntimeError):
    """A request to suspend an execution that cannot be suspended."""

    def __init__(self, execution: str, state: str, parent: str | None = None) -> None:
        super().__init__(execution, state, parent)
        self.execution, self.state, self.parent = execution, state, parent

    def __str__(self) -> str:
        if self.parent is not None:
            return f"execution {self.execution} follows its parent: suspend that with `pauseflow suspend {self.parent}`"
        if self.state in {"suspended", "waiting", "paused"}:
            return (
                f"execution {self.execution} cannot be suspended: it is {self.state} already; "
                f"`pauseflow show {self.execution}` shows what it waits for"
            )
        return f"execution {self.execution} cannot be suspended: it is {self.state}"
