"""Send messages to people from within a step: `flow.send` and `flow.notify`.

The process that runs the notebook delivers them with its own settings, so that no kernel needs a password.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pauseflow_nb.actions import ACTIONS
from pauseflow_nb.errors import InvalidValue
from pauseflow_nb.kernel.current import RunningSession, require_step
from pauseflow_nb.kernel.secret import MASK
from pauseflow_nb.kernel.step_run import StepRun
from pauseflow_nb.protocol import APPROVAL_URL, MessageRequest, SuspensionRequest


class Sender:
    """Send mails and HTTP requests from a step, at once; `flow.send` is the one instance."""

    def email(
        self, subject: str, text: str | None = None, html: str | None = None, to: str | Iterable[str] | None = None
    ) -> None:
        """Send a mail; after `flow.suspend` or the like it carries the link to the approval page.

        Args:
            subject: One line.
            text: The message. None: the `message` of the step's suspension. The link is added, or takes the
                place of `{approval_url}`, and of a link that acts when it is opened.
            html: The message as HTML.
            to: Addresses. None: the setting `smtp_to`.

        Raises:
            NotInStep: Outside a step.
            NotDelivered: If the mail server did not accept it.
            InvalidValue: If the subject holds a link.
        """
        session, run = require_step("flow.send.email()")
        _, body = _choose_texts(run, "", text)
        send(session, run, MessageRequest("email", _require_names("to", to), subject, body, html, link=_find_link(run)))

    def http(
        self,
        request: Mapping[str, Any] | None = None,
        *,
        url: str = "",
        method: str = "POST",
        data: Any = None,
        headers: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        auth: Mapping[str, str] | tuple[str, str] | None = None,
    ) -> None:
        """Send an HTTP request at once, and wait until the server has accepted it; its response is dropped.

        Args:
            request: The other arguments in one mapping, as Pipedream has it.
            url: Its address.
            method: `"POST"`, `"GET"`, …
            data: The body: JSON, text or bytes.
            headers: Names and values.
            params: Added to the query of the URL.
            auth: User name and password, as a mapping of `username` and `password` or a pair.

        Raises:
            NotInStep: Outside a step.
            NotDelivered: If the server did not answer within 30 s, or not with success.
            InvalidValue, NotJSON: Naming the argument.
        """
        require_step("flow.send.http()")
        if request is not None:
            unknown = set(request) - {"url", "method", "data", "headers", "params", "auth"}
            if unknown:
                raise InvalidValue("send.http", sorted(map(str, unknown)), "is unknown to flow.send.http()")
            self.http(**request)
            return
        from pauseflow_nb.kernel.http_request import send_request  # lazily: urllib is slow to import

        send_request(url, method, data=data, headers=headers, params=params, auth=auth)


def make_notification(
    run: StepRun, message: str | None, to: str | Iterable[str] | None, title: str | None
) -> MessageRequest:
    """Make the message of `flow.notify`; None means the title or the message of the step's suspension."""
    subject, text = _choose_texts(run, title, message)
    return MessageRequest("notify", _require_names("to", to), subject or f"Step {run.step}", text, link=_find_link(run))


def send(session: RunningSession, run: StepRun, request: MessageRequest) -> None:
    """Deliver a message, and keep it for reminders.

    Raises:
        NotDelivered: If it could not be sent.
        InvalidValue: If the subject holds a link.
    """
    for name in ("subject", "text"):
        if not isinstance(getattr(request, name), str):
            raise InvalidValue(name, getattr(request, name), "must be text")
    request = _replace_links(run, request)
    session.mode.deliver(request)
    run.delivered.append(request)


def add_reminder(run: StepRun, request: SuspensionRequest) -> SuspensionRequest:
    """Add to a suspension the messages that its reminders send again.

    Raises:
        InvalidValue: If there are none, or they name a target by its URL, which may hold a secret.
    """
    if request.remind is None:
        return request
    if not run.delivered:
        raise InvalidValue("remind", request.remind, "has nothing to send: the step called no flow.send or flow.notify")
    for message in run.delivered:
        if message.channel == "notify" and any("://" in target for target in message.to):
            raise InvalidValue(
                "remind", request.remind, "stores no URLs: give the target a name in the setting `notify`"
            )
        if MASK.is_in(message.to):
            raise InvalidValue("remind", request.remind, "stores no secrets, and an address of a message is one")
    return replace(request, messages=[replace(message, link=None) for message in run.delivered])


def _replace_links(run: StepRun, request: MessageRequest) -> MessageRequest:
    """Replace the step's other links in a message by the link to the approval page.

    Mail scanners open links, and a link that acts would decide. The texts stored for reminders hold no links.
    """
    urls = run.links(ACTIONS).values()
    whole = f"{request.text}\n{request.html or ''}"
    if any(url in request.subject for url in urls) or (request.link is None and any(url in whole for url in urls)):
        raise InvalidValue("subject or text", "…", "holds a link that acts at once: leave it out")

    def without(text: str) -> str:
        for url in urls:
            text = text.replace(url, APPROVAL_URL)
        return text

    html = None if request.html is None else without(request.html)
    return replace(request, text=without(request.text), html=html)


def _choose_texts(run: StepRun, title: str | None, message: str | None) -> tuple[str, str]:
    """Return title and message; one that is None comes from the step's suspension."""
    request = run.suspension.request if run.suspension is not None else None
    if request is not None:
        title = title or request.title
        message = request.message if message is None else message
    return title or "", "" if message is None else message


def _find_link(run: StepRun) -> str | None:
    request = run.suspension.request if run.suspension is not None else None
    return None if request is None or request.kind == "notebook" else run.links()["approval_url"]


def _require_names(what: str, value: Any) -> list[str]:
    names = [value] if isinstance(value, str) else list(value or [])
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise InvalidValue(what, value, "must be a text, or a list of texts")
    return names
