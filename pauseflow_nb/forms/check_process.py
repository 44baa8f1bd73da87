"""Check answers in separate processes, which are ended when a check takes too long or too much memory.

A check holds Python's global lock while it runs, and some checks take practically endless time: a union of recursive
models has as many errors as there are paths through it. In separate processes, only the sender of such an answer
waits.
"""

import atexit
import json
import logging
import math
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import IO, Any

from pauseflow_nb.errors import CannotCheck, CheckersBusy, NoChecker
from pauseflow_nb.json_values import JSON

#: How many checks of small answers run at once, each in a process of about 30 MB.
_SMALL_PROCESSES = 2
#: How many checks of large answers run at once, separately from those of small ones.
_LARGE_PROCESSES = 1
#: How many costly checks run at once, separately from all others.
_SLOW_PROCESSES = 1
#: Most characters of a small answer and its schema.
_SMALL_BYTES = 32 * 1024
#: Processor seconds of a quick check. All answers of people take less.
_QUICK_SECONDS = 0.25
#: Processor seconds from which an answer is costly: the next one to the same execution does not use the quick
#: processes.
_COSTLY_SECONDS = 0.05
#: How many executions with costly answers are remembered.
_MOST_REMEMBERED = 10_000
#: Limit of a check in processor seconds, so that a busy machine refuses nothing that an idle one accepts.
_CPU_SECONDS = 2.0
#: Processor seconds for listing the errors of an answer that does not fit.
_LISTING_SECONDS = 0.1
#: Limit of a check in seconds of real time.
_WALL_SECONDS = 10.0
_MEMORY_BYTES = 1 << 30
#: Seconds in which an idle process must end.
_PATIENCE_SECONDS = 2.0
_TOO_SLOW = "takes too long, or needs too much memory, to be checked"
#: Longest message that is passed on, in characters.
_LONGEST_PROBLEM = 200
#: Niceness of the processes: requests have priority.
_NICENESS = 10

_SIZE = struct.Struct("!I")
#: The signal that ends a process which has used too much processor time.
_CPU_SIGNAL = signal.SIGPROF

log = logging.getLogger(__name__)


class Checker:
    """Checks answers in processes that are started when they are first needed; thread-safe."""

    def __init__(
        self,
        *,
        cpu_seconds: float = _CPU_SECONDS,
        wall_seconds: float = _WALL_SECONDS,
        memory_bytes: int = _MEMORY_BYTES,
    ) -> None:
        """Set the limits of one check.

        Args:
            cpu_seconds: Processor time.
            wall_seconds: Time by the clock.
            memory_bytes: Memory, including that of the process itself.
        """
        self._wall_seconds = wall_seconds
        counts = (_SMALL_PROCESSES, _LARGE_PROCESSES)
        quick = [_Lane(count, min(_QUICK_SECONDS, cpu_seconds), memory_bytes) for count in counts]
        self._lanes = (*quick, _Lane(_SLOW_PROCESSES, cpu_seconds, memory_bytes))
        #: Executions whose last answer was costly, as keys.
        self._costly: dict[str, None] = {}

    def find_errors(
        self, schema: Mapping[str, JSON], value: JSON, *, execution: str = "", wall_seconds: float = _WALL_SECONDS
    ) -> list[dict[str, JSON]]:
        """Check a value.

        Args:
            schema: The schema.
            value: The value.
            execution: The execution that is answered. After a costly answer, its next ones wait for other costly
                ones, and delay no others.
            wall_seconds: Real time that is left for the check, if it is less than the limit.

        Returns:
            The errors; empty if the value fits. The last one says so if there was no time to list all.

        Raises:
            CannotCheck: If the limits do not suffice, or the schema cannot be used.
            CheckersBusy: If no process was free in time.
            NoChecker: If no process can be started.
        """
        request = json.dumps({"schema": schema, "value": value}).encode()
        deadline = time.monotonic() + min(wall_seconds, self._wall_seconds)
        small, large, slow = self._lanes
        quick = small if len(request) <= _SMALL_BYTES else large
        reply = _Reply([], math.inf) if execution in self._costly else quick.ask(request, deadline)
        if not reply.results:
            reply = slow.ask(request, deadline)
        self._remember(execution, is_costly=reply.cpu_seconds > _COSTLY_SECONDS)
        return _read_reply(reply)

    def _remember(self, execution: str, *, is_costly: bool) -> None:
        self._costly.pop(execution, None)
        if is_costly and execution:
            self._costly[execution] = None
            if len(self._costly) > _MOST_REMEMBERED:
                with suppress(KeyError, RuntimeError):
                    del self._costly[next(iter(self._costly))]

    def close(self) -> None:
        """End all processes; answers that are being checked are refused."""
        for lane in self._lanes:
            lane.close()


@dataclass(frozen=True)
class _Reply:
    """The result of a process for a value."""

    #: The last list of errors, or the problem with the schema; empty if there was no time for either.
    results: list[dict[str, Any]]
    #: Processor seconds of the check; infinite if the process was ended.
    cpu_seconds: float


class _Lane:
    """Processes with the same limit, and the checks that wait for one of them."""

    def __init__(self, count: int, cpu_seconds: float, memory_bytes: int) -> None:
        # The most recently used process is taken first: its caches are warm, and the others need not be started.
        self._free: queue.LifoQueue[_Process] = queue.LifoQueue()
        self.processes = [_Process(cpu_seconds, memory_bytes) for _ in range(count)]
        for process in self.processes:
            self._free.put(process)

    def ask(self, request: bytes, deadline: float) -> _Reply:
        """Check a value in the next free process.

        Raises:
            CheckersBusy: If it waited for a process most of the time, and the rest did not suffice.
        """
        begun = time.monotonic()
        try:
            process = self._free.get(timeout=max(deadline - begun, 0.01))
        except queue.Empty:
            raise CheckersBusy from None
        now = time.monotonic()
        left = max(deadline - now, 0.01)
        try:
            reply = process.ask(request, left)
        finally:
            self._free.put(process)
        if not reply.results and now - begun > left:
            raise CheckersBusy
        return reply

    def close(self) -> None:
        """End all processes."""
        for process in self.processes:
            process.close()


