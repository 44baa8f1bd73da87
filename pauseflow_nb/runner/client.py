"""Talk to one kernel: blocking, one request at a time, with one poller for its channels and its end."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import zmq

from pauseflow_nb.errors import KernelDied, KernelNotReady
from pauseflow_nb.protocol import STORAGE_FAILED
from pauseflow_nb.runner.kernels.kernel import Kernel

#: Called between messages; returns the seconds after which it must be called again at the latest, or None.
Tick = Callable[[], float | None]

# Messages that the kernel sent before it died may still be in our sockets.
_LAST_MESSAGES_MS = 100
# Some kernels never send the `idle` that should follow a reply.
_SILENCE_SECONDS = 10.0
# Without a pidfd, the process is polled at this interval.
_POLL_SECONDS = 0.25
# The milliseconds of a longer one do not fit into the integer that ZeroMQ takes.
_LONGEST_POLL_SECONDS = 86_400.0
# A kernel_info_request is repeated until a message arrives on iopub: the first replies may come before our subscription
# has reached the kernel.
_REPEAT_SECONDS = 0.25
_SHUTDOWN_SECONDS = 2.0
# Most messages of a waiting kernel that are dropped at once: a thread of the notebook may send them without end.
_MOST_DROPPED = 2000

# Ends an ipykernel: flushes open files and runs the exit functions, as Python does at its end. ipykernel's own shutdown was
# measured to hang for seconds in two of five kernels (7.4, while it flushed to a thread that had ended).
_EXIT = """
def _exit():
    import atexit, gc, io, os
    kinds = {io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom}
    for file in [thing for thing in gc.get_objects() if type(thing) in kinds]:
        try:
            file.flush()
        except Exception:
            pass
    atexit._run_exitfuncs()
    os._exit(0)
