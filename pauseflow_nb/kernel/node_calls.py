"""Apply the calls that a step in JavaScript makes: each is one of `flow`."""

import base64
from collections.abc import Callable, Mapping
from typing import Any

from pauseflow_nb.errors import InvalidValue
from pauseflow_nb.kernel.flow import DEFAULT_MAX_RETRIES, DEFAULT_TIMEOUT, flow


def apply_call(call: Mapping[str, Any], step: str) -> None:
    """Do what a line of the step's process asks for.

    Raises:
        InvalidValue, InvalidDuration, NotJSON, NotDelivered: As the call of `flow` does.
    """
    name = call["call"]
    if name not in _CALLS:
        raise InvalidValue("call", name, f"is unknown; step {step!r} asked for it")
    _CALLS[name](call)


def _suspend(call: Mapping[str, Any]) -> None:
    options = call.get("options")
    if not isinstance(options, dict):
        raise InvalidValue("options", options, "must be an object, such as { title: 'Ship it?' }")
    flow.suspend(call.get("timeout", DEFAULT_TIMEOUT), **options)


def _rerun(call: Mapping[str, Any]) -> None:
    flow.rerun(call["delay"], call.get("context"), call.get("maxRetries", DEFAULT_MAX_RETRIES))


def _export(call: Mapping[str, Any]) -> None:
    name, value = call.get("name"), call.get("value")
    if name == "$summary":  # of actions: a sentence about what they did
        print(value)  # noqa: T201 - what the step shows
        return
    flow.export(name, value)  # type: ignore[arg-type] # refused there


def _respond(call: Mapping[str, Any]) -> None:
    response = dict(call["response"])
    if call.get("bytes") is not None:
        response["body"] = base64.b64decode(call["bytes"])
    _respond_now(response)


def _respond_now(response: Mapping[str, Any]) -> None:
    flow.respond(response)


def _email(call: Mapping[str, Any]) -> None:
    flow.send.email(call["subject"], call.get("text"), call.get("html"), call.get("to"))


_CALLS: dict[str, Callable[[Mapping[str, Any]], None]] = {
    "suspend": _suspend,
    "rerun": _rerun,
    "delay": lambda call: _ignore(flow.delay(call["ms"])),
    "exit": lambda call: flow.exit(call.get("reason")),
    "export": _export,
    "respond": _respond,
    "email": _email,
}


def _ignore(_links: object) -> None:
    """The step has its links already."""
