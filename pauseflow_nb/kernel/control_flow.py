"""Define the exceptions that stop a notebook on purpose: `Paused` and `Exited`."""

from dataclasses import dataclass


class Paused(BaseException):
    """The step asked to pause, so the cells below must not run now.

    It is stored in a cell's result and is not raised. It is a `BaseException`, in case it is ever raised: a user's
    `except Exception` must not swallow it, because the notebook would continue with what nobody has approved.
    """


class Exited(BaseException):
    """The step called `flow.exit()`, so the cells below must not run at all. See `Paused`."""


@dataclass(frozen=True)
class Stop:
    """The end of a step that stops the notebook."""

    error: Paused | Exited
    #: Output of the cell, as text and as HTML; may be empty.
    plain: str = ""
    markup: str = ""