_exit()
"""


class CellTimeout(Exception):
    """A request took longer than allowed; the kernel is still busy with it."""


@dataclass(frozen=True)
class Reply:
    """The answer to an execute request."""

    #: `"ok"`, `"error"` or `"aborted"`.
    status: str
    ename: str = ""
    evalue: str = ""
    execution_count: int | None = None
    payload: list[dict[str, Any]] = field(default_factory=list)
    #: The message's header.
    header: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_storage_failure(self) -> bool:
        """Whether the cell stopped because a variable could not be fetched."""
        return self.status == "error" and any(each.get("source") == STORAGE_FAILED for each in self.payload)


class KernelClient:
    """Sends code to a kernel and receives messages until it has replied.

    Args:
        kernel: A kernel that was just started.
        on_message: Called with every iopub message, whatever request it belongs to.
    """

    def __init__(self, kernel: Kernel, on_message: Callable[[Mapping[str, Any]], None]) -> None:
        self.kernel = kernel
        #: From the reply of the kernel to `kernel_info_request`.
        self.language_info: dict[str, Any] = {}
        self._on_message = on_message
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        self._iopub = _connect(context, zmq.SUB, kernel.url("iopub"))
        self._shell = _connect(context, zmq.DEALER, kernel.url("shell"), kernel.session.bsession)
        self._stdin = _connect(context, zmq.DEALER, kernel.url("stdin"), kernel.session.bsession)
        #: The question that the running cell waits for; reply with `answer`.
        self.question: str | None = None
        self._end = kernel.open_end()
        self._poller = zmq.Poller()
        for source in (self._shell, self._iopub, self._stdin, self._end):
            if source is not None:
                self._poller.register(source, zmq.POLLIN)

    def redirect(self, on_message: Callable[[Mapping[str, Any]], None]) -> None:
        """Pass iopub messages to another function from now on."""
        self._on_message = on_message

    def drop_messages(self) -> bool:
        """Drop the messages that a waiting kernel has sent; returns False if its process has ended."""
        for _ in range(_MOST_DROPPED):
            if not self._iopub.poll(0):
                break
            self._iopub.recv_multipart()
        return not self._is_dead(dict(self._poller.poll(0)))

    def wait_until_ready(self, timeout_seconds: float) -> None:
        """Wait until the kernel has replied to a request.

        Raises:
            KernelNotReady: If the kernel ends or is not ready in time; has the last lines of its standard error.
        """
        name = self.kernel.spec.name
        end, repeat_at, has_iopub, has_info = time.monotonic() + timeout_seconds, 0.0, False, False
        while not (has_iopub and has_info):
            now = time.monotonic()
            if now >= end:
                raise KernelNotReady(name, f"it was not ready within {timeout_seconds:g} s{self._describe_stderr()}")
            if now >= repeat_at:
                self._send("kernel_info_request", {})
                repeat_at = now + _REPEAT_SECONDS
            ready = self._poll(min(repeat_at, end) - now)
            if self._iopub in ready:
                self._receive(self._iopub)
                has_iopub = True
            elif self._shell in ready:
                content = self._receive(self._shell)["content"]
                self.language_info = content.get("language_info") or {}
                has_info = True
            elif self._is_dead(ready):
                stderr = self._describe_stderr() or f" (status {self.kernel.reap()})"
                raise KernelNotReady(name, f"its process ended while it started{stderr}")

    def send(self, code: str, *, store_history: bool = True, silent: bool = False, cell_id: str | None = None) -> str:
        """Send code to the kernel; returns the id of the request. The code cannot ask for input, so that it never waits for any."""
        content = {
            "code": code,
            "silent": silent,
            "store_history": store_history,
            "user_expressions": {},
            "allow_stdin": False,
            # There is one request at a time, so there is never another one to abort.
            "stop_on_error": False,
        }
        return self._send("execute_request", content, {} if cell_id is None else {"cellId": cell_id})

    def wait(self, request: str, *, tick: Tick | None = None, timeout_seconds: float | None = None) -> Reply:
        """Receive messages until the kernel has replied to the request and all its outputs have arrived.

        Raises:
            KernelDied: If the process ends first, after all its messages were received.
            CellTimeout: If it takes longer than `timeout_seconds`.
        """
        reply: Reply | None = None
        is_idle = False
        end = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        silent_since = time.monotonic()
        looked_at = time.monotonic()
        while reply is None or not is_idle:
            had_question = self.question is not None
            wait = tick() if tick is not None else None
            now = time.monotonic()
            if had_question and end is not None:
                # The time in which a cell waits for an answer does not count.
                end += now - looked_at
            looked_at = now
            if reply is None and end is not None and self.question is None:
                left = end - time.monotonic()
                if left <= 0:
                    raise CellTimeout
                wait = left if wait is None else min(wait, left)
            ready = self._poll(wait if reply is None else _SILENCE_SECONDS)
            if self._iopub in ready:
                message = self._receive(self._iopub)
                silent_since = time.monotonic()
                is_idle |= _is_idle(message, request)
                self._on_message(message)
            elif self._stdin in ready:
                self.question = str(self._receive(self._stdin)["content"].get("prompt", ""))
            elif self._shell in ready:
                message = self._receive(self._shell)
                if message["parent_header"].get("msg_id") == request:
                    reply = _read_reply(message)
                elif message["header"]["msg_type"] == "kernel_info_reply":
                    self.language_info = message["content"].get("language_info") or {}
            elif self._is_dead(ready):
                self._receive_last_messages()
                raise KernelDied(self.kernel.reap())
            elif reply is not None and time.monotonic() - silent_since > _SILENCE_SECONDS:
                break
        return reply

    def run(self, code: str, *, tick: Tick | None = None) -> Reply:
        """Run code that belongs to no cell: its outputs are not recorded, and it takes no execution number."""
        return self.wait(self.send(code, store_history=False, silent=True), tick=tick)

    def answer(self, text: str | None) -> None:
        """Answer the question of the running cell; None means that there is no answer, and `input()` raises EOFError."""
        self.question = None
        # `input()` reads this as the end of its input.
        value = "\x04" if text is None else text
        self.kernel.session.send(self._stdin, self.kernel.session.msg("input_reply", {"value": value}))

    def send_widget_update(self, content: Mapping[str, Any]) -> None:
        """Send a comm message with the outputs that a widget has captured, as a front end does."""
        self._send("comm_msg", dict(content))

    def shut_down(self) -> None:
        """End the kernel so that its open files are flushed; kill it if it does not end in time."""
        if self.kernel.spec.is_ipykernel:
            self.send(_EXIT, store_history=False, silent=True)
        else:
            self.kernel.request_shutdown()
        end = time.monotonic() + _SHUTDOWN_SECONDS
        while (left := end - time.monotonic()) > 0:
            ready = self._poll(left)
            if self._iopub in ready:
                self._on_message(self._receive(self._iopub))
            elif self._shell in ready:
                self._receive(self._shell)
            elif self._is_dead(ready):
                break
        self.kill()

    def kill(self) -> None:
        """Kill the kernel if it still runs, and close the connection."""
        if self._shell.closed:
            return
        self.kernel.kill()
        self.kernel.reap()
        self._shell.close()
        self._iopub.close()
        self._stdin.close()
        if self._end is not None:
            os.close(self._end)

    def _send(self, kind: str, content: dict[str, Any], metadata: dict[str, Any] | None = None) -> str:
        message = self.kernel.session.msg(kind, content, metadata=metadata or {})
        self.kernel.session.send(self._shell, message)
        return str(message["header"]["msg_id"])

    def _receive(self, socket: "zmq.Socket[bytes]") -> dict[str, Any]:
        _, parts = self.kernel.session.feed_identities(socket.recv_multipart())
        message: dict[str, Any] = self.kernel.session.deserialize(parts)
        return message

    def _poll(self, seconds: float | None) -> dict[Any, int]:
        if self._end is None:
            seconds = _POLL_SECONDS if seconds is None else min(seconds, _POLL_SECONDS)
        if seconds is None:
            return dict(self._poller.poll())
        # Rounded up, or the last millisecond would be spent in a busy loop.
        return dict(self._poller.poll(max(0, int(min(seconds, _LONGEST_POLL_SECONDS) * 1000) + 1)))

    def _is_dead(self, ready: Mapping[Any, int]) -> bool:
        if self._end is not None:
            return self._end in ready
        return self.kernel.process.poll() is not None

    def _receive_last_messages(self) -> None:
        while self._iopub.poll(_LAST_MESSAGES_MS):
            self._on_message(self._receive(self._iopub))

    def _describe_stderr(self) -> str:
        lines = self.kernel.read_last_lines()
        return f"; it said:\n{lines}" if lines else ""


def _connect(
    context: "zmq.Context[zmq.Socket[bytes]]", kind: int, url: str, identity: bytes = b""
) -> "zmq.Socket[bytes]":
    socket = context.socket(kind)
    # The default, 100 ms between attempts to connect, would delay every start.
    socket.linger, socket.reconnect_ivl = 0, 5
    # Without a limit, many messages at once stay in our memory and are not dropped from the 1000th on.
    socket.rcvhwm = 0
    if kind == zmq.SUB:
        socket.subscribe(b"")
    else:
        socket.identity = identity
    socket.connect(url)
    return socket


def _is_idle(message: Mapping[str, Any], request: str) -> bool:
    if message["header"]["msg_type"] != "status" or message["parent_header"].get("msg_id") != request:
        return False
    return bool(message["content"].get("execution_state") == "idle")


def _read_reply(message: Mapping[str, Any]) -> Reply:
    content = message["content"]
    return Reply(
        status=content.get("status", "error"),
        ename=str(content.get("ename", "")),
        evalue=str(content.get("evalue", "")),
        execution_count=content.get("execution_count"),
        payload=content.get("payload") or [],
        header=message["header"],
    )
