"""`flow.send.email` and `flow.notify`: to a real mail server and a real HTTP receiver, on loopback."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from roads.mail import Mailbox, mail_server
from roads.rider import Rider, returned

from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.errors import NotDelivered
from pauseflow_nb.notifications import deliver
from pauseflow_nb.protocol import MessageRequest
from pauseflow_nb.runner.kernels.source import Supply
from pauseflow_nb.settings import Settings
from pauseflow_nb.store.database import reading
from pauseflow_nb.store.tables import suspensions

pytestmark = [
    pytest.mark.acceptance,
    # apprise and aiosmtpd still use what newer Pythons will not have.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as box:
        yield box


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An HTTP server that takes JSON, as a chat does; URL for apprise, and what came."""
    came: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path.startswith("/down"):
                self.send_response(500)
            else:
                came.append(json.loads(body))
                self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"json://127.0.0.1:{server.server_port}", came
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def sender(tmp_path: Path, mailbox: Mailbox, receiver: tuple[str, Any], shared_supply: Supply) -> Iterator[Rider]:
    flags = {
        "data_dir": tmp_path / "data",
        **mailbox.settings,
        "notify": {"chat": f"{receiver[0]}/up", "broken": f"{receiver[0]}/down"},
    }
    queue = Queue.open(Settings.load(flags=flags, environment={}))
    yield Rider(queue, tmp_path, shared_supply)
    queue.close()


@pytest.mark.parametrize(
    ("setting", "receivers"),
    [
        ("a@example.org, b@example.org", ["a@example.org", "b@example.org"]),
        ('"Lovelace, Ada" <ada@example.org>', ["ada@example.org"]),
    ],
)
def test_the_setting_for_mails_that_name_nobody_is_one_address_or_several(
    setting: str, receivers: list[str], mailbox: Mailbox, tmp_path: Path
) -> None:
    flags = {"data_dir": tmp_path, **mailbox.settings, "smtp_to": setting}

    deliver(Settings.load(flags=flags, environment={}), MessageRequest("email", [], "subject", "text"))

    assert [address.addr_spec for address in mailbox.mails[0]["To"].addresses] == receivers


@pytest.mark.parametrize("setting", [{"smtp_security": "starttls"}, {"smtp_user": "ann"}])
def test_a_mail_server_that_cannot_encrypt_or_sign_in_is_not_left_connected(
    setting: dict[str, str], tmp_path: Path
) -> None:
    def send() -> None:
        # The server waits until its connections are closed, while the error still holds the client.
        with mail_server() as box:
            settings = Settings.load(flags={"data_dir": tmp_path, **box.settings, **setting}, environment={})
            deliver(settings, MessageRequest("email", [], "subject", "text"))

    with pytest.raises(NotDelivered, match="not supported by server"):
        send()


def test_a_mail_carries_title_text_and_only_the_approval_link(sender: Rider, mailbox: Mailbox) -> None:
    view = sender.run(
        "%%step ask\nflow.suspend(title='Ship?', message='12 boxes — größe XL')\n"
        "flow.send.email('Ship it?', html='<b>12 boxes</b>', to=['ann@example.org', 'bob@example.org'])",
    )
    (waits,) = view["suspended"]
    (mail,) = mailbox.mails

    assert view["state"] == "suspended"
    assert (mail["subject"], mail["from"]) == ("Ship it?", "flows@example.org")
    assert mail["to"] == "ann@example.org, bob@example.org"
    text = mailbox.texts()
    assert "12 boxes — größe XL" in text
    assert waits["approval_url"] in text
    assert "works only on the machine that sent it" in text
    html = mail.get_body(("html",))
    assert html is not None
    assert waits["approval_url"] in html.get_content()
    assert waits["resume_url"] not in mail.as_string()


def test_a_mail_without_a_pause_carries_no_link_and_goes_to_the_setting(sender: Rider, mailbox: Mailbox) -> None:
    view = sender.run("%%step tell\nflow.send.email('Done', 'All is well.')\n'sent'")

    assert returned(view, "tell") == "sent"
    assert mailbox.mails[0]["to"] == "team@example.org"
    assert mailbox.texts().strip() == "All is well."


