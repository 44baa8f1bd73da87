"""Every exception of pauseflow_nb, each made from facts and saying what to do next.

    PauseflowError
    ├── NotInStep             (RuntimeError)       flow.suspend() and the like outside a %%step cell
    ├── InvalidStep           (ValueError)         a bad or repeated step name, an option that does not parse
    ├── InvalidDuration       (ValueError)         a span of time that cannot be read
    ├── InvalidValue          (ValueError)         an argument outside what it may be
    ├── NotJSON               (TypeError)          a value that must be JSON and is not
    ├── InvalidAnswer         (ValueError)         data that does not fit the schema
    ├── CannotCheck           (ValueError)         data that takes too long to be checked against the schema
    ├── NotAllowed            (PermissionError)    an answer by somebody who may not give it
    ├── InvalidNotebook       (ValueError)         a file that is not a notebook
    ├── NotebookNotFound      (FileNotFoundError)
    ├── NotebookGone          (FileNotFoundError)  the store's copy of an executed notebook was removed
    ├── InvalidParameter      (ValueError)         a parameter that does not parse
    ├── InvalidSetting        (ValueError)
    ├── OutputInUse           (RuntimeError)       another execution, not ended yet, owns the output
    ├── UnknownExecution      (LookupError)
    ├── UnknownLink           (LookupError)        a token that we did not sign
    ├── LinkWithdrawn         (LookupError)        a link that was revoked, or whose key was withdrawn
    ├── LinkSpent             (AttributeError)     a link of an earlier pause, asked for after it
    ├── UnknownKey            (LookupError)
    ├── InvalidBody           (ValueError)         a request's body or decision that cannot be read
    │   └── UnknownCharset                         a body in a charset that is not one of the web's
    ├── BodyTooLarge          (ValueError)
    ├── TooManyAnswers        (RuntimeError)       too many answers to one execution wait to be checked
    ├── PortInUse             (OSError)
    ├── AmbiguousSuspension   (LookupError)        several are open and none was named
    ├── NotSuspended          (RuntimeError)       a resume of what does not wait
    ├── CannotRetry           (RuntimeError)       a retry or fork of what is in another state
    ├── CannotSuspend         (RuntimeError)       a suspend of what cannot be suspended from outside
    ├── NoChecker             (RuntimeError)       no process can be started that checks answers
    ├── NoServer              (RuntimeError)       nobody is there to answer links
    ├── NoWorker              (RuntimeError)       nobody is there to run it
    ├── NotDelivered          (ConnectionError)    a message that nobody took
    ├── PauseTimeout          (TimeoutError)       flow.pause() was not answered in time
    ├── Cancelled             (RuntimeError)       flow.pause() was answered with a cancel
    ├── KernelUnavailable     (RuntimeError)       no such kernel, or it does not start
    │   └── KernelNotReady                         it was started, and ended or took too long: worth another try
    ├── KernelDied            (RuntimeError)
    ├── KernelLost            (RuntimeError)       the kernel that an execution kept while it waited is gone
    ├── StoreUnavailable      (ConnectionError)    the database is locked, gone or unfit
    ├── StoreDamaged          (ValueError)         a row of the database that cannot be read
    ├── NotStorable           (ValueError)         a value that the database cannot hold
    ├── StorageFull           (OSError)
    │   ├── NoRoomForBody                          too little room for a large body of an answer
    │   ├── DiskNearlyFull                         too little room for another execution: nothing new is started
    │   └── QuotaReached                           the storage holds what it may: nothing new is started
    └── SnapshotError         (RuntimeError)
        ├── Unsaveable                             a variable that cannot be saved and is needed
        ├── NotRestored                            a variable that later cells need did not come back
        ├── SnapshotDamaged                        bytes are not what the manifest says
        └── SnapshotMismatch                       made by other versions than these

What stops a notebook on purpose is not an error and not here: see `kernel/step.py`.

Each class builds its sentence from its arguments and keeps them in `args`, so every one survives
pickling; `tests/test_errors.py` sends all of them through it.
"""

