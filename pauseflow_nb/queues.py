"""Name the queues of an execution, and plan which cell runs in which queue."""

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from pauseflow_nb.errors import InvalidValue

#: The queue of notebooks that name none.
DEFAULT_QUEUE = "default"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_CHANGE = re.compile(rf"([0-9]{{1,9}}):({_NAME.pattern})")
_RULE = "must be a name of 1 to 63 letters, digits, `-`, `_` and `.` that begins with a letter or digit, such as gpu"


def check_queue(name: object) -> str:
    """Check the name of a queue, and return it.

    Raises:
        InvalidValue: If it cannot be one.
    """
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise InvalidValue("queue", name, _RULE)
    return name


def parse_queues(text: str) -> tuple[str, ...]:
    """Read comma-separated names of queues, without duplicates.

    Raises:
        InvalidValue: If one cannot be a name, or there is none.
    """
    return tuple(dict.fromkeys(check_queue(part.strip()) for part in text.split(",")))


def describe_missing_worker(queue: str) -> str:
    """Say that a segment waits and no worker serves its queue."""
    return f"waits for a worker{'' if queue == DEFAULT_QUEUE else f' of queue {queue}'} (none is running)"


def describe_stranded(queue: str, flags: str = "") -> str:
    """Say that no process will continue an execution whose next cell is in this queue, and what to start.

    Args:
        queue: The queue.
        flags: Flags of the store, which the command repeats.
    """
    if queue == DEFAULT_QUEUE:
        return f"no worker is running to continue this: run `pauseflow serve{flags}`"
    return f"no worker of queue {queue} is running to continue this: run `pauseflow worker --queue {queue}{flags}`"


@dataclass(frozen=True)
class QueuePlan:
    """Which queue each cell of a notebook runs in."""

    #: The queue of the notebook: of the cells before the first step, and of steps that name none.
    home: str = DEFAULT_QUEUE
    #: Cells at which another queue begins, in order, and the queue.
    changes: tuple[tuple[int, str], ...] = ()

    @classmethod
    def make(cls, home: str, cells: Iterable[tuple[int, bool, str | None]]) -> "QueuePlan":
        """Plan a notebook: cells below a step run where it runs, because they work with what it left in the kernel.

        Args:
            home: The queue of the notebook.
            cells: For each cell that runs, in order: its index, whether it is a step, and the queue that it names.
        """
        changes: list[tuple[int, str]] = []
        now, begin = home, 0
        for index, is_step, named in cells:
            needed = (named or home) if is_step else now
            if needed != now:
                # From the cell after the last one that ran: text between two steps needs no machine.
                changes.append((begin, needed))
                now = needed
            begin = index + 1
        return cls(home, tuple(changes))

    @classmethod
    def parse(cls, text: str | None) -> "QueuePlan":
        """Read what `str` wrote; None: all cells run in the default queue. Damaged parts are left out."""
        home, *parts = (text or "").split() or [DEFAULT_QUEUE]
        found = [_CHANGE.fullmatch(part) for part in parts]
        return cls(home, tuple((int(change[1]), change[2]) for change in found if change is not None))

    def __str__(self) -> str:
        return " ".join([self.home, *(f"{at}:{name}" for at, name in self.changes)])

    @property
    def stored(self) -> str | None:
        """Return what the database stores: None if all cells run in the default queue."""
        text = str(self)
        return None if text == DEFAULT_QUEUE else text

    def find(self, cell: int) -> str:
        """Return the queue that a cell runs in."""
        at = bisect_right(self.changes, cell, key=lambda change: change[0])
        return self.changes[at - 1][1] if at else self.home

    def list_others(self) -> list[str]:
        """List the queues besides the notebook's own, in the order of their steps."""
        return [name for name in dict.fromkeys(name for _, name in self.changes) if name != self.home]
