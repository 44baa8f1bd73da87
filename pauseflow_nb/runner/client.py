"""A conversation with one kernel: blocking, one request at a time, one poller over all that can happen."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import zmq

from pauseflow_nb.errors import KernelDied, KernelNotReady
from pauseflow_nb.runner.kernels.kernel import Kernel

__all__ = ["CellTimeout", "KernelClient", "Reply", "Tick"]

#: Called between messages; returns in how many seconds it wants to be called again at the latest.
Tick = Callable[[], float | None]

# What it said before dying may still be on its way through our own sockets.
_LAST_WORDS_MS = 100
# Some kernels lose the `idle` that should follow a reply.
_SILENCE_SECONDS = 10.0
# Without pidfd the process is asked whether it is there.
_POLL_SECONDS = 0.25
# A kernel_info_request is repeated until something is heard on iopub: the first answers may come
# before our subscription has arrived.
_ASK_AGAIN_SECONDS = 0.25
_SHUTDOWN_SECONDS = 2.0
# Messages of a kernel that nobody listens to: a thread of the notebook's may say more than anybody can drop at once.
_MOST_DROPPED = 2000

# How an ipykernel ends: what an ending Python does for its user, and no more. Its own shutdown was
# measured to hang for seconds in two of five kernels (7.4, flushing to a thread that had ended).
_FAREWELL = """
def _farewell():
    import atexit, gc, io, os
    kinds = {io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom}
    for file in [thing for thing in gc.get_objects() if type(thing) in kinds]:
        try:
            file.flush()
        except Exception:
            pass
    atexit._run_exitfuncs()
    os._exit(0)