class _Process:
    """A process that checks one answer at a time; started when needed, and again after it has ended."""

    def __init__(self, cpu_seconds: float, memory_bytes: int) -> None:
        self._cpu_seconds, self._memory_bytes = cpu_seconds, memory_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        #: Locked while it checks.
        self._is_checking = threading.Lock()
        self._is_closed = False

    def ask(self, request: bytes, seconds: float) -> _Reply:
        """Check a value; see `Checker.find_errors`."""
        with self._is_checking:
            is_new = self._process is None
            replies, is_over = self._exchange(request, seconds)
            if not (replies or is_over or is_new):
                # The process was killed before the request, which says nothing about the answer.
                replies, is_over = self._exchange(request, seconds)
        results = [reply for reply in replies if "cpu_seconds" not in reply]
        return _Reply(results[-1:], math.inf if len(results) == len(replies) else replies[-1]["cpu_seconds"])

    def _exchange(self, request: bytes, seconds: float) -> tuple[list[dict[str, Any]], bool]:
        """Send a value, and read all replies; return them, and whether the limit has ended the process."""
        process, timed_out = self._started(), threading.Event()

        def end() -> None:
            timed_out.set()
            process.kill()

        timer = threading.Timer(seconds, end)
        timer.start()
        try:
            replies, is_whole = _exchange(process, request)
        finally:
            timer.cancel()
        if is_whole:
            return replies, False
        status = self._end()
        log.info("a process that checks answers ended with status %s", status)
        return replies, timed_out.is_set() or status == -_CPU_SIGNAL

    def close(self) -> None:
        """End the process permanently."""
        with self._lock:
            self._is_closed = True
            if self._process is not None:
                self._process.kill()
        with self._is_checking:
            self._end()

    def _end(self) -> int | None:
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return None
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            with suppress(OSError):
                stream.close()
        try:
            return process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def _started(self) -> "subprocess.Popen[bytes]":
        with self._lock:
            if self._is_closed:
                raise NoChecker("this process ends")
            if self._process is None:
                self._process = _start(self._cpu_seconds, self._memory_bytes)
            return self._process


def _start(cpu_seconds: float, memory_bytes: int) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(  # noqa: S603 - our own command line
            [sys.executable, "-P", "-c", f"import {__name__} as it; it.serve_checks({cpu_seconds}, {memory_bytes})"],
            # Nothing else: our own environment may contain secrets.
            env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # Ctrl-C in the terminal must not reach it.
            start_new_session=True,
        )
    except OSError as problem:
        raise NoChecker(str(problem)) from None


def default_checker() -> Checker:
    """Return the checker that this process shares; it ends with the process."""
    # A forked process needs its own: the processes of its parent reply to the parent.
    return _checker(os.getpid())


@cache
def _checker(_process: int) -> Checker:
    checker = Checker()
    atexit.register(checker.close)
    return checker


def serve_checks(cpu_seconds: float, memory_bytes: int) -> None:
    """Check the values from standard input until it closes: the main function of the processes."""
    from pauseflow_nb.forms.schema import check, find_problem

    _limit_memory(memory_bytes)
    while True:
        request = _receive(sys.stdin.buffer)
        if request is None:
            return
        begun = time.process_time()
        query = json.loads(request)
        # Not a real-time alarm: the time of other processes does not count. The signal ends this process.
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        try:
            for errors in check(query["schema"], query["value"]):
                _send(sys.stdout.buffer, json.dumps({"errors": errors}).encode())
                signal.setitimer(signal.ITIMER_PROF, _LISTING_SECONDS)
        except Exception as problem:  # noqa: BLE001 - whatever it is, this answer cannot be checked
            why = find_problem(query["schema"]) or f"cannot be used: {problem}"
            _send(sys.stdout.buffer, json.dumps({"problem": why[:_LONGEST_PROBLEM]}).encode())
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        _send(sys.stdout.buffer, json.dumps({"cpu_seconds": time.process_time() - begun}).encode())


def _limit_memory(memory_bytes: int) -> None:
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        os.nice(_NICENESS)


def _exchange(process: "subprocess.Popen[bytes]", request: bytes) -> tuple[list[dict[str, Any]], bool]:
    """Ask, and read all replies; returns them, and whether the last one has come, which says what it took."""
    assert process.stdin is not None
    assert process.stdout is not None
    found: list[dict[str, Any]] = []
    with suppress(OSError):
        _send(process.stdin, request)
        while (reply := _receive(process.stdout)) is not None:
            found.append(json.loads(reply))
            if "cpu_seconds" in found[-1]:
                return found, True
    return found, False


def _read_reply(reply: _Reply) -> list[dict[str, JSON]]:
    if not reply.results:
        raise CannotCheck(_TOO_SLOW)
    (found,) = reply.results
    if "problem" in found:
        raise CannotCheck(f"cannot be checked, because its schema {found['problem']}")
    errors: list[dict[str, JSON]] = found["errors"]
    return errors


def _send(stream: IO[bytes], data: bytes) -> None:
    stream.write(_SIZE.pack(len(data)) + data)
    stream.flush()


def _receive(stream: IO[bytes]) -> bytes | None:
    size = stream.read(_SIZE.size)
    if len(size) < _SIZE.size:
        return None
    data = stream.read(_SIZE.unpack(size)[0])
    return data if len(data) == _SIZE.unpack(size)[0] else None