def test_what_is_not_delivered_fails_the_step_and_voids_what_it_asked(sender: Rider) -> None:
    view = sender.run("%%step ask\nflow.suspend()\nflow.send.email('Hello', 'x', to='nobody@example.org')")

    assert (view["state"], view["error"]["type"]) == ("failed", "NotDelivered")
    assert view["error"]["message"] == (
        "the message to nobody@example.org was not delivered: nobody@example.org: no such mailbox: "
        "check the settings `smtp_…`"
    )
    assert view["suspended"] == []


def test_without_a_mail_server_the_sentence_names_the_setting(rider: Rider) -> None:
    view = rider.run("%%step tell\nflow.send.email('Hello', 'x', to='ann@example.org')")

    assert "set `smtp_host`" in view["error"]["message"]


def test_the_approval_link_stands_where_it_is_wanted_and_in_the_place_of_links_that_act(
    sender: Rider, mailbox: Mailbox
) -> None:
    view = sender.run(
        "%%step ask\nlinks = flow.suspend(remind='1h')\n"
        "flow.send.email('Hello', 'Open {approval_url} now', html=f'<a href=\"{links.resume_url}\">go</a>')\n"
        "flow.send.email('Bye', f'Yes: {links.resume_url}, no: {links.cancel_url}')",
    )
    url = view["suspended"][0]["approval_url"]
    note = " This link works only on the machine that sent it: set `public_url` to reach it from elsewhere."
    html = mailbox.mails[0].get_body(("html",))

    first, second = (" ".join(mailbox.texts(number).split()) for number in (0, 1))
    assert first == f"Open {url} now{note}"
    assert html is not None
    assert f'<a href="{url}">go</a>' in html.get_content()
    assert second == f"Yes: {url}, no: {url}{note}"
    with reading(sender.queue.engine) as connection:
        stored = connection.execute(sa.select(suspensions.c.notice)).scalar_one()
    assert "/pauseflow/" not in json.dumps(stored)


def test_a_link_in_a_subject_is_refused(sender: Rider, mailbox: Mailbox) -> None:
    view = sender.run("%%step ask\nlinks = flow.suspend()\nflow.send.email(f'Click {links.resume_url}')")

    assert view["error"]["type"] == "InvalidValue"
    assert "holds a link that acts at once" in view["error"]["message"]
    assert mailbox.mails == []


def test_notify_sends_title_message_and_link(sender: Rider, receiver: tuple[str, list[dict[str, Any]]]) -> None:
    view = sender.run(
        "%%step ask\nflow.suspend(title='Ship?', message='12 boxes')\nflow.notify(to='chat')\n"
        f"flow.notify('raw', to=['{receiver[0]}/up'], title='Other')"
    )
    (waits,) = view["suspended"]
    first, second = receiver[1]

    assert (first["title"], second["title"]) == ("Ship?", "Other")
    assert "12 boxes" in first["message"]
    assert waits["approval_url"] in first["message"]
    assert waits["approval_url"] in second["message"]


@pytest.mark.parametrize(
    ("to", "sentence"),
    [
        ("broken", "the message to broken was not delivered: apprise could not send it"),
        ("unknown", "has no such name, only: chat, broken"),
        ("nonsense://x", "the message to nonsense://… was not delivered: apprise does not understand its URL"),
    ],
)
def test_a_notification_that_does_not_arrive_fails_the_step(sender: Rider, to: str, sentence: str) -> None:
    view = sender.run(f"%%step tell\nflow.notify('x', to='{to}')")

    assert sentence in view["error"]["message"]


