"""Our messages in what a kernel answers and asks."""

import json

from pauseflow_nb.protocol import SOURCE, Failure, Outcome, Ready
from pauseflow_nb.runner.client import Reply

__all__ = ["asked_of", "outcome_of", "ready_of"]


def asked_of(text: str) -> tuple[str, str]:
    """Read a question of ours: its kind and its JSON; both empty if it is none."""
    try:
        asked = json.loads(text)
        return (asked["kind"], asked["json"]) if asked["source"] == SOURCE else ("", "")
    except (ValueError, KeyError, TypeError):
        return "", ""


def _payload_of(reply: Reply) -> str | None:
    return next((str(payload["json"]) for payload in reply.payload if payload.get("source") == SOURCE), None)


def outcome_of(reply: Reply) -> Outcome | None:
    """Read how a step ended; None if the reply is of another cell."""
    text = _payload_of(reply)
    return None if text is None else Outcome.from_json(text)


def ready_of(reply: Reply) -> tuple[Ready, Failure | None]:
    """Read whether the kernel is ready, and why not."""
    text = _payload_of(reply)
    if text is None:
        return Ready(), Failure(reply.ename or "RuntimeError", reply.evalue or "the kernel did not answer its briefing")
    ready = Ready.from_json(text)
    return ready, ready.failure
