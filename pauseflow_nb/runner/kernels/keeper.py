"""Kernels that are kept alive while their executions wait, because they alone hold a variable."""

import threading
from collections.abc import Iterable

from pauseflow_nb.runner.client import KernelClient

__all__ = ["Keeper"]


class Keeper:
    """The kept kernels of one process, by execution; safe from any thread. They end with the process."""

    def __init__(self, most: int = 1000) -> None:
        """Keep as many as `most`: see `has_room`, which is asked before a segment begins."""
        self.most = most
        self._lock = threading.Lock()
        self._kept: dict[str, KernelClient] = {}

    def has_room(self) -> bool:
        """Whether one more may be kept. Segments that run already may still bring theirs: it is not refused then."""
        with self._lock:
            return len(self._kept) < self.most

    def keep(self, execution: str, client: KernelClient) -> None:
        """Keep the kernel of an execution that waits."""
        # It has nothing more to say to the segment that ended, and that one's document need not stay in memory.
        client.listen(lambda _message: None)
        with self._lock:
            before = self._kept.get(execution)
            self._kept[execution] = client
        if before is not None:
            before.kill()

    def take(self, execution: str) -> KernelClient | None:
        """Hand the kernel of an execution out; None if there is none, or its process has ended."""
        with self._lock:
            client = self._kept.pop(execution, None)
            is_alive = client is not None and client.look_after()
        if client is None or is_alive:
            return client
        client.kill()
        return None

    def look_after(self) -> tuple[list[str], list[str]]:
        """Tell which executions have a kernel here, and whose has ended; the latter are forgotten."""
        with self._lock:
            dead = {execution: client for execution, client in self._kept.items() if not client.look_after()}
            self._kept = {execution: client for execution, client in self._kept.items() if execution not in dead}
            kept = list(self._kept)
        for client in dead.values():
            client.kill()
        return kept, list(dead)

    def let_go(self, executions: Iterable[str]) -> None:
        """End the kernels of executions that do not need them any more, in order, all at once."""
        with self._lock:
            found = [self._kept.pop(execution, None) for execution in executions]
        threads = [threading.Thread(target=client.shut_down) for client in found if client is not None]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def close(self) -> None:
        """End all."""
        self.let_go(list(self._kept))
