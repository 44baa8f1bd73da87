"""Kernels behind a Jupyter gateway, or behind another Jupyter server, for everything that knows jupyter_client.

The gateway starts the kernel, wherever that is. Its channels come through one WebSocket, and a bridge
hands them on to sockets of this machine, so that nobody else needs to know. Kernelspecs choose it:

    "metadata": {"kernel_provisioner": {"provisioner_name": "pauseflow-gateway",
                                        "config": {"url": "http://host:8888", "kernel_name": "python3"}}}
"""

import asyncio
import itertools
import json
import os
import secrets
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import websocket
import zmq
from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from jupyter_client.session import DELIM, Session
from traitlets import Float, Unicode

__all__ = ["GatewayProvisioner"]

_SPEAKS = "v1.kernel.websocket.jupyter.org"
_ASKED = ("shell", "control", "stdin")
_INBOX = "inproc://line"

#: What the gateway says of a kernel that died, or that it started anew: without our variables it is another one.
_GONE = {"restarting", "autorestarting", "dead"}


class GatewayProvisioner(KernelProvisionerBase):
    """Starts, interrupts and ends a kernel by a gateway's REST API."""

    url = Unicode(help="Where the gateway is, as in `http://host:8888`.").tag(config=True)
    token = Unicode(help="Its token; JUPYTER_GATEWAY_AUTH_TOKEN if not given.").tag(config=True)
    kernel_name = Unicode("python3", help="Name of the kernelspec there.").tag(config=True)
    request_seconds = Float(60.0, help="How long the gateway may take to answer a request.").tag(config=True)

    _bridge: "_Bridge | None" = None
    _id = ""

    @property
    def has_process(self) -> bool:
        """Whether there is a kernel, or was one until a moment ago."""
        return self._bridge is not None

    async def poll(self) -> int | None:
        """Tell 1 when the kernel, or the line to it, has gone."""
        return None if self._bridge is not None and self._bridge.is_open else 1

    async def wait(self) -> int | None:
        """Wait for the end."""
        if self._bridge is not None:
            await asyncio.to_thread(self._bridge.join)
        return 1

    async def send_signal(self, signum: int) -> None:
        """Interrupt the kernel, or end it; a gateway does nothing else."""
        if signum == signal.SIGINT:
            await asyncio.to_thread(self._ask, "POST", f"/api/kernels/{self._id}/interrupt")
        elif signum:
            await self.kill()

    async def kill(self, restart: bool = False) -> None:  # noqa: ARG002
        """End the kernel."""
        await asyncio.to_thread(self._end)

    async def terminate(self, restart: bool = False) -> None:
        """End the kernel."""
        await self.kill(restart)

    async def cleanup(self, restart: bool = False) -> None:
        """End the kernel, if that has not been done, and close the line."""
        await self.kill(restart)

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Prepare nothing: the command is the gateway's business."""
        return await super().pre_launch(cmd=[], **kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:  # noqa: ARG002
        """Start the kernel; returns the address of the bridge.

        As for Jupyter's own gateway client, variables named `KERNEL_…` go there, such as `KERNEL_USERNAME`.
        """
        return await asyncio.to_thread(self._launch, kwargs.get("env") or {})

    def _launch(self, env: Mapping[str, str]) -> KernelConnectionInfo:
        told = {name: value for name, value in env.items() if name.startswith("KERNEL_")}
        made = self._ask("POST", "/api/kernels", {"name": self.kernel_name, "env": told})
        self._id = made["id"]
        line = websocket.create_connection(
            f"{self._base().replace('http', 'ws', 1)}/api/kernels/{self._id}/channels",
            timeout=self.request_seconds,
            header=self._headers(),
            subprotocols=[_SPEAKS],
        )
        line.settimeout(None)
        if line.getsubprotocol() != _SPEAKS:
            line.close()
            self._end()
            raise ConnectionError(f"{self.url} does not speak {_SPEAKS}: it needs jupyter_server 2 or newer")
        key = secrets.token_hex(32).encode()
        self._bridge = _Bridge(line, key, on_shutdown=self._end)
        self.connection_info = self._bridge.connection()
        return self.connection_info

    def _end(self) -> None:
        if self._id:
            # Gone already, or with its gateway.
            with suppress(OSError):
                self._ask("DELETE", f"/api/kernels/{self._id}")
            self._id = ""
        if self._bridge is not None:
            self._bridge.close()

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._base() + path, data, self._headers(), method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=self.request_seconds) as answer:  # noqa: S310 - the user's URL
                text = answer.read()
        except urllib.error.HTTPError as problem:
            problem.close()
            raise
        return json.loads(text) if text else None

    def _base(self) -> str:
        return str(self.url).rstrip("/")

    def _headers(self) -> dict[str, str]:
        token = self.token or os.environ.get("JUPYTER_GATEWAY_AUTH_TOKEN", "")
        return {"Authorization": f"token {token}"} if token else {}


