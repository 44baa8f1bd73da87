"""Look at the processes of a store: workers and their queues, their clocks and their versions."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pauseflow_nb.cli.findings import Finding
from pauseflow_nb.queues import DEFAULT_QUEUE

if TYPE_CHECKING:
    from pauseflow_nb.engine.queue import Queue
    from pauseflow_nb.store.workers import ProcessFacts

#: A clock that is this wrong makes times in notebooks and links confusing; deadlines follow the database's clock alone.
_SKEW_SECONDS = 2.0


def check_cluster(queue: "Queue") -> Iterator[Finding]:
    """Look for workers, for queues without one, and for processes whose clock or version differs."""
    alive = queue.list_processes()
    found = [each for each in alive if each.kind == "worker"]
    if found:
        yield Finding("worker", "ok", "; ".join(_describe(each) for each in found))
    else:
        yield Finding("worker", "note", "none is alive: start `pauseflow serve`")
    yield _queues(queue, {name for each in found for name in each.queues})
    yield _clocks(alive)
    yield _versions(alive)


def _describe(worker: "ProcessFacts") -> str:
    queues = "" if worker.queues == (DEFAULT_QUEUE,) else f", queue {', '.join(worker.queues)}"
    at_once = "" if worker.concurrency is None else f", {worker.concurrency} at once"
    return f"{worker.id} is alive{queues}{at_once}"


def _queues(queue: "Queue", served: set[str]) -> Finding:
    waiting = queue.count_queued()
    left = {name: count for name, count in sorted(waiting.items()) if name not in served}
    if not left:
        return Finding("queues", "ok", ", ".join(sorted(served | set(waiting))) or DEFAULT_QUEUE)
    text = "; ".join(_describe_queue(name, count) for name, count in left.items())
    # Without any worker, what waits for the default one is said by the line above, and may be meant.
    return Finding("queues", "wrong" if served or set(left) != {DEFAULT_QUEUE} else "note", text)


def _describe_queue(name: str, count: int) -> str:
    waits = "1 execution waits" if count == 1 else f"{count} executions wait"
    if name == DEFAULT_QUEUE:
        return f"{waits} for a worker (none is running): start `pauseflow worker`"
    return f"{waits} for a worker of queue {name} (none is running): start `pauseflow worker --queue {name}`"


def _clocks(alive: "Sequence[ProcessFacts]") -> Finding:
    skewed = [each for each in alive if each.clock_ahead is not None and abs(each.clock_ahead) > _SKEW_SECONDS]
    if not skewed:
        return Finding("clocks", "ok", "those of all processes agree with the database's")
    text = "; ".join(
        f"{each.id} is {abs(each.clock_ahead or 0):.1f} s {'ahead of' if (each.clock_ahead or 0) > 0 else 'behind'} the database"
        for each in skewed
    )
    return Finding("clocks", "wrong", f"{text}: set the clocks with NTP")


def _versions(alive: "Sequence[ProcessFacts]") -> Finding:
    from importlib.metadata import version

    own = version("pauseflow_nb")
    others = Counter(each.version for each in alive if each.version not in (None, own))
    if not others:
        return Finding("versions", "ok", own)
    text = ", ".join(
        f"{count} {'process has' if count == 1 else 'processes have'} {name}" for name, count in others.items()
    )
    return Finding("versions", "wrong", f"this is {own}, and {text}: install one version everywhere, then restart them")
