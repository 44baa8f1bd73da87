"""Mask secrets in the messages of a kernel to front ends and to the runner."""

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pauseflow_nb.protocol import SOURCE
from pauseflow_nb.user_secrets.secret_mask import SecretMask

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

#: Types of messages that may show a value: outputs, errors, widgets, help, prompts, debugger.
_SHOWN = frozenset(
    {
        "stream",
        "display_data",
        "update_display_data",
        "execute_result",
        "error",
        "comm_open",
        "comm_msg",
        "inspect_reply",
        "complete_reply",
        "history_reply",
        "debug_reply",
        "debug_event",
    }
)
_SHOWN_IN_REPLY = ("ename", "evalue", "traceback", "user_expressions")


def mask_messages(shell: "InteractiveShell", mask: SecretMask) -> None:
    """Mask everything that the kernel of this shell sends from now on; a second call has no effect."""
    kernel: Any = getattr(shell, "kernel", None)
    session = getattr(kernel, "session", None)
    if session is not None and not isinstance(getattr(session.send, "__self__", None), _Masking):
        session.send = _Masking(session.send, mask).send


class _Masking:
    """Sends messages for a session, masked.

    A text printed in two parts arrives in two messages, so the end of a stream is held back while it may be the
    beginning of a secret: until the next text of the stream, or the end of its cell.
    """

    def __init__(self, send: Any, mask: SecretMask) -> None:
        self._send, self._mask = send, mask
        #: Request and name of a stream → the end that was held back, with its message.
        self._pending: dict[tuple[str, str], tuple[Any, dict[str, Any]]] = {}
        # A thread of the kernel sends streams.
        self._lock = threading.RLock()

    def send(self, stream: Any, msg_or_type: Any, content: Any = None, *more: Any, **named: Any) -> Any:
        """Send a message, masked, in place of `Session.send`."""
        is_message = isinstance(msg_or_type, Mapping)
        kind = msg_or_type["header"]["msg_type"] if is_message else msg_or_type
        if is_message and kind == "stream":
            return self._send_stream(stream, dict(msg_or_type), *more, **named)
        if kind in _SHOWN or kind == "status":
            self._let_go()
        body = self._masked(kind, msg_or_type["content"] if is_message else content)
        if is_message:
            return self._send(stream, {**msg_or_type, "content": body}, content, *more, **named)
        return self._send(stream, msg_or_type, body, *more, **named)

    def _masked(self, kind: str, content: Any) -> Any:
        if kind in _SHOWN:
            return self._mask.value(content)
        if kind == "execute_reply" and isinstance(content, Mapping):
            shown = {name: self._mask.value(content[name]) for name in _SHOWN_IN_REPLY if name in content}
            payload = [each if _is_ours(each) else self._mask.value(each) for each in content.get("payload", [])]
            return {**content, **shown, "payload": payload}
        if kind == "input_request" and SOURCE not in content["prompt"]:
            return {**content, "prompt": self._mask.text(content["prompt"])}
        return content

    def _send_stream(self, stream: Any, message: dict[str, Any], *more: Any, **named: Any) -> Any:
        content = message["content"]
        key = (message["parent_header"].get("msg_id", ""), content["name"])
        with self._lock:
            _, before = self._pending.pop(key, (None, {"content": {"text": ""}}))
            text = self._mask.text(before["content"]["text"] + content["text"])
            pending = self._mask.count_beginning(text)
            if pending:
                self._pending[key] = stream, {**message, "content": {**content, "text": text[-pending:]}}
            shown = text[: len(text) - pending]
            return (
                self._send(stream, {**message, "content": {**content, "text": shown}}, None, *more, **named)
                if shown
                else None
            )

    def _let_go(self) -> None:
        with self._lock:
            pending, self._pending = self._pending, {}
            for stream, message in pending.values():
                self._send(stream, message)


def _is_ours(payload: Mapping[str, Any]) -> bool:
    """Whether the message is for the runner, which masks it itself: the address of a mail may be a secret."""
    return payload.get("source") == SOURCE
