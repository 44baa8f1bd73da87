"""Define what stops a notebook on purpose: `Paused` and `Exited`."""

from dataclasses import dataclass


class Paused(BaseException):
    """The step asked to pause, so the cells below must not run now.

    It stands in a cell's result and is not raised. It is a `BaseException` all the same, because
    where it is raised one day a user's `except Exception` must not swallow it: a notebook that
    continues after such a step does what nobody has approved yet.
    """


class Exited(BaseException):
    """The step called `flow.exit()`, so the cells below must not run at all. See `Paused`."""


@dataclass(frozen=True)
class Stop:
    """The end of a step that stops the notebook."""

    error: Paused | Exited
    #: What the cell shows, as text and as HTML; empty: nothing.
    plain: str = ""
    markup: str = ""