_farewell()
"""


class CellTimeout(Exception):
    """A request ran longer than it may; the kernel is still busy with it."""


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


class KernelClient:
    """Sends code to a kernel and listens until it has answered.

    Args:
        kernel: A kernel that was just started.
        on_message: Takes every iopub message, of whatever request.
    """

    def __init__(self, kernel: Kernel, on_message: Callable[[Mapping[str, Any]], None]) -> None:
        self.kernel = kernel
        #: From the kernel's own description, once it came.
        self.language_info: dict[str, Any] = {}
        self._on_message = on_message
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        self._iopub = _connected(context, zmq.SUB, kernel.url("iopub"))
        self._shell = _connected(context, zmq.DEALER, kernel.url("shell"), kernel.session.bsession)
        self._stdin = _connected(context, zmq.DEALER, kernel.url("stdin"), kernel.session.bsession)
        #: What the running cell asks and waits for; `answer` it.
        self.question: str | None = None
        self._end = kernel.open_end()
        self._poller = zmq.Poller()
        for source in (self._shell, self._iopub, self._stdin, self._end):
            if source is not None:
                self._poller.register(source, zmq.POLLIN)

    def listen(self, on_message: Callable[[Mapping[str, Any]], None]) -> None:
        """Hand iopub messages to another taker from now on."""
        self._on_message = on_message

    def look_after(self) -> bool:
        """Drop what it said while nobody asked, which would pile up; False if its process has ended."""
        for _ in range(_MOST_DROPPED):
            if not self._iopub.poll(0):
                break
            self._iopub.recv_multipart()
        return not self._is_dead(dict(self._poller.poll(0)))

    def wait_until_ready(self, timeout_seconds: float) -> None:
        """Wait for the first sign of life.

        Raises:
            KernelNotReady: With the last lines of its standard error, if it ends or is not ready in time.
        """
        name = self.kernel.spec.name
        end, ask_at, is_heard, is_described = time.monotonic() + timeout_seconds, 0.0, False, False
        while not (is_heard and is_described):
            now = time.monotonic()
            if now >= end:
                raise KernelNotReady(name, f"it was not ready within {timeout_seconds:g} s{self._said()}")
            if now >= ask_at:
                self._send("kernel_info_request", {})
                ask_at = now + _ASK_AGAIN_SECONDS
            ready = self._poll(min(ask_at, end) - now)
            if self._iopub in ready:
                self._receive(self._iopub)
                is_heard = True
            elif self._shell in ready:
                content = self._receive(self._shell)["content"]
                self.language_info = content.get("language_info") or {}
                is_described = True
            elif self._is_dead(ready):
                said = self._said() or f" (status {self.kernel.reap()})"
                raise KernelNotReady(name, f"its process ended while it started{said}")

    def send(self, code: str, *, store_history: bool = True, silent: bool = False, cell_id: str | None = None) -> str:
        """Ask the kernel to run code; returns the request's id. Input is refused, so that nothing waits for it."""
        content = {
            "code": code,
            "silent": silent,
            "store_history": store_history,
            "user_expressions": {},
            "allow_stdin": False,
            # One request at a time: there is never anything to abort.
            "stop_on_error": False,
        }
        return self._send("execute_request", content, {} if cell_id is None else {"cellId": cell_id})

    def wait(self, request: str, *, tick: Tick | None = None, timeout_seconds: float | None = None) -> Reply:
        """Listen until the request is answered and everything it caused was heard.

        Raises:
            KernelDied: If the process ends first, after everything it said was heard.
            CellTimeout: If it takes longer than `timeout_seconds`.
        """
        reply: Reply | None = None
        is_idle = False
        end = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        silent_since = time.monotonic()
        looked_at = time.monotonic()
        while reply is None or not is_idle:
            was_asked = self.question is not None
            wait = tick() if tick is not None else None
            now = time.monotonic()
            if was_asked and end is not None:
                # Waiting for an answer is not running.
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
                    reply = _reply_of(message)
                elif message["header"]["msg_type"] == "kernel_info_reply":
                    self.language_info = message["content"].get("language_info") or {}
            elif self._is_dead(ready):
                self._hear_last_words()
                raise KernelDied(self.kernel.reap())
            elif reply is not None and time.monotonic() - silent_since > _SILENCE_SECONDS:
                break
        return reply

    def run(self, code: str, *, tick: Tick | None = None) -> Reply:
        """Run code that is no cell: its output belongs to none and it takes no number."""
        return self.wait(self.send(code, store_history=False, silent=True), tick=tick)

    def answer(self, text: str | None) -> None:
        """Answer the question of the running cell; None: nobody answers such questions here."""
        self.question = None
        # What `input()` takes for the end of its input.
        value = "\x04" if text is None else text
        self.kernel.session.send(self._stdin, self.kernel.session.msg("input_reply", {"value": value}))

    def tell_widget(self, content: Mapping[str, Any]) -> None:
        """Send a comm message, as a front end does."""
        self._send("comm_msg", dict(content))

    def shut_down(self) -> None:
        """End the kernel in order, so that files it left open are flushed; kill it if it does not end."""
        if self.kernel.spec.is_ipykernel:
            self.send(_FAREWELL, store_history=False, silent=True)
        else:
            self.kernel.ask_to_end()
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
        """Kill the kernel, if it is still there, and close the connection."""
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
        # Rounded up, or the last millisecond would be spent in a busy loop.
        return dict(self._poller.poll(None if seconds is None else max(0, int(seconds * 1000) + 1)))

    def _is_dead(self, ready: Mapping[Any, int]) -> bool:
        if self._end is not None:
            return self._end in ready
        return self.kernel.process.poll() is not None

    def _hear_last_words(self) -> None:
        while self._iopub.poll(_LAST_WORDS_MS):
            self._on_message(self._receive(self._iopub))

    def _said(self) -> str:
        words = self.kernel.last_words()
        return f"; it said:\n{words}" if words else ""


def _connected(
    context: "zmq.Context[zmq.Socket[bytes]]", kind: int, url: str, identity: bytes = b""
) -> "zmq.Socket[bytes]":
    socket = context.socket(kind)
    # Reconnecting every 100 ms, the default, is what a start would wait for.
    socket.linger, socket.reconnect_ivl = 0, 5
    # A flood is kept in our memory rather than dropped at the 1000th message.
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


def _reply_of(message: Mapping[str, Any]) -> Reply:
    content = message["content"]
    return Reply(
        status=content.get("status", "error"),
        ename=str(content.get("ename", "")),
        evalue=str(content.get("evalue", "")),
        execution_count=content.get("execution_count"),
        payload=content.get("payload") or [],
        header=message["header"],
    )