import errno
import signal
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "AmbiguousSuspension",
    "BodyTooLarge",
    "Cancelled",
    "CannotCheck",
    "CannotRetry",
    "CannotSuspend",
    "DiskNearlyFull",
    "InvalidAnswer",
    "InvalidBody",
    "InvalidDuration",
    "InvalidNotebook",
    "InvalidParameter",
    "InvalidParameters",
    "InvalidSetting",
    "InvalidStep",
    "InvalidValue",
    "KernelDied",
    "KernelLost",
    "KernelNotReady",
    "KernelUnavailable",
    "LinkSpent",
    "LinkWithdrawn",
    "NoChecker",
    "NoRoomForBody",
    "NoServer",
    "NoWorker",
    "NotAllowed",
    "NotDelivered",
    "NotInStep",
    "NotJSON",
    "NotRestored",
    "NotStorable",
    "NotSuspended",
    "NotebookGone",
    "NotebookNotFound",
    "OutputInUse",
    "PauseTimeout",
    "PauseflowError",
    "PortInUse",
    "QuotaReached",
    "SnapshotDamaged",
    "SnapshotError",
    "SnapshotMismatch",
    "StorageFull",
    "StoreDamaged",
    "StoreUnavailable",
    "TooManyAnswers",
    "UnknownCharset",
    "UnknownExecution",
    "UnknownKey",
    "UnknownLink",
    "Unsaveable",
]


class PauseflowError(Exception):
    """Root of everything that pauseflow_nb raises."""

    def __init__(self, *facts: object) -> None:
        # Not `super()`: OSError would take two facts for its number and its text.
        Exception.__init__(self, *facts)


class NotInStep(PauseflowError, RuntimeError):
    """A call that only a running step can make."""

    def __init__(self, call: str) -> None:
        super().__init__(call)
        self.call = call

    def __str__(self) -> str:
        return f"{self.call} works only inside a step: put `%%step NAME` on the first line of the cell"


class InvalidStep(PauseflowError, ValueError):
    """A `%%step` or `%%setup` line that cannot be used."""

    def __init__(self, step: str, problem: str, cell: int | None = None) -> None:
        super().__init__(step, problem, cell)
        self.step, self.problem, self.cell = step, problem, cell

    def __str__(self) -> str:
        cell = "" if self.cell is None else f"cell {self.cell + 1}"
        if not self.step:
            return f"{cell}: {self.problem}" if cell else self.problem
        return f"step {self.step!r}{f' ({cell})' if cell else ''}: {self.problem}"


class InvalidDuration(PauseflowError, ValueError):
    """A span of time that cannot be read."""

    def __init__(self, what: str, value: object, problem: str) -> None:
        super().__init__(what, value, problem)
        self.what, self.value, self.problem = what, value, problem

    def __str__(self) -> str:
        return f"{self.what}={self.value!r} {self.problem}"


class InvalidValue(PauseflowError, ValueError):
    """An argument outside what it may be."""

    def __init__(self, what: str, value: object, problem: str) -> None:
        super().__init__(what, value, problem)
        self.what, self.value, self.problem = what, value, problem

    def __str__(self) -> str:
        return f"{self.what}={self.value!r} {self.problem}"


class NotJSON(PauseflowError, TypeError):
    """A value that must be JSON and is not; says where inside it and which type."""

    def __init__(self, what: str, key: str, type_name: str) -> None:
        super().__init__(what, key, type_name)
        self.what, self.key, self.type_name = what, key, type_name

    def __str__(self) -> str:
        at = f" at {self.key}" if self.key else ""
        return (
            f"{self.what} must be JSON, but holds {_with_article(self.type_name)}{at}: "
            "use text, numbers, booleans, None, lists and dicts with text keys, or keep it as a variable"
        )


