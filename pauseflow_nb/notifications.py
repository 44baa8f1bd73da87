"""Send messages to people: mail over SMTP, everything else through apprise.

A message carries at most one link, the one to the approval page: a person who opens it by accident, or a
virus scanner, decides nothing. The worker has the settings; a notebook does not need to know a password.
"""

import smtplib
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.utils import formatdate, getaddresses, make_msgid
from html import escape
from ipaddress import ip_address
from urllib.parse import urlsplit

from pauseflow_nb.errors import NotDelivered
from pauseflow_nb.printable import printable
from pauseflow_nb.protocol import APPROVAL_URL, MessageRequest
from pauseflow_nb.settings import Settings

_TIMEOUT_SECONDS = 15.0


def deliver(settings: Settings, request: MessageRequest) -> None:
    """Send a message to people.

    Raises:
        NotDelivered: If the mail server or the service did not accept it.
    """
    if request.channel == "email":
        _send_mail(settings, request)
    else:
        _notify(settings, request)


def try_mail_server(settings: Settings) -> None:
    """Connect to the mail server and sign in; nothing is sent.

    Raises:
        OSError, smtplib.SMTPException: If that fails.
    """
    assert settings.smtp_host is not None, "asked only where there is one"
    with _connect(settings, settings.smtp_host) as server:
        server.noop()


def is_one_address(text: str) -> bool:
    """Whether a text is exactly one mail address, alone or as `Ada <ada@example.org>`, without line breaks."""
    # The mail library decodes encoded words (`=?…`) and writes their commas into the header.
    if not text.isprintable() or "=?" in text:
        return False
    found = getaddresses([text])
    if len(found) != 1:
        return False
    name, address = found[0]
    user, at, host = address.rpartition("@")
    if not (user and at and host) or any(char in user + host for char in ' ,;:<>@"()'):
        return False
    return address == text.strip() or (bool(name) and text.rstrip().endswith(f"<{address}>"))


def _parse_addresses(setting: str) -> list[str]:
    """Read one address, whose name may have a comma in quotes, or several with commas between them."""
    parts = [setting] if is_one_address(setting) else setting.split(",")
    return [part.strip() for part in parts if part.strip()]


def _send_mail(settings: Settings, request: MessageRequest) -> None:
    receivers = request.to or _parse_addresses(settings.smtp_to or "")
    wrong = next((each for each in receivers if not is_one_address(each)), None)
    if wrong is not None:
        raise NotDelivered(repr(wrong), "this is not one mail address: pass several addresses as a list of texts")
    if not receivers:
        raise NotDelivered("mail", "it has no recipient: pass `to`, or set `smtp_to`")
    if settings.smtp_host is None:
        raise NotDelivered(", ".join(receivers), "no mail server is known: set `smtp_host`")
    sender = settings.smtp_from or settings.smtp_user or f"pauseflow@{settings.smtp_host}"
    try:
        mail = _mail(request, sender, receivers)
        with _connect(settings, settings.smtp_host) as server:
            refused = server.send_message(mail)
    except (OSError, smtplib.SMTPException, ValueError) as problem:
        raise NotDelivered(", ".join(receivers), f"{_explain(problem)}: check the settings `smtp_…`") from problem
    if refused:
        raise NotDelivered(", ".join(refused), "the mail server refused these addresses; the others received it")


def _mail(request: MessageRequest, sender: str, receivers: list[str]) -> EmailMessage:
    mail = EmailMessage()
    mail["Subject"] = printable(" ".join(request.subject.split()))
    mail["From"], mail["To"] = sender, ", ".join(receivers)
    mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain="pauseflow.invalid")
    mail.set_content(_write_text(request))
    if request.html is not None:
        mail.add_alternative(_write_html(request), subtype="html")
    return mail


@contextmanager
def _connect(settings: Settings, host: str) -> Iterator[smtplib.SMTP]:
    context = ssl.create_default_context()
    security, port = settings.smtp_security, settings.smtp_port
    if security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, port or 465, timeout=_TIMEOUT_SECONDS, context=context)
    else:
        server = smtplib.SMTP(host, port or (587 if security == "starttls" else 25), timeout=_TIMEOUT_SECONDS)
    with server:
        if security == "starttls":
            server.starttls(context=context)
        if settings.smtp_user is not None:
            server.login(settings.smtp_user, settings.smtp_password or "")
        yield server


def _notify(settings: Settings, request: MessageRequest) -> None:
    try:
        # Lazily: it is an optional dependency.
        import apprise
    except ImportError:
        raise NotDelivered(", ".join(_mask_urls(request.to)), "install `pauseflow-nb[notify]`") from None
    targets = request.to or list(settings.notify)
    if not targets:
        raise NotDelivered("notification", "it has no recipient: pass `to`, or set `notify`")
    for target in targets:
        url = target if "://" in target else settings.notify.get(target)
        if url is None:
            known = ", ".join(settings.notify) or "none"
            raise NotDelivered(target, f"the setting `notify` has no such name, only: {known}")
        sender = apprise.Apprise()
        (name,) = _mask_urls([target])
        if not sender.add(url):
            raise NotDelivered(name, "apprise does not understand its URL")
        if not sender.notify(title=request.subject, body=_write_text(request)):
            raise NotDelivered(name, "apprise could not send it: check the URL in the setting `notify`")


def _write_text(request: MessageRequest) -> str:
    if request.link is None:
        return request.text
    if APPROVAL_URL in request.text:
        text = request.text.replace(APPROVAL_URL, request.link)
        return f"{text}\n\n{_note_on_loopback(request.link)}".rstrip() + "\n"
    return f"{request.text}\n\nSee it and decide: {request.link}\n{_note_on_loopback(request.link)}".rstrip() + "\n"


def _write_html(request: MessageRequest) -> str:
    html, link = request.html or "", request.link
    if link is None:
        return html
    note = f"<p>{escape(_note_on_loopback(link))}</p>" if _note_on_loopback(link) else ""
    if APPROVAL_URL in html:
        return html.replace(APPROVAL_URL, escape(link)) + note
    return f'{html}<p><a href="{escape(link)}">See it and decide</a></p>{note}'


def _note_on_loopback(link: str) -> str:
    host = urlsplit(link).hostname or ""
    try:
        is_loopback = ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost" or host.endswith(".localhost")
    sentence = "This link works only on the machine that sent it: set `public_url` to reach it from elsewhere."
    return sentence if is_loopback else ""


def _mask_urls(targets: Iterable[str]) -> list[str]:
    """List targets by name, with secrets in their URLs masked."""
    return [f"{target.partition('://')[0]}://…" if "://" in target else target for target in targets]


def _explain(problem: Exception) -> str:
    if isinstance(problem, smtplib.SMTPRecipientsRefused):
        return "; ".join(f"{who}: {reason.decode(errors='replace')}" for who, (_, reason) in problem.recipients.items())
    if isinstance(problem, smtplib.SMTPResponseException):
        text = problem.smtp_error
        return text.decode(errors="replace") if isinstance(text, bytes) else str(text)
    return str(problem)
