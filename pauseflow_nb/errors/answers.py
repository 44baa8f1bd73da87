"""Errors in answers to a suspension, and in the links and requests that bring them."""

from collections.abc import Mapping, Sequence
from typing import Any

from pauseflow_nb.errors.root import PauseflowError


class InvalidAnswer(PauseflowError, ValueError):
    """An answer that does not fit the schema of the suspension; the suspension stays open."""

    def __init__(self, errors: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(errors)
        #: The errors, each as `{"path", "message"}`; the path is a list of names and numbers.
        self.errors = [dict(error) for error in errors]

    def __str__(self) -> str:
        return "the answer does not fit what is asked for: " + "; ".join(
            f"{'.'.join(map(str, error['path']))} {error['message']}".strip() for error in self.errors
        )


class InvalidParameters(InvalidAnswer):
    """Values in the form of a notebook's parameters that cannot be read; nothing was started."""

    def __str__(self) -> str:
        return "; ".join(f"{'.'.join(map(str, error['path']))} {error['message']}" for error in self.errors)


class CannotCheck(PauseflowError, ValueError):
    """An answer that takes too long to check against the schema; the suspension stays open."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"the answer {self.problem}: nothing was settled"


class NoChecker(PauseflowError, RuntimeError):
    """No process that checks answers can be started."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"answers cannot be checked now ({self.problem}): nothing was settled, send the answer again later"


class CheckersBusy(NoChecker):
    """The processes that check answers were busy with other answers for too long."""

    def __init__(self, problem: str = "other answers are being checked") -> None:
        super().__init__(problem)


class NotAllowed(PauseflowError, PermissionError):
    """An answer by a person who may not answer, because of `approvers` or `self_approval`."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        #: The reason, as a sentence.
        self.why = why

    def __str__(self) -> str:
        return self.why


class TooManyAnswers(PauseflowError, RuntimeError):
    """Too many answers to one execution wait to be checked."""

    def __init__(self, execution: str) -> None:
        super().__init__(execution)
        self.execution = execution

    def __str__(self) -> str:
        return f"too many answers to {self.execution} are being checked: nothing was settled, send yours again later"


class InvalidBody(PauseflowError, ValueError):
    """A request whose body or decision cannot be read."""

    def __init__(self, what: str, problem: str) -> None:
        super().__init__(what, problem)
        self.what, self.problem = what, problem

    def __str__(self) -> str:
        return f"{self.what} {self.problem}: nothing was done, send it again"


class UnknownCharset(InvalidBody):
    """A body in a character encoding that the server does not support."""

    def __init__(self, what: str, charset: str) -> None:
        PauseflowError.__init__(self, what, charset)
        self.what, self.charset = what, charset

    def __str__(self) -> str:
        return f"{self.what} has a charset that is not supported, {self.charset!r}: nothing was done, send it again as UTF-8"


class BodyTooLarge(PauseflowError, ValueError):
    """A request's body that is larger than the setting `max_body` allows."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"the body is larger than {self.limit} bytes, the most that this server accepts: nothing was done"


class UnknownLink(PauseflowError, LookupError):
    """A token that this store did not sign."""

    def __str__(self) -> str:
        return "this link is not valid: it may be incomplete or belong to another server; ask for a new one"


class LinkWithdrawn(PauseflowError, LookupError):
    """A link that was valid, until its execution's links were revoked or the key that signed it was withdrawn."""

    def __str__(self) -> str:
        return "this link was withdrawn; ask for a new one"


class LinkSpent(PauseflowError, AttributeError, LookupError):
    """A link of an earlier pause, used after the pause was over."""

    def __init__(self, name: str = "") -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        what = f"the link {self.name!r} can no longer be used" if self.name else "this link can no longer be used"
        return f"{what}: its pause is over; each `flow.suspend()` returns new links"


class UnknownKey(PauseflowError, LookupError):
    """No key of the store has this number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def __str__(self) -> str:
        return f"no key {self.number} in this store: `pauseflow keys list` shows its keys"


class PauseTimeout(PauseflowError, TimeoutError):
    """Nobody answered `flow.pause()` in time."""

    def __init__(self, step: str) -> None:
        super().__init__(step)
        self.step = step

    def __str__(self) -> str:
        return f"step {self.step!r} paused and never resumed"


class Cancelled(PauseflowError, RuntimeError):
    """A person or program cancelled a `flow.pause()`; if the cell does not catch it, the execution is cancelled."""

    def __init__(self, step: str, by: str, who: str) -> None:
        super().__init__(step, by, who)
        #: `by` as the audit trail has it (`"user:ann"`, `"link"`), `who` in words for people.
        self.step, self.by, self.who = step, by, who

    def __str__(self) -> str:
        return f"step {self.step!r} was cancelled by {self.who} while it paused"