class InvalidAnswer(PauseflowError, ValueError):
    """Data that does not fit the schema of what is asked; the suspension stays open."""

    def __init__(self, errors: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(errors)
        #: What is wrong, as `{"path", "message"}` each; the path is a list of names and numbers.
        self.errors = [dict(error) for error in errors]

    def __str__(self) -> str:
        return "the answer does not fit what is asked for: " + "; ".join(
            f"{'.'.join(map(str, error['path']))} {error['message']}".strip() for error in self.errors
        )


class InvalidParameters(InvalidAnswer):
    """Texts in the form of a notebook's parameters that cannot be read; nothing was started."""

    def __str__(self) -> str:
        return "; ".join(f"{'.'.join(map(str, error['path']))} {error['message']}" for error in self.errors)


class CannotCheck(PauseflowError, ValueError):
    """Data that cannot be checked against the schema of what is asked; the suspension stays open."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"the answer {self.problem}: nothing was settled"


class NotAllowed(PauseflowError, PermissionError):
    """An answer by somebody who may not give it: `approvers`, `self_approval`."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        #: The sentence that the rule gave.
        self.why = why

    def __str__(self) -> str:
        return self.why


class InvalidNotebook(PauseflowError, ValueError):
    """A file that is not a notebook, or one that cannot run."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path, self.problem = path, problem

    def __str__(self) -> str:
        return f"{self.path} cannot be run as a notebook: {self.problem}"


class NotebookNotFound(PauseflowError, FileNotFoundError):
    """There is no notebook at this path."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = self.filename = path
        self.errno = errno.ENOENT

    def __str__(self) -> str:
        return f"no notebook at {self.path}: check the path and the working directory"


class NotebookGone(PauseflowError, FileNotFoundError):
    """The store's copy of an executed notebook is not there any more: somebody removed it."""

    def __init__(self, execution: str, notebook: str, where: str) -> None:
        super().__init__(execution, notebook, where)
        self.execution, self.notebook, self.where = execution, notebook, where
        self.errno = errno.ENOENT

    def __str__(self) -> str:
        return (
            f"the stored notebook of execution {self.execution} is gone from {self.where}: bring the file back from a "
            f"backup and retry, or start anew with `pauseflow run {self.notebook}`"
        )


class InvalidParameter(PauseflowError, ValueError):
    """A parameter that does not parse."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(name, problem)
        self.name, self.problem = name, problem

    def __str__(self) -> str:
        return f"parameter {self.name}: {self.problem}"


class InvalidSetting(PauseflowError, ValueError):
    """A setting that cannot be used, and where it came from."""

    def __init__(self, name: str, value: object, origin: str, problem: str) -> None:
        super().__init__(name, value, origin, problem)
        self.name, self.value, self.origin, self.problem = name, value, origin, problem

    def __str__(self) -> str:
        return f"setting {self.name}={self.value!r} (from {self.origin}): {self.problem}"


class OutputInUse(PauseflowError, RuntimeError):
    """Another execution that has not ended writes this output."""

    def __init__(self, path: str, execution: str, state: str) -> None:
        super().__init__(path, execution, state)
        self.path, self.execution, self.state = path, execution, state

    def __str__(self) -> str:
        return (
            f"{self.path} belongs to execution {self.execution}, which is {self.state}: "
            f"choose another output, or end that one with `pauseflow cancel {self.execution}`"
        )


class UnknownExecution(PauseflowError, LookupError):
    """No execution has this id."""

    def __init__(self, execution: str) -> None:
        super().__init__(execution)
        self.execution = execution

    def __str__(self) -> str:
        return f"no execution {self.execution!r} in this store: `pauseflow list` shows those it has"


class UnknownLink(PauseflowError, LookupError):
    """A token that this store did not sign."""

    def __str__(self) -> str:
        return "this link is unknown here: it may be cut off, or of another server; ask for a new one"


class LinkWithdrawn(PauseflowError, LookupError):
    """A link that was valid, until its execution's links were revoked or the key that signed it was withdrawn."""

    def __str__(self) -> str:
        return "this link was withdrawn; ask for a new one"


class LinkSpent(PauseflowError, AttributeError, LookupError):
    """A link of an earlier pause, asked for after the pause was over."""

    def __init__(self, name: str = "") -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        what = f"the link {self.name!r} is spent" if self.name else "this link is spent"
        return f"{what}: the pause that it belonged to is over; each `flow.suspend()` returns new links"


class UnknownKey(PauseflowError, LookupError):
    """No key of the store has this number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def __str__(self) -> str:
        return f"no key {self.number} in this store: `pauseflow keys list` shows those it has"


class InvalidBody(PauseflowError, ValueError):
    """A request whose body or decision cannot be read."""

    def __init__(self, what: str, problem: str) -> None:
        super().__init__(what, problem)
        self.what, self.problem = what, problem

    def __str__(self) -> str:
        return f"{self.what} {self.problem}: nothing was settled, send it again"


class UnknownCharset(InvalidBody):
    """A body in a charset that is not one of the web's."""

    def __init__(self, what: str, charset: str) -> None:
        PauseflowError.__init__(self, what, charset)
        self.what, self.charset = what, charset

    def __str__(self) -> str:
        return f"{self.what} has a charset that is not known here, {self.charset!r}: nothing was settled, send it again as UTF-8"


class TooManyAnswers(PauseflowError, RuntimeError):
    """Too many answers to one execution wait to be checked."""

    def __init__(self, execution: str) -> None:
        super().__init__(execution)
        self.execution = execution

    def __str__(self) -> str:
        return f"too many answers to {self.execution} are being checked: nothing was settled, send it again later"


class BodyTooLarge(PauseflowError, ValueError):
    """A request's body beyond the setting `max_body`."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"the body is larger than {self.limit} bytes, the most that this server takes: nothing was settled"


class PortInUse(PauseflowError, OSError):
    """Another program listens on this port."""

    def __init__(self, ip: str, port: int, holder: str | None = None, process: str | None = None) -> None:
        super().__init__(ip, port, holder, process)
        self.ip, self.port = ip, port
        #: `"run"`: a run of the same store; `"server"`: a server of it; None: somebody else.
        self.holder, self.process = holder, process
        self.errno = errno.EADDRINUSE

    def __str__(self) -> str:
        taken = f"port {self.port} on {self.ip} is taken by"
        if self.holder == "run":
            return (
                f"{taken} a `pauseflow run` of this store (process {self.process}), which answers its links there: wait for its "
                "end, or press Ctrl-C there once and start this again, which then goes on with it. --port takes another "
                "port, but links that were sent out keep the old one"
            )
        if self.holder == "server":
            return f"{taken} a server of this store (process {self.process}): use that one, or choose another port with --port"
        return f"{taken} another program: choose another with --port"


class AmbiguousSuspension(PauseflowError, LookupError):
    """Several suspensions are open and none was named."""

    def __init__(self, execution: str, steps: Sequence[str]) -> None:
        super().__init__(execution, tuple(steps))
        self.execution, self.steps = execution, tuple(steps)

    def __str__(self) -> str:
        return f"execution {self.execution} waits in several steps, name one with --step: {', '.join(self.steps)}"


class NotSuspended(PauseflowError, RuntimeError):
    """There is nothing to answer: says which state it is in."""

    def __init__(self, execution: str, state: str, step: str | None = None) -> None:
        super().__init__(execution, state, step)
        self.execution, self.state, self.step = execution, state, step

    def __str__(self) -> str:
        step = f" in step {self.step!r}" if self.step else ""
        return f"execution {self.execution} does not wait for an answer{step}: it is {self.state}"


class CannotRetry(PauseflowError, RuntimeError):
    """A retry or a fork that makes no sense in this state."""

    def __init__(self, execution: str, state: str, needs_step: bool = False) -> None:
        super().__init__(execution, state, needs_step)
        self.execution, self.state, self.needs_step = execution, state, needs_step

    def __str__(self) -> str:
        if self.needs_step:
            return f"execution {self.execution} is {self.state}: name the step to go back to with --from STEP"
        if self.state in {"completed", "cancelled"}:
            return f"execution {self.execution} has not failed, it is {self.state}: go back with --from STEP"
        return f"execution {self.execution} has not ended, it is {self.state}: wait for its end, cancel it, or fork it"


class CannotSuspend(PauseflowError, RuntimeError):
    """A suspend from outside that is not possible."""

    def __init__(self, execution: str, state: str, parent: str | None = None) -> None:
        super().__init__(execution, state, parent)
        self.execution, self.state, self.parent = execution, state, parent

    def __str__(self) -> str:
        if self.parent is not None:
            return f"execution {self.execution} follows its parent: suspend that with `pauseflow suspend {self.parent}`"
        return f"execution {self.execution} cannot be suspended: it is {self.state}"


class NoChecker(PauseflowError, RuntimeError):
    """The processes that check answers cannot be started."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"answers cannot be checked now ({self.problem}): nothing was settled, send it again later"


class NoServer(PauseflowError, RuntimeError):
    """No server of this store is alive, and no `public_url` is set."""

    def __str__(self) -> str:
        return "nobody serves the links of this store: start `pauseflow serve`, or answer with `pauseflow resume`"


class NoWorker(PauseflowError, RuntimeError):
    """No worker is alive in this store."""

    def __str__(self) -> str:
        return "no worker is alive in this store: start one with `pauseflow serve` or `pauseflow worker`"


class NotDelivered(PauseflowError, ConnectionError):
    """A message to people that was not taken by whoever should pass it on."""

    def __init__(self, to: str, problem: str) -> None:
        super().__init__(to, problem)
        self.to, self.problem = to, problem

    def __str__(self) -> str:
        return f"the message to {self.to} was not delivered: {self.problem}"


class PauseTimeout(PauseflowError, TimeoutError):
    """Nobody answered `flow.pause()` in time."""

    def __init__(self, step: str) -> None:
        super().__init__(step)
        self.step = step

    def __str__(self) -> str:
        return f"step {self.step!r} paused and never resumed"


class Cancelled(PauseflowError, RuntimeError):
    """Somebody cancelled at `flow.pause()`; not caught, it cancels the execution."""

    def __init__(self, step: str, by: str) -> None:
        super().__init__(step, by)
        self.step, self.by = step, by

    def __str__(self) -> str:
        return f"step {self.step!r} was cancelled by {self.by.removeprefix('user:')} while it paused"


class KernelUnavailable(PauseflowError, RuntimeError):
    """A kernel that is not installed or does not start."""

    def __init__(self, kernel: str, problem: str) -> None:
        super().__init__(kernel, problem)
        self.kernel, self.problem = kernel, problem

    def __str__(self) -> str:
        return f"kernel {self.kernel!r} is not available: {self.problem}"


class KernelNotReady(KernelUnavailable):
    """A kernel that was started and did not become ready: it ended, or took too long. Another try may work."""


class KernelDied(PauseflowError, RuntimeError):
    """The kernel's process ended while it was needed."""

    def __init__(self, status: int | None) -> None:
        super().__init__(status)
        self.status = status

    def __str__(self) -> str:
        return f"the kernel ended{_how(self.status)} while a cell was running"


class KernelLost(PauseflowError, RuntimeError):
    """The kernel that an execution had to keep while it waited is gone."""

    def __init__(self, execution: str, variables: Sequence[str], step: str | None) -> None:
        super().__init__(execution, tuple(variables), step)
        self.execution, self.variables, self.step = execution, tuple(variables), step

    def __str__(self) -> str:
        step = f" --from {self.step}" if self.step else ""
        return (
            f"the kernel that was kept has ended, and with it what later cells need and nothing else has: "
            f"{'; '.join(self.variables)}. Make it again with `pauseflow retry {self.execution}{step}`; what a "
            "`%%setup` cell makes needs no kernel to wait for it"
        )


class StoreDamaged(PauseflowError, ValueError):
    """A value in the database that cannot be read. Other rows can."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"what the store holds of this cannot be read: {self.problem}"


class StoreUnavailable(PauseflowError, ConnectionError):
    """The database is locked, gone or unfit."""

    def __init__(self, database: str, problem: str) -> None:
        super().__init__(database, problem)
        self.database, self.problem = database, problem

    def __str__(self) -> str:
        return f"the store {self.database} cannot be used: {self.problem}"


class NotStorable(PauseflowError, ValueError):
    """A value that the database cannot hold; trying again would not help, and nothing was changed."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"a value cannot be stored: {self.problem}"


class StorageFull(PauseflowError, OSError):
    """Nothing more can be written; what was there is still there."""

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.where = where
        self.errno = errno.ENOSPC

    def __str__(self) -> str:
        return f"no space left at {self.where}: free some, then go on with `pauseflow retry`; nothing saved was lost"


class DiskNearlyFull(StorageFull):
    """The disk has too little room for another execution: nothing new is started."""

    def __init__(self, where: str, free: int) -> None:
        super().__init__(where)
        self.args = (where, free)
        self.free = free

    def __str__(self) -> str:
        return f"only {self.free / 1e6:.1f} MB are free at {self.where}: make room first, for example with `pauseflow gc`; nothing was started"


class QuotaReached(StorageFull):
    """The storage holds as much as the setting `quota` allows: nothing new is started."""

    def __init__(self, where: str, used: int, limit: int) -> None:
        super().__init__(where)
        self.args = (where, used, limit)
        self.used, self.limit = used, limit

    def __str__(self) -> str:
        return (
            f"{self.where} holds {self.used / 1e6:.1f} MB, and no more than {self.limit / 1e6:.1f} MB are allowed: "
            "remove what is not needed any more with `pauseflow gc`, or raise the setting `quota`; nothing was started"
        )


class NoRoomForBody(StorageFull):
    """The storage has no room for a large body; nothing of it was kept, and nothing was settled."""

    def __init__(self) -> None:
        super().__init__("")
        self.args = ()

    def __str__(self) -> str:
        return (
            "the server has no room for a body of this size: nothing was settled; send the data in another way and a link "
            "to it, or again when there is room"
        )


class SnapshotError(PauseflowError, RuntimeError):
    """The variables could not be saved or brought back."""


class Unsaveable(SnapshotError):
    """A variable that later cells need cannot be saved."""

    def __init__(self, name: str, type_name: str, reason: str, cell: int | None = None) -> None:
        super().__init__(name, type_name, reason, cell)
        self.name, self.type_name, self.reason, self.cell = name, type_name, reason, cell

    def __str__(self) -> str:
        made = "" if self.cell is None else f", made in cell {self.cell + 1},"
        return (
            f"variable {self.name!r} ({self.type_name}){made} cannot be saved: {self.reason}. "
            "Make it in a `%%setup` cell, which runs again in every new kernel, or delete it before the pause"
        )


class NotRestored(SnapshotError):
    """Variables that later cells need did not come back in a new kernel; no cell has run without them."""

    def __init__(self, execution: str, losses: Sequence[str]) -> None:
        super().__init__(execution, tuple(losses))
        self.execution, self.losses = execution, tuple(losses)

    def __str__(self) -> str:
        return (
            f"{' '.join(self.losses)} Nothing ran, and the answer is kept. Repair the cause, then run "
            f"`pauseflow retry {self.execution}`. A variable that was never saved is made again with `--from` the step "
            "that makes it; `--force` goes on without what is missing"
        )


class SnapshotDamaged(SnapshotError):
    """Stored bytes are missing or are not what was written."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(name, problem)
        self.name, self.problem = name, problem

    def __str__(self) -> str:
        return f"snapshot {self.name} cannot be restored: {self.problem}"


class SnapshotMismatch(SnapshotError):
    """The snapshot was made by other versions than this kernel has."""

    def __init__(
        self, name: str, differences: Sequence[str], way_out: str = "`--force` restores it all the same"
    ) -> None:
        super().__init__(name, tuple(differences), way_out)
        self.name, self.differences, self.way_out = name, tuple(differences), way_out

    def __str__(self) -> str:
        return f"snapshot {self.name} was made elsewhere: {'; '.join(self.differences)}. {self.way_out}"


def _with_article(name: str) -> str:
    if name in ("nan", "inf", "-inf"):
        return name
    return f"an {name}" if name[:1].lower() in "aeio" else f"a {name}"


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
