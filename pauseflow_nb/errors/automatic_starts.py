"""Errors of triggers, which start executions without a person."""

from pauseflow_nb.errors.root import PauseflowError


class UnknownTrigger(PauseflowError, LookupError):
    """No trigger has this id."""

    def __init__(self, trigger: str) -> None:
        super().__init__(trigger)
        self.trigger = trigger

    def __str__(self) -> str:
        return f"no trigger {self.trigger!r} in this store: `pauseflow trigger list` shows its triggers"


class TriggerPaused(PauseflowError, RuntimeError):
    """A request to a trigger that is paused."""

    def __init__(self, trigger: str) -> None:
        super().__init__(trigger)
        self.trigger = trigger

    def __str__(self) -> str:
        return f"trigger {self.trigger} is paused: send it again after `pauseflow trigger resume {self.trigger}`"


class CannotStart(PauseflowError, RuntimeError):
    """A request to a trigger whose notebook cannot be run; the sender does not see the reason, which may name paths."""

    def __init__(self, trigger: str) -> None:
        super().__init__(trigger)
        self.trigger = trigger

    def __str__(self) -> str:
        return f"trigger {self.trigger} cannot start its notebook now: `pauseflow trigger show {self.trigger}` says why"


class TooManyStarts(PauseflowError, RuntimeError):
    """A request that starts nothing, because too many executions of its trigger wait for a worker."""

    def __init__(self, trigger: str, limit: int) -> None:
        super().__init__(trigger, limit)
        self.trigger, self.limit = trigger, limit

    def __str__(self) -> str:
        return f"trigger {self.trigger} has started {self.limit} executions that no worker has taken yet: send it again later"


class TooManyWaiting(PauseflowError, RuntimeError):
    """A request that starts nothing, because too many others from its address wait for a response."""

    def __str__(self) -> str:
        return "too many requests from this address wait for a response: nothing was done, send it again later"


class InvalidSchedule(PauseflowError, ValueError):
    """A schedule that cannot be read, or that has no future time."""

    def __init__(self, what: str, value: object, problem: str) -> None:
        super().__init__(what, value, problem)
        self.what, self.value, self.problem = what, value, problem

    def __str__(self) -> str:
        return f"{self.what}={self.value!r} {self.problem}"