def test_a_reminder_sends_again_until_it_is_answered(sender: Rider, mailbox: Mailbox, wait_until: Any) -> None:
    view = sender.run(
        "%%step ask\nflow.suspend('1h', remind='0.3s')\nflow.send.email('Ship it?', 'Please', to='ann@example.org')",
        "%%step last\n1",
    )
    execution = view["id"]

    def swept(count: int) -> bool:
        Clock(sender.queue).sweep()
        return len(mailbox.mails) >= count

    wait_until(lambda: swept(3), description="two reminders came")
    assert mailbox.mails[1]["subject"] == "Reminder: Ship it?"
    assert view["suspended"][0]["approval_url"] in mailbox.texts(1)
    assert [line["what"] for line in sender.queue.audit(execution)].count("reminded") >= 1
    assert sender.answer(execution)["state"] == "completed"
    count = len(mailbox.mails)
    Clock(sender.queue).sweep()
    assert len(mailbox.mails) - count <= 1


def test_a_reminder_that_was_taken_is_sent_before_the_store_is_closed(
    sender: Rider, mailbox: Mailbox, wait_until: Any
) -> None:
    view = sender.run(
        "%%step ask\nflow.suspend('1h', remind='0.1s')\nflow.send.email('Ship it?', 'Please', to='ann@example.org')"
    )

    def remind_at() -> float:
        with reading(sender.queue.engine) as connection:
            return float(connection.execute(sa.select(suspensions.c.remind_at)).scalar_one())

    def taken() -> bool:
        Clock(sender.queue).sweep()
        return remind_at() != first

    first = remind_at()
    wait_until(taken, description="a reminder was taken")
    sender.queue.close()

    assert mailbox.mails[1]["subject"] == "Reminder: Ship it?"
    assert "reminded" in [line["what"] for line in sender.queue.audit(view["id"])]


def test_who_was_written_to_learns_at_once_that_what_was_asked_about_has_changed(
    sender: Rider, mailbox: Mailbox, wait_until: Any
) -> None:
    price = sender.folder / "price"
    price.write_text("100")
    view = sender.run(
        "%%fresh price\nopen('price').read()",
        "%%step ask\nflow.suspend('2d', remind='1d')\nflow.send.email('Buy?', 'Please', to='ann@example.org')",
    )
    price.write_text("120")
    assert sender.answer(view["id"])["state"] == "suspended"

    def swept() -> bool:
        Clock(sender.queue).sweep()
        return len(mailbox.mails) == 2

    wait_until(swept, description="another message came")
    assert mailbox.mails[1]["subject"] == "Asked again: Buy?"
    assert view["suspended"][0]["approval_url"] in mailbox.texts(1)


@pytest.mark.parametrize("how", ["revoke", "withdraw"])
def test_a_reminder_carries_the_new_link_once_the_old_one_was_withdrawn(
    sender: Rider, mailbox: Mailbox, wait_until: Any, how: str
) -> None:
    view = sender.run(
        "%%step ask\nflow.suspend('1h', remind='0.1s')\nflow.send.email('Ship it?', 'Please', to='ann@example.org')"
    )
    if how == "revoke":
        sender.queue.revoke(view["id"], by="user:ann")
    else:
        sender.queue.rotate_keys(by="user:ann", withdraw=True)
    (waits,) = sender.queue.view(view["id"])["suspended"]
    assert waits["approval_url"] != view["suspended"][0]["approval_url"]

    def reminded() -> bool:
        Clock(sender.queue).sweep()
        # One with the old link may still have been on its way.
        return waits["approval_url"] in mailbox.texts()

    wait_until(reminded, description="a reminder with the new link came")
    sender.queue.cancel(view["id"], by="user:ann")


@pytest.mark.parametrize(
    ("rest", "sentence"),
    [
        ("", "has nothing to send"),
        ("flow.notify('x', to='{url}/up')", "stores no URLs"),
    ],
)
def test_a_reminder_that_could_not_be_sent_fails_the_step(
    sender: Rider, receiver: tuple[str, Any], rest: str, sentence: str
) -> None:
    view = sender.run("%%step ask\nflow.suspend(remind='4h')\n" + rest.format(url=receiver[0]))

    assert view["state"] == "failed"
    assert sentence in view["error"]["message"]
