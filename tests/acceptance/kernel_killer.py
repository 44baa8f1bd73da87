"""Kills kernels of a worker at random moments, from the first millisecond of their lives."""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from acceptance.processes import Lab, is_alive

#: A segment is given up after three crashes in a row.
_MOST_IN_A_ROW = 2


@dataclass
class Killer:
    """Brings one execution to its end and kills its kernels on the way."""

    lab: Lab
    worker: int
    chance: random.Random
    #: Seconds within which a kernel is killed after it was born.
    span: float
    #: Every kernel that was ever seen.
    seen: set[int] = field(default_factory=set)
    #: When something was killed, and which steps had finished by then.
    kills: list[tuple[float, frozenset[str]]] = field(default_factory=list)

    def bring_to_end(self, execution: str, *, seconds: float = 90) -> str:
        """Resume it whenever it waits; returns the state in which it ended."""
        queue, deadline = self.lab.queue, time.monotonic() + seconds
        doomed: dict[int, float] = {}
        spared: dict[int, int] = {}
        look_at, segment = 0.0, 0
        while time.monotonic() < deadline:
            for pid in set(kernels_of(self.worker)) - self.seen:
                self.seen.add(pid)
                if spared.get(segment, 0) < _MOST_IN_A_ROW and self.chance.random() < 0.8:
                    # Squared: more of them early.
                    doomed[pid] = time.monotonic() + self.span * self.chance.random() ** 2
                    spared[segment] = spared.get(segment, 0) + 1
            for pid in [pid for pid, due in doomed.items() if due <= time.monotonic()]:
                del doomed[pid]
                self._kill(execution, pid)
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + 0.05
                view = queue.view(execution)
                segment = view["segment"]
                if view["state"] == "suspended":
                    # Not before what is doomed is dead, or the next segment would have one crash too many.
                    queue.resume(execution, by="user:test")
                if view["ended_at"] is not None:
                    return str(view["state"])
            time.sleep(0.001)
        return queue.state(execution)

    def _kill(self, execution: str, pid: int) -> None:
        steps = self.lab.queue.view(execution)["steps"]
        done = frozenset(name for name, step in steps.items() if step["state"] in {"finished", "suspended"})
        parent = _parent(pid)
        if parent is not None and "fork_server" in _command(parent) and self.chance.random() < 0.2:
            pid = parent
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.kills.append((time.time(), done))


def kernels_of(worker: int) -> Iterator[int]:
    """List the kernels that live below a worker, forked ones too."""
    parents = {pid: parent for pid in _processes() if (parent := _parent(pid)) is not None}
    for pid, parent in parents.items():
        is_started = (
            parent == worker and "launch_ipykernel.py" in (command := _command(pid)) and "/bin/sh" not in command
        )
        is_forked = parents.get(parent) == worker and "fork_server" in _command(parent)
        if is_started or is_forked:
            yield pid


def left_of(pids: set[int]) -> list[str]:
    """Name those that still live."""
    return [f"{pid}: {_command(pid)}" for pid in pids if is_alive(pid) and _command(pid)]


def _processes() -> list[int]:
    return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]


def _parent(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[1])


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
