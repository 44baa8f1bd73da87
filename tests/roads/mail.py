"""A mail server on loopback."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from acceptance.web import wait_until
from aiosmtpd.controller import Controller


class MailController(Controller):
    """Stops when its connections are closed: those that are still open would warn in a later test."""

    def __init__(self, handler: Any, **options: Any) -> None:
        self._open: set[Any] = set()
        super().__init__(handler, **options)

    def factory(self) -> Any:
        protocol: Any = super().factory()  # type: ignore[no-untyped-call]
        close = protocol.connection_lost

        def connection_lost(error: Exception | None) -> None:
            close(error)
            self._open.discard(protocol)

        protocol.connection_lost = connection_lost
        self._open.add(protocol)
        return protocol

    def stop(self, no_assert: bool = False) -> None:
        wait_until(lambda: not self._open, "the mail server's connections are closed")
        super().stop(no_assert)


class Mailbox:
    """A mail server's handler, which refuses one address."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.mails: list[EmailMessage] = []

    @property
    def settings(self) -> dict[str, Any]:
        """What makes a store send its mail here."""
        return {
            "smtp_host": "127.0.0.1",
            "smtp_port": self.port,
            "smtp_security": "none",
            "smtp_from": "flows@example.org",
            "smtp_to": "team@example.org",
        }

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        if address.startswith("nobody"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"

    def texts(self, number: int = -1) -> str:
        body = self.mails[number].get_body(("plain",))
        assert body is not None
        return str(body.get_content())


@contextmanager
def mail_server() -> Iterator[Mailbox]:
    """Take mails while the block runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        box = Mailbox(probe.getsockname()[1])
    controller = MailController(box, hostname="127.0.0.1", port=box.port)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()
