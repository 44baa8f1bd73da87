"""Keep the kernels of kernel-bound executions alive while the executions wait."""

import threading
from collections.abc import Iterable

from pauseflow_nb.runner.client import KernelClient


class Keeper:
    """Keeps the kernels of one process, by execution; safe from any thread. They end with the process."""

    def __init__(self, most: int = 1000) -> None:
        """Set how many kernels may be kept; `has_room` is called before a segment begins."""
        self.most = most
        self._lock = threading.Lock()
        self._clients: dict[str, KernelClient] = {}

    def has_room(self) -> bool:
        """Whether one more kernel may be kept. Segments that already run may still bring theirs, which is not refused."""
        with self._lock:
            return len(self._clients) < self.most

    def keep(self, execution: str, client: KernelClient) -> None:
        """Keep the kernel of a waiting execution; a kernel that was kept for it before is killed."""
        # The segment has ended: it needs no more messages, and its document need not stay in memory.
        client.redirect(lambda _message: None)
        with self._lock:
            before = self._clients.get(execution)
            self._clients[execution] = client
        if before is not None:
            before.kill()

    def take(self, execution: str) -> KernelClient | None:
        """Give away the kernel of an execution; returns None if there is none, or its process has ended."""
        with self._lock:
            client = self._clients.pop(execution, None)
            is_alive = client is not None and client.drop_messages()
        if client is None or is_alive:
            return client
        client.kill()
        return None

    def look_after(self) -> tuple[list[str], list[str]]:
        """Drop the messages of all kernels, and forget those that have ended.

        Returns:
            The executions whose kernels are alive, and those whose kernels have ended.
        """
        with self._lock:
            dead = {execution: client for execution, client in self._clients.items() if not client.drop_messages()}
            self._clients = {execution: client for execution, client in self._clients.items() if execution not in dead}
            alive = list(self._clients)
        for client in dead.values():
            client.kill()
        return alive, list(dead)

    def let_go(self, executions: Iterable[str]) -> None:
        """Shut down the kernels of executions that no longer need them, all at the same time."""
        with self._lock:
            found = [self._clients.pop(execution, None) for execution in executions]
        threads = [threading.Thread(target=client.shut_down) for client in found if client is not None]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def close(self) -> None:
        """Shut down all kernels."""
        self.let_go(list(self._clients))
