"""Run kernels behind a Jupyter gateway, or on another Jupyter server: a provisioner for jupyter_client.

The gateway starts the kernel. All channels of the kernel come through one WebSocket; a bridge connects it to sockets
on this machine, so that a client cannot tell the difference. A kernelspec chooses this provisioner:

    "metadata": {"kernel_provisioner": {"provisioner_name": "pauseflow-gateway",
                                        "config": {"url": "http://host:8888", "kernel_name": "python3"}}}

This module is optional: it needs the extra `gateway`, imports nothing else of this package, and is imported only by
jupyter_client, through the entry point in `pyproject.toml`.
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

import zmq
from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from jupyter_client.session import DELIM, Session
from traitlets import Float, Unicode

try:
    import websocket
except ModuleNotFoundError as problem:
    raise ModuleNotFoundError(
        "kernels behind a gateway need the extra `gateway`: pip install 'pauseflow-nb[gateway]'"
    ) from problem

_SUBPROTOCOL = "v1.kernel.websocket.jupyter.org"
_REQUEST_CHANNELS = ("shell", "control", "stdin")
_INBOX = "inproc://gateway"

#: States of a kernel that died or that the gateway restarted: a restarted kernel has lost its variables.
_GONE = {"restarting", "autorestarting", "dead"}


class GatewayProvisioner(KernelProvisionerBase):
    """Starts, interrupts and ends a kernel through the REST API of a gateway."""

    url = Unicode(help="Address of the gateway, such as `http://host:8888`.").tag(config=True)
    token = Unicode(help="Token of the gateway; by default JUPYTER_GATEWAY_AUTH_TOKEN.").tag(config=True)
    kernel_name = Unicode("python3", help="Name of the kernelspec on the gateway.").tag(config=True)
    request_seconds = Float(60.0, help="Seconds that the gateway may take to answer a request.").tag(config=True)

    _bridge: "_Bridge | None" = None
    _id = ""

    @property
    def has_process(self) -> bool:
        """Whether a kernel was started."""
        return self._bridge is not None

    async def poll(self) -> int | None:
        """Return 1 once the kernel, or the connection to it, has ended."""
        return None if self._bridge is not None and self._bridge.is_open else 1

    async def wait(self) -> int | None:
        """Wait for the end."""
        if self._bridge is not None:
            await asyncio.to_thread(self._bridge.join)
        return 1

    async def send_signal(self, signum: int) -> None:
        """Interrupt the kernel on SIGINT, end it on every other signal; a gateway offers nothing else."""
        if signum == signal.SIGINT:
            await asyncio.to_thread(self._request, "POST", f"/api/kernels/{self._id}/interrupt")
        elif signum:
            await self.kill()

    async def kill(self, restart: bool = False) -> None:  # noqa: ARG002
        """End the kernel."""
        await asyncio.to_thread(self._end)

    async def terminate(self, restart: bool = False) -> None:
        """End the kernel."""
        await self.kill(restart)

    async def cleanup(self, restart: bool = False) -> None:
        """End the kernel, if it has not ended, and close the connection."""
        await self.kill(restart)

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Prepare no command: the gateway has its own."""
        return await super().pre_launch(cmd=[], **kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:  # noqa: ARG002
        """Start the kernel; returns the address of the bridge.

        Environment variables named `KERNEL_…`, such as `KERNEL_USERNAME`, are sent to the gateway, as Jupyter's own
        gateway client does.
        """
        return await asyncio.to_thread(self._launch, kwargs.get("env") or {})

    def _launch(self, env: Mapping[str, str]) -> KernelConnectionInfo:
        kernel_variables = {name: value for name, value in env.items() if name.startswith("KERNEL_")}
        started = self._request("POST", "/api/kernels", {"name": self.kernel_name, "env": kernel_variables})
        self._id = started["id"]
        connection = websocket.create_connection(
            f"{self._base().replace('http', 'ws', 1)}/api/kernels/{self._id}/channels",
            timeout=self.request_seconds,
            header=self._headers(),
            subprotocols=[_SUBPROTOCOL],
        )
        connection.settimeout(None)
        if connection.getsubprotocol() != _SUBPROTOCOL:
            connection.close()
            self._end()
            raise ConnectionError(f"{self.url} does not speak {_SUBPROTOCOL}: it needs jupyter_server 2 or newer")
        key = secrets.token_hex(32).encode()
        self._bridge = _Bridge(connection, key, on_shutdown=self._end)
        self.connection_info = self._bridge.connection()
        return self.connection_info

    def _end(self) -> None:
        if self._id:
            # The kernel may have ended already, or its gateway.
            with suppress(OSError):
                self._request("DELETE", f"/api/kernels/{self._id}")
            self._id = ""
        if self._bridge is not None:
            self._bridge.close()

    def _request(self, method: str, path: str, body: object = None) -> Any:
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
    """Forwards messages between a WebSocket and local sockets, until the kernel ends or the client disconnects."""

    def __init__(self, connection: websocket.WebSocket, key: bytes, *, on_shutdown: Callable[[], None]) -> None:
        self._websocket, self._on_shutdown = connection, on_shutdown
        self._session = Session(key=key)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._ports: dict[str, int] = {}
        self._requests = {channel: self._bind(channel, zmq.ROUTER) for channel in (*_REQUEST_CHANNELS, "hb")}
        self._iopub = self._bind("iopub", zmq.PUB)
        self._inbox = self._context.socket(zmq.PULL)
        self._inbox.bind(_INBOX)
        #: Identity of the client that sent the last request: it gets what the kernel asks.
        self._client = b""
        self.is_open = True
        targets = (self._receive, self._forward)
        self._threads = [threading.Thread(target=target, name="pauseflow-gateway", daemon=True) for target in targets]
        for thread in self._threads:
            thread.start()

    def connection(self) -> KernelConnectionInfo:
        """Return what a connection file would contain."""
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
            # Wakes the receiving thread, which closes the WebSocket.
            self._websocket.abort()  # type: ignore[no-untyped-call]

    def join(self) -> None:
        """Wait until both threads have ended."""
        for thread in self._threads:
            thread.join()

    def _bind(self, channel: str, kind: int) -> "zmq.Socket[bytes]":
        socket = self._context.socket(kind)
        # Without a limit no message is dropped when the kernel sends many at once.
        socket.linger, socket.sndhwm = 0, 0
        self._ports[channel] = socket.bind_to_random_port("tcp://127.0.0.1")
        return socket

    def _receive(self) -> None:
        """Receive messages from the gateway and pass them to the other thread, because a ZeroMQ socket belongs to one thread."""
        with self._context.socket(zmq.PUSH) as out:
            out.sndhwm = 0
            out.connect(_INBOX)
            with suppress(OSError, websocket.WebSocketException):
                while data := self._websocket.recv():
                    if isinstance(data, bytes):
                        out.send_multipart(_unpack_message(data))
            self.is_open = False
            self._websocket.shutdown()  # type: ignore[no-untyped-call]
            out.send(b"")

    def _forward(self) -> None:
        poller = zmq.Poller()
        for socket in (self._inbox, *self._requests.values()):
            poller.register(socket, zmq.POLLIN)
        channels = {socket: channel for channel, socket in self._requests.items()}
        is_over = False
        while not is_over:
            for socket, _ in poller.poll():
                parts = socket.recv_multipart()
                if socket is self._inbox:
                    is_over |= len(parts) == 1
                    if not is_over:
                        self._forward_to_client(parts[0].decode(), parts[1:])
                elif channels[socket] == "hb":
                    socket.send_multipart(parts)
                else:
                    # A message with a wrong signature is dropped, and so is one that comes after the connection has ended.
                    with suppress(ValueError, OSError, websocket.WebSocketException):
                        self._forward_to_gateway(channels[socket], parts)
        for socket in (*self._requests.values(), self._iopub, self._inbox):
            socket.close()
        self._context.term()

    def _forward_to_gateway(self, channel: str, received: list[bytes]) -> None:
        identities, message = self._session.feed_identities(received)
        header = self._session.deserialize(message, content=False)["header"]
        self._client = identities[0]
        if channel == "control" and header["msg_type"] == "shutdown_request":
            # A gateway restarts a kernel that ends by itself.
            threading.Thread(target=self._on_shutdown, name="pauseflow-gateway-end", daemon=True).start()
            return
        self._websocket.send_binary(_pack_message(channel, received[received.index(DELIM) + 2 :]))

    def _forward_to_client(self, channel: str, parts: list[bytes]) -> None:
        signed = [DELIM, self._session.sign(parts[:4]), *parts]
        if channel == "iopub":
            self._iopub.send_multipart([b"kernel", *signed])
            if b'"status"' in parts[0] and json.loads(parts[3]).get("execution_state") in _GONE:
                self.close()
        elif channel in self._requests:
            self._requests[channel].send_multipart([self._client, *signed])


def _pack_message(channel: str, parts: Sequence[bytes]) -> bytes:
    """Encode a message in the format `v1.kernel.websocket.jupyter.org`."""
    pieces = [channel.encode(), *parts]
    at = 8 * (len(pieces) + 2)
    offsets = [at]
    for piece in pieces:
        at += len(piece)
        offsets.append(at)
    return b"".join([*(number.to_bytes(8, "little") for number in (len(offsets), *offsets)), *pieces])


def _unpack_message(data: bytes) -> list[bytes]:
    """Decode a message: the channel and its parts."""
    count = int.from_bytes(data[:8], "little")
    offsets = [int.from_bytes(data[at : at + 8], "little") for at in range(8, 8 * (count + 1), 8)]
    return [data[start:end] for start, end in itertools.pairwise(offsets)]