class _Bridge:
    """Carries messages between a WebSocket and local sockets, until either the kernel or its user has gone."""

    def __init__(self, line: websocket.WebSocket, key: bytes, *, on_shutdown: Callable[[], None]) -> None:
        self._line, self._on_shutdown = line, on_shutdown
        self._session = Session(key=key)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._ports: dict[str, int] = {}
        self._asked = {channel: self._bound(channel, zmq.ROUTER) for channel in (*_ASKED, "hb")}
        self._heard = self._bound("iopub", zmq.PUB)
        self._inbox = self._context.socket(zmq.PULL)
        self._inbox.bind(_INBOX)
        #: Who asked last: a kernel's own questions go there.
        self._client = b""
        self.is_open = True
        works = (self._listen, self._carry)
        self._threads = [threading.Thread(target=work, name="pauseflow-gateway", daemon=True) for work in works]
        for thread in self._threads:
            thread.start()

    def connection(self) -> KernelConnectionInfo:
        """Give what a connection file would hold."""
        return {
            "transport": "tcp",
            "ip": "127.0.0.1",
            "signature_scheme": "hmac-sha256",
            # Typed as text there, and compared with bytes.
            "key": self._session.key,  # type: ignore[typeddict-item]
            "shell_port": self._ports["shell"],
            "iopub_port": self._ports["iopub"],
            "stdin_port": self._ports["stdin"],
            "control_port": self._ports["control"],
            "hb_port": self._ports["hb"],
        }

    def close(self) -> None:
        """End both threads; safe any number of times."""
        self.is_open = False
        with suppress(OSError, websocket.WebSocketException):
            # Wakes the thread that listens; it closes the line.
            self._line.abort()  # type: ignore[no-untyped-call]

    def join(self) -> None:
        """Wait until the kernel, or its user, has gone."""
        for thread in self._threads:
            thread.join()

    def _bound(self, channel: str, kind: int) -> "zmq.Socket[bytes]":
        socket = self._context.socket(kind)
        # A flood is kept rather than dropped.
        socket.linger, socket.sndhwm = 0, 0
        self._ports[channel] = socket.bind_to_random_port("tcp://127.0.0.1")
        return socket

    def _listen(self) -> None:
        """Take what the gateway says. Sockets belong to one thread: the other one hands it on."""
        with self._context.socket(zmq.PUSH) as out:
            out.sndhwm = 0
            out.connect(_INBOX)
            with suppress(OSError, websocket.WebSocketException):
                while data := self._line.recv():
                    if isinstance(data, bytes):
                        out.send_multipart(_unpacked(data))
            self.is_open = False
            self._line.shutdown()  # type: ignore[no-untyped-call]
            out.send(b"")

    def _carry(self) -> None:
        poller = zmq.Poller()
        for socket in (self._inbox, *self._asked.values()):
            poller.register(socket, zmq.POLLIN)
        channels = {socket: channel for channel, socket in self._asked.items()}
        is_over = False
        while not is_over:
            for socket, _ in poller.poll():
                parts = socket.recv_multipart()
                if socket is self._inbox:
                    is_over |= len(parts) == 1
                    if not is_over:
                        self._hand_on(parts[0].decode(), parts[1:])
                elif channels[socket] == "hb":
                    socket.send_multipart(parts)
                else:
                    # Not signed with the key, or the line has gone: there is nobody to tell.
                    with suppress(ValueError, OSError, websocket.WebSocketException):
                        self._send(channels[socket], parts)
        for socket in (*self._asked.values(), self._heard, self._inbox):
            socket.close()
        self._context.term()

    def _send(self, channel: str, received: list[bytes]) -> None:
        identities, message = self._session.feed_identities(received)
        header = self._session.deserialize(message, content=False)["header"]
        self._client = identities[0]
        if channel == "control" and header["msg_type"] == "shutdown_request":
            # A gateway would start a kernel anew that ends by itself.
            threading.Thread(target=self._on_shutdown, name="pauseflow-gateway-end", daemon=True).start()
            return
        self._line.send_binary(_packed(channel, received[received.index(DELIM) + 2 :]))

    def _hand_on(self, channel: str, parts: list[bytes]) -> None:
        signed = [DELIM, self._session.sign(parts[:4]), *parts]
        if channel == "iopub":
            self._heard.send_multipart([b"kernel", *signed])
            if b'"status"' in parts[0] and json.loads(parts[3]).get("execution_state") in _GONE:
                self.close()
        elif channel in self._asked:
            self._asked[channel].send_multipart([self._client, *signed])


def _packed(channel: str, parts: Sequence[bytes]) -> bytes:
    """Lay a message out as `v1.kernel.websocket.jupyter.org` has it."""
    pieces = [channel.encode(), *parts]
    at = 8 * (len(pieces) + 2)
    offsets = [at]
    for piece in pieces:
        at += len(piece)
        offsets.append(at)
    return b"".join([*(number.to_bytes(8, "little") for number in (len(offsets), *offsets)), *pieces])


def _unpacked(data: bytes) -> list[bytes]:
    """Take a message apart: the channel and its parts."""
    count = int.from_bytes(data[:8], "little")
    offsets = [int.from_bytes(data[at : at + 8], "little") for at in range(8, 8 * (count + 1), 8)]
    return [data[start:end] for start, end in itertools.pairwise(offsets)]
