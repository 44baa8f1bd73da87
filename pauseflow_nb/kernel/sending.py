"""`flow.send` and `flow.notify`: messages to people, from within a step.

Whoever runs the notebook delivers them, with its own settings, so that no kernel needs a password.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pauseflow_nb.errors import InvalidValue, NotDelivered
from pauseflow_nb.kernel.pausing import ask
from pauseflow_nb.kernel.step_run import StepRun
from pauseflow_nb.protocol import APPROVAL_URL, MessageRequest, SuspensionRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from pauseflow_nb.kernel.session import Session

__all__ = ["Sender", "notification", "reminding", "send"]


@dataclass(frozen=True)
class Sender:
    """`flow.send`."""

    _running: "Callable[[str], tuple[Session, StepRun]]"

    def email(
        self, subject: str, text: str | None = None, html: str | None = None, to: str | Iterable[str] | None = None
    ) -> None:
        """Send a mail; after `flow.suspend` or the like it carries the link to the approval page.

        Args:
            subject: One line.
            text: The message. None: the `message` of what the step asked for. The link is added, or takes the place
                of `{approval_url}`, and of a link that would act by being opened.
            html: The same as HTML, for those who want it.
            to: Whom; None: the setting `smtp_to`.

        Raises:
            NotInStep: Outside a step.
            NotDelivered: If the mail server did not take it.
            InvalidValue: If the subject holds a link.
        """
        session, run = self._running("flow.send.email()")
        asked = run.asked.request if run.asked is not None else None
        body = text if text is not None else (asked.message or "") if asked is not None else ""
        send(session, run, MessageRequest("email", _names("to", to), subject, body, html, link=_link(run)))


def notification(
    run: StepRun, message: str | None, to: str | Iterable[str] | None, title: str | None
) -> MessageRequest:
    """Make what `flow.notify` sends: title and message of what the step asked for, where none are given."""
    asked = run.asked.request if run.asked is not None else None
    subject = title or (asked.title if asked is not None else None) or f"Step {run.step}"
    text = message if message is not None else (asked.message or "") if asked is not None else ""
    return MessageRequest("notify", _names("to", to), subject, text, link=_link(run))


def send(session: "Session", run: StepRun, request: MessageRequest) -> None:
    """Have a message delivered, and remember it for reminders.

    Raises:
        NotDelivered: If it was not.
        InvalidValue: If the subject holds a link.
    """
    for name in ("subject", "text"):
        if not isinstance(getattr(request, name), str):
            raise InvalidValue(name, getattr(request, name), "must be text")
    request = _harmless(run, request)
    if session.testmode is not None:
        from pauseflow_nb.notifications import deliver
        from pauseflow_nb.settings import Settings

        deliver(Settings.load(), request)
    else:
        problem = json.loads(ask(session.shell, "message", request.to_json()))
        if problem is not None:
            raise NotDelivered(*problem)
    run.sent.append(request)


def reminding(run: StepRun, request: SuspensionRequest) -> SuspensionRequest:
    """Add to what a step asks for the messages that a reminder will send again.

    Raises:
        InvalidValue: If there are none, or they name a target by its URL, which may hold a secret.
    """
    if request.remind is None:
        return request
    if not run.sent:
        raise InvalidValue("remind", request.remind, "has nothing to send: the step called no flow.send or flow.notify")
    for message in run.sent:
        if message.channel == "notify" and any("://" in target for target in message.to):
            raise InvalidValue(
                "remind", request.remind, "stores no URLs: give the target a name in the setting `notify`"
            )
    return replace(request, messages=[replace(message, link=None) for message in run.sent])


def _harmless(run: StepRun, request: MessageRequest) -> MessageRequest:
    """Put the approval link where the text has one of the step's links.

    Mail scanners open links, and one that acts would decide. What is stored for reminders holds none at all.
    """
    urls = run.links().values()
    whole = f"{request.text}\n{request.html or ''}"
    if any(url in request.subject for url in urls) or (request.link is None and any(url in whole for url in urls)):
        raise InvalidValue("subject or text", "…", "holds a link that acts at once: leave it out")

    def without(text: str) -> str:
        for url in urls:
            text = text.replace(url, APPROVAL_URL)
        return text

    html = None if request.html is None else without(request.html)
    return replace(request, text=without(request.text), html=html)


def _link(run: StepRun) -> str | None:
    asked = run.asked.request if run.asked is not None else None
    return None if asked is None or asked.kind == "notebook" else run.links()["approval_url"]


def _names(what: str, value: Any) -> list[str]:
    names = [value] if isinstance(value, str) else list(value or [])
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise InvalidValue(what, value, "must be a text, or a list of them")
    return names
