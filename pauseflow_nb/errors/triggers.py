"""Errors of what starts executions."""

from pauseflow_nb.errors.root import PauseflowError


class UnknownTrigger(PauseflowError, LookupError):
    """No trigger has this id."""

    def __init__(self, trigger: str) -> None:
        super().__init__(trigger)
        self.trigger = trigger

    def __str__(self) -> str:
        return f"no trigger {self.trigger!r} in this store: `pauseflow trigger list` shows those it has"


class TriggerPaused(PauseflowError, RuntimeError):
    """A request to a trigger that starts nothing now."""

    def __init__(self, trigger: str) -> None:
        super().__init__(trigger)
        self.trigger = trigger

    def __str__(self) -> str:
        return f"trigger {self.trigger} is paused: send it again after `pauseflow trigger resume {self.trigger}`"


class InvalidSchedule(PauseflowError, ValueError):
    """A schedule that cannot be read, or that has no time to come."""

    def __init__(self, what: str, value: object, problem: str) -> None:
        super().__init__(what, value, problem)
        self.what, self.value, self.problem = what, value, problem

    def __str__(self) -> str:
        return f"{self.what}={self.value!r} {self.problem}"
