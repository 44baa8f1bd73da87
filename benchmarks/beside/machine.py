"""What is measured on, and the memory of many processes."""

import os
import platform
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


class Memory(threading.Thread):
    """Watches how much memory the descendants of this process take together, shared pages counted once."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._is_over = threading.Event()

    def run(self) -> None:
        while not self._is_over.wait(0.3):
            self.peak = max(self.peak, sum(map(_share, descendants(os.getpid()))))

    def stop(self) -> int:
        self._is_over.set()
        self.join()
        return self.peak


def take_memory_back() -> None:
    """Read all memory of this process once, in case that the host of this virtual machine lent it to others."""
    room = memoryview(bytearray(1 << 20))
    with Path("/proc/self/maps").open() as maps, Path("/proc/self/mem").open("rb", buffering=0) as memory:
        for line in maps:
            span, flags = line.split()[:2]
            at, end = (int(number, 16) for number in span.split("-"))
            # Some of it cannot be read, such as what the kernel itself lends out.
            with suppress(OSError, OverflowError):
                while flags[0] == "r" and at < end:
                    memory.seek(at)
                    at += memory.readinto(room[: min(len(room), end - at)])


def descendants(root: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
    found, waiting = [], [root]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


def _share(pid: int) -> int:
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) * 1024
    return 0


def described() -> str:
    names = ("papermill", "nbclient", "ipykernel", "ipython", "jupyter-client", "dbos")
    packages = []
    for name in names:
        with suppress(PackageNotFoundError):
            packages.append(f"{name} {version(name)}")
    memory = int(Path("/proc/meminfo").read_text(encoding="utf-8").split()[1]) >> 20
    return (
        f"{datetime.now(tz=UTC).date()}, {os.cpu_count()} cores, {memory} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}, {', '.join(packages)}"
    )


def wait_until(is_so: Callable[[], object], *, seconds: float = 120, every: float = 0.02) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise SystemExit("waited in vain")
        time.sleep(every)
