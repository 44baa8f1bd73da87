"""Links against a real store, over a real socket."""

import json
import logging
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from json import loads
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
from lost_replies import lose_reply
from tornado.httpclient import HTTPResponse

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.links import Claim
from pauseflow_nb.server.listener import Listener
from pauseflow_nb.server.public.rate_limit import LinkLimits, RateLimit
from pauseflow_nb.server.public.receiving import METHODS
from pauseflow_nb.server.public.upload import Upload
from pauseflow_nb.settings import Settings

if TYPE_CHECKING:
    from conftest import WaitUntil
    from server.conftest import Send, Stage

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
PRIVATE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex, nofollow"}
MEBIBYTE = 1024 * 1024


def body(response: HTTPResponse) -> Any:
    return loads(response.body)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_a_request_of_any_method_acts(send: "Send", stage: "Stage", base: str, method: str) -> None:
    execution = stage.suspended()

    answer = send(method, f"{base}/{stage.link('resume', execution)}")

    assert (answer.code, body(answer)["action"]) == (200, "resume")
    assert stage.queue.state(execution) == "queued"


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_looking_methods_change_nothing(send: "Send", stage: "Stage", base: str, method: str) -> None:
    execution = stage.suspended()

    answer = send(method, f"{base}/{stage.link('resume', execution)}")

    assert (answer.code, answer.body) in {(200, b""), (204, b"")}
    assert stage.queue.state(execution) == "suspended"


@pytest.mark.parametrize(
    "headers",
    [{"Accept": BROWSER}, {"Sec-Purpose": "prefetch"}, {"User-Agent": "Slackbot-LinkExpanding 1.0"}],
)
def test_a_get_that_nobody_decided_gets_the_page(
    send: "Send", stage: "Stage", base: str, headers: dict[str, str]
) -> None:
    execution = stage.suspended(title="Deploy the model?")

    answer = send("GET", f"{base}/{stage.link('cancel', execution)}", headers=headers)

    assert answer.code == 200
    assert "Deploy the model?" in answer.body.decode()
    assert stage.queue.state(execution) == "suspended"


@pytest.mark.parametrize(
    ("links", "accept", "code", "state"),
    [
        ("strict", None, 405, "suspended"),
        ("strict", BROWSER, 200, "suspended"),
        ("open", BROWSER, 200, "queued"),
    ],
)
def test_the_setting_links_says_which_get_acts(
    send: "Send",
    tmp_path: Path,
    listen: Callable[[Queue], str],
    make_stage: "Callable[[Queue], Stage]",
    links: str,
    accept: str | None,
    code: int,
    state: str,
) -> None:
    queue = Queue.open(Settings.load(flags={"data_dir": tmp_path / "other", "links": links}, environment={}))
    stage = make_stage(queue)
    execution = stage.suspended()

    answer = send("GET", f"{listen(queue)}/{stage.link('resume', execution)}", accept=accept)

    assert (answer.code, queue.state(execution)) == (code, state)
    queue.close()


@pytest.mark.parametrize("agent", ["", "Googlebot/2.1", "Mozilla/5.0 (Macintosh) Safari/605.1.15"])
def test_a_get_of_an_unknown_client_gets_the_page_or_the_reason_in_json(
    send: "Send", stage: "Stage", base: str, agent: str
) -> None:
    execution = stage.suspended(title="Deploy the model?")
    link = f"{base}/{stage.link('resume', execution)}"

    page = send("GET", link, accept="*/*", headers={"User-Agent": agent})
    refused = send("GET", link, accept="application/json", headers={"User-Agent": agent})

    assert (page.code, refused.code) == (200, 405)
    assert "Deploy the model?" in page.body.decode()
    assert "send a POST" in body(refused)["error"]
    assert "POST" in refused.headers["Allow"]
    assert stage.queue.state(execution) == "suspended"


def test_the_same_decision_again_is_already_and_the_other_a_conflict(send: "Send", stage: "Stage", base: str) -> None:
    execution = stage.suspended()
    resume, cancel = (f"{base}/{stage.link(action, execution)}" for action in ("resume", "cancel"))
    send("POST", resume)

    again, other = send("POST", resume), send("POST", cancel)

    assert (again.code, body(again)["already"]) == (200, True)
    assert (other.code, body(other)["action"]) == (409, "resume")


def test_a_cancel_link_cancels(send: "Send", stage: "Stage", base: str) -> None:
    execution = stage.suspended()

    assert send("POST", f"{base}/{stage.link('cancel', execution)}").code == 200
    assert stage.queue.state(execution) == "cancelled"


def test_an_answer_before_the_end_of_the_step_is_kept(send: "Send", stage: "Stage", base: str) -> None:
    execution = stage.begun()
    early = send("POST", f"{base}/{stage.link('resume', execution)}", json={"from": "early"})

    stage.suspend(execution)

    assert early.code == 202
    assert stage.queue.state(execution) == "queued"
    assert stage.resume_data(execution)["body"] == {"from": "early"}


def test_after_the_deadline_the_clock_has_decided(send: "Send", stage: "Stage", base: str) -> None:
    execution = stage.suspended(seconds=3600)
    stage.make_overdue(execution)

    page = send("GET", f"{base}/{stage.link('approve', execution)}", accept=BROWSER)
    late = send("POST", f"{base}/{stage.link('resume', execution)}")

    assert page.code == 410
    assert (late.code, body(late)["state"]) == (410, "cancelled")


def test_after_a_cancel_from_elsewhere_it_is_over(send: "Send", stage: "Stage", base: str) -> None:
    execution = stage.suspended()
    stage.queue.cancel(execution, by="user:ada")

    late = send("POST", f"{base}/{stage.link('resume', execution)}")

    assert (late.code, body(late)["state"]) == (410, "cancelled")


def test_many_at_once_settle_once(send: "Send", stage: "Stage", base: str) -> None:
    execution = stage.suspended()
    links = [f"{base}/{stage.link(action, execution)}" for action in ("resume", "cancel")]

    with ThreadPoolExecutor(16) as pool:
        codes = Counter(pool.map(lambda n: _post(links[n % 2]), range(40)))

    assert codes[409] == 20
    assert codes[200] == 20


def _post(url: str) -> int:
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="POST")) as response:
            return int(response.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


@pytest.mark.every(4)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["forged", "other action", "other key", "cut", "empty", "bytes", "gone"])
def test_unknown_links_all_look_the_same(send: "Send", stage: "Stage", base: str, method: str, kind: str) -> None:
    execution = stage.suspended()
    link = stage.link("resume", execution)
    path = {
        "forged": link[:-1] + ("A" if link[-1] != "A" else "B"),
        "other action": link.replace("/resume/", "/cancel/"),
        "other key": "pauseflow/resume/WyJhIiwwLCJiIiwwLCJyZXN1bWUiXQ.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "cut": link[:-5],
        "empty": "pauseflow/resume/",
        "bytes": "pauseflow/resume/%ff%00%c3%28",
        "gone": stage.link("resume", "0123456789ab"),
    }[kind]

    answer = send(method, f"{base}/{path}")

    # OPTIONS tells nobody anything, and asks the store nothing.
    assert answer.code == (204 if (method, kind) == ("OPTIONS", "gone") else 404)
    if method not in {"HEAD", "OPTIONS"}:
        assert body(answer) == body(send("POST", f"{base}/pauseflow/resume/x"))
    assert stage.queue.state(execution) == "suspended"


def test_every_answer_keeps_itself_private(send: "Send", stage: "Stage", base: str) -> None:
    execution = stage.suspended()
    answers = [
        send("GET", f"{base}/{stage.link('approve', execution)}", accept=BROWSER),
        send(
            "POST", f"{base}/{stage.link('resume', execution)}", headers={"Content-Type": "application/json"}, body="{"
        ),
        send("POST", f"{base}/{stage.link('resume', execution)}"),
        send("GET", f"{base}/pauseflow/resume/x", accept=BROWSER),
        send("TRACE", f"{base}/{stage.link('resume', execution)}"),
    ]

    assert [answer.code for answer in answers] == [200, 400, 200, 404, 405]
    for answer in answers:
        assert {name: answer.headers[name] for name in PRIVATE} == PRIVATE
        assert "Set-Cookie" not in answer.headers
    for page in (answers[0], answers[3]):
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        assert re.search(r"script-src 'sha256-[^' ]+';", page.headers["Content-Security-Policy"])
        assert "unsafe" not in page.headers["Content-Security-Policy"]
        assert page.headers["X-Frame-Options"] == "DENY"


def test_nothing_of_a_link_is_logged(
    send: "Send", stage: "Stage", base: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    execution = stage.suspended()
    link = stage.link("resume", execution)
    token = link.rpartition("/")[2]

    for path in (link, f"{link}x", link.replace("resume", "approve"), f"{link}/more", f"elsewhere/{link}"):
        for method in ("GET", "POST", "TRACE"):
            send(method, f"{base}/{path}", headers={"Referer": f"{base}/{path}"})

    out, err = capfd.readouterr()
    assert token[:20] not in caplog.text + out + err


def test_the_envelope_has_the_request_and_none_of_its_secrets(send: "Send", stage: "Stage", base: str) -> None:
    execution = stage.suspended()
    url = f"{base}/{stage.link('resume', execution)}"
    secrets = {"Cookie": "a=b", "Authorization": "token x", "X-Forwarded-Uri": url, "X-Forwarded-For": "10.0.0.1"}

    send("POST", f"{url}?a=1&a=2&b=%ff&c", json={"ok": True}, headers={"X-Mine": "yes", **secrets})

    envelope = stage.resume_data(execution)
    headers = envelope.pop("headers")
    assert envelope.pop("received_at").endswith("Z")
    assert envelope == {
        "method": "POST",
        "path": "/pauseflow/resume/***",
        "query": {"a": ["1", "2"], "b": "\ufffd", "c": ""},
        "body": {"ok": True},
        "body_raw": '{"ok": true}',
        "client_ip": "127.0.0.1",
        "url": f"{base}/pauseflow/resume/***?a=1&a=2&b=%ff&c",
        "by": "link",
        "known_by": "link",
    }
    assert headers["x-mine"] == "yes"
    assert headers["x-forwarded-uri"] == f"{base}/pauseflow/resume/***"
    assert not {"cookie", "authorization"} & set(headers)


@pytest.mark.parametrize(
    "name",
    [
        "X-Api-Key",
        "Api_Key",
        "ApiKey",
        "X-Auth-Token",
        "X-Amz-Security-Token",
        "X-Goog-Api-Key",
        "Private-Token",
        "X-Secret",
        "Proxy-Authorization",
        "X-CSRFToken",
        "X-Session-Id",
        "X-Vault-Token",
        "Ocp-Apim-Subscription-Key",
        "Set-Cookie",
        "X-Forwarded-Authorization",
        "X-Serverless-Authorization",
        "X-ApiToken",
        "X-AccessKey",
        "X-SecretKey",
        "X-ClientSecret",
        "CB-Access-Passphrase",
        "X-Bearer",
    ],
)
def test_headers_that_carry_secrets_are_left_out_by_their_kind(
    send: "Send", stage: "Stage", base: str, name: str
) -> None:
    execution = stage.suspended()

    send("POST", f"{base}/{stage.link('resume', execution)}", json={}, headers={name: "s3cr3t"})

    assert "s3cr3t" not in json.dumps(stage.resume_data(execution))


def test_signatures_that_a_notebook_checks_stay(send: "Send", stage: "Stage", base: str) -> None:
    execution = stage.suspended()
    signatures = {
        "x-hub-signature-256": "sha256=1",
        "stripe-signature": "t=1,v1=2",
        "x-slack-signature": "v0=3",
        "idempotency-key": "4",
        "x-idempotency-key": "4",
        "x-keycloak-realm": "main",
        "x-author": "ada",
        "x-github-event": "push",
        "x-request-id": "5",
    }

    send("POST", f"{base}/{stage.link('resume', execution)}", json={}, headers=signatures)

    assert stage.resume_data(execution)["headers"].items() >= signatures.items()


def test_the_token_is_masked_in_the_envelope_however_it_is_written(send: "Send", stage: "Stage", base: str) -> None:
    execution = stage.suspended()
    link = stage.link("resume", execution)
    token = link.rpartition("/")[2]
    quoted = link.replace(".", "%2E")
    headers = {"X-Original-Url": f"/resume/{token}", "Referer": f"{base}/pauseflow//resume/{token.replace('.', '%2e')}"}

    assert send("POST", f"{base}/{quoted}?from={token}", json={}, headers=headers).code == 200

    assert token[:40] not in json.dumps(stage.resume_data(execution))


def test_a_body_that_is_not_the_json_it_says_settles_nothing(send: "Send", stage: "Stage", base: str) -> None:
    execution = stage.suspended()
    url = f"{base}/{stage.link('resume', execution)}"

    broken = send("POST", url, headers={"Content-Type": "application/json"}, body="{oops")
    zipped = send("POST", url, headers={"Content-Encoding": "gzip"}, body=b"\x1f\x8b")

    assert broken.code == zipped.code == 400
    assert "is not JSON" in body(broken)["error"]
    assert stage.queue.state(execution) == "suspended"
    assert send("POST", url, headers={"Content-Encoding": "Identity"}, body="ok").code == 200


def test_a_body_beyond_a_mebibyte_becomes_a_file(send: "Send", stage: "Stage", base: str) -> None:
    execution = stage.suspended()
    data = bytes(range(256)) * (2 * MEBIBYTE // 256)

    assert send("POST", f"{base}/{stage.link('resume', execution)}", body=data).code == 200

    received = stage.resume_data(execution)["body"]
    assert received["size"] == len(data)
    assert Path(received["$file"]).read_bytes() == data


def test_a_large_body_stays_if_the_store_may_have_taken_the_answer(send: "Send", stage: "Stage", base: str) -> None:
    execution = stage.suspended()
    with lose_reply(stage.queue.engine, when=lambda: stage.queue.state(execution) == "queued"):
        response = send("POST", f"{base}/{stage.link('resume', execution)}", body=b"x" * 2 * MEBIBYTE)

    assert response.code == 503
    assert Path(stage.resume_data(execution)["body"]["$file"]).stat().st_size == 2 * MEBIBYTE


def test_a_large_body_that_is_refused_leaves_no_file(
    send: "Send", stage: "Stage", base: str, settings: Settings, wait_until: "WaitUntil"
) -> None:
    url = f"{base}/{stage.link('resume', stage.suspended())}"

    zipped = send("POST", url, headers={"Content-Encoding": "gzip"}, body=b"x" * 2 * MEBIBYTE)

    assert zipped.code == 400
    wait_until(
        lambda: not [path for path in Path(settings.storage).glob("*/bodies/*") if path.is_file()],
        description="the file is removed",
    )


def test_what_arrives_after_a_body_was_discarded_makes_no_file(stage: "Stage", settings: Settings) -> None:
    execution = stage.suspended()
    upload = Upload(10 * MEBIBYTE, lambda: stage.queue.bodies.open(Claim(execution, 0, "ask", 0, "resume")))
    upload.add(b"x" * 2 * MEBIBYTE)
    upload.discard()

    upload.add(b"x" * 2 * MEBIBYTE)

    assert not upload.is_large
    assert not [path for path in Path(settings.storage).glob("*/bodies/*") if path.is_file()]


def test_a_body_for_which_there_is_no_room_gets_507_and_settles_nothing(
    send: "Send", tmp_path: Path, listen: Callable[[Queue], str], make_stage: "Callable[[Queue], Stage]"
) -> None:
    queue = Queue.open(Settings.load(flags={"data_dir": tmp_path / "other", "quota": "3 MiB"}, environment={}))
    stage = make_stage(queue)
    execution = stage.suspended()
    link = f"{listen(queue)}/{stage.link('resume', execution)}"

    refused = send("POST", link, body=b"x" * 2 * MEBIBYTE)

    assert refused.code == 507
    assert "nothing was done" in body(refused)["error"]
    assert not [path for path in (tmp_path / "other").rglob("bodies/*") if path.is_file()]
    assert send("POST", link, json={"small": True}).code == 200
    queue.close()


def test_the_file_of_an_answer_that_did_not_count_is_removed(
    send: "Send", stage: "Stage", base: str, settings: Settings
) -> None:
    execution = stage.suspended()
    for action in ("resume", "resume", "cancel"):
        send("POST", f"{base}/{stage.link(action, execution)}", body=b"x" * (2 * MEBIBYTE))

    assert len(_bodies(settings)) == 1


def test_a_body_exactly_at_the_line_is_inline(send: "Send", stage: "Stage", base: str) -> None:
    execution = stage.suspended()

    text = {"Content-Type": "text/plain"}
    send("POST", f"{base}/{stage.link('resume', execution)}", body=b"x" * MEBIBYTE, headers=text)

    assert stage.resume_data(execution)["body"] == "x" * MEBIBYTE


def test_a_body_beyond_the_limit_is_refused_by_its_length(
    send: "Send", stage: "Stage", base: str, settings: Settings
) -> None:
    execution = stage.suspended()

    answer = send("POST", f"{base}/{stage.link('resume', execution)}", body=b"x" * (4 * MEBIBYTE + 1))

    assert answer.code == 413
    assert stage.queue.state(execution) == "suspended"
    assert not _bodies(settings)


def test_a_body_without_a_length_is_refused_while_it_streams(
    stage: "Stage", base: str, settings: Settings, wait_until: Callable[..., None]
) -> None:
    execution = stage.suspended()

    with _Raw(base, stage.link("resume", execution)) as raw:
        for _ in range(80):
            raw.chunk(b"x" * 65536)
        status = raw.status()

    assert status == 413
    assert stage.queue.state(execution) == "suspended"
    wait_until(lambda: not _bodies(settings), description="the refused body is gone")


def test_a_sender_that_goes_away_leaves_nothing(
    stage: "Stage", base: str, settings: Settings, wait_until: Callable[..., None]
) -> None:
    execution = stage.suspended()

    with _Raw(base, stage.link("resume", execution)) as raw:
        for _ in range(24):
            raw.chunk(b"x" * 65536)
        wait_until(lambda: _bodies(settings), description="the body reaches the storage")

    wait_until(lambda: not _bodies(settings), description="the unfinished body is gone")
    assert stage.queue.state(execution) == "suspended"


def test_a_sender_that_hangs_up_when_it_is_refused_is_no_error(
    queue: Queue, stage: "Stage", caplog: pytest.LogCaptureFixture
) -> None:
    listener = Listener(queue, 0)
    base = listener.start()

    with _Raw(base, "pauseflow/resume/forged") as raw:
        raw.chunk(b"x")
        status = raw.status()
    listener.stop()

    assert status == 404
    assert caplog.messages == []


class _Raw:
    """A request whose body is sent by hand, in chunks."""

    def __init__(self, base: str, path: str) -> None:
        host, _, port = base.removeprefix("http://").partition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=10)
        self._socket.sendall(f"POST /{path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()

    def chunk(self, data: bytes) -> None:
        self._socket.sendall(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def status(self) -> int:
        return int(self._socket.recv(4096).split()[1])


def _bodies(settings: Settings) -> list[Path]:
    return [path for path in Path(settings.storage).glob("*/bodies/*") if path.is_file()]


def test_too_many_requests_of_one_address_are_told_to_wait(
    send: "Send", queue: Queue, listen: Callable[[Queue], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # However slow this machine is, the bucket does not fill up meanwhile.
    monkeypatch.setattr("pauseflow_nb.server.public.callbacks.LinkLimits", partial(LinkLimits, RateLimit(0.01, 5)))
    base = listen(queue)

    answers = [send("HEAD", f"{base}/pauseflow/resume/x") for _ in range(6)]

    assert [answer.code for answer in answers] == [404] * 5 + [429]
    assert 90 <= int(answers[-1].headers["Retry-After"]) <= 100


def test_too_many_early_callbacks_are_told_to_wait(send: "Send", stage: "Stage", base: str) -> None:
    execution = stage.begun()
    url = f"{base}/{stage.link('resume', execution)}"

    answers = [send("POST", url) for _ in range(101)]

    assert Counter(answer.code for answer in answers) == {202: 100, 429: 1}
    assert int(answers[-1].headers["Retry-After"]) > 0


def test_a_page_that_cannot_be_shown_says_what_its_reader_can_do(send: "Send", stage: "Stage", base: str) -> None:
    execution = stage.suspended(data={"a": 1})
    with stage.queue.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE suspensions SET data = '{{oops' WHERE execution = '{execution}'")

    damaged = send("GET", f"{base}/{stage.link('approve', execution)}", accept=BROWSER)

    assert damaged.code == 503
    assert "tell the person who sent you the link." in damaged.body.decode()


def test_a_store_that_is_gone_is_said_and_tried_again(
    send: "Send", stage: "Stage", base: str, settings: Settings
) -> None:
    execution = stage.suspended()
    url = f"{base}/{stage.link('resume', execution)}"
    send("HEAD", url)
    database = settings.data_dir / "pauseflow.db"
    stage.queue.engine.dispose()
    moved = _moved_away(database)
    database.mkdir()

    gone = send("POST", url)
    health = send("GET", f"{base}/pauseflow/api/health")

    assert (gone.code, health.code) == (503, 503)
    assert int(gone.headers["Retry-After"]) > 0
    assert str(database) not in health.body.decode()
    database.rmdir()
    for path in moved:
        path.rename(path.with_name(path.name.removeprefix("away-")))
    assert send("POST", url).code == 200


def _moved_away(database: Path) -> list[Path]:
    found = list(database.parent.glob("pauseflow.db*"))
    return [path.rename(path.with_name(f"away-{path.name}")) for path in found]


def test_the_event_loop_is_free_while_the_store_is_busy(send: "Send", stage: "Stage", base: str) -> None:
    execution = stage.suspended()
    link = f"{base}/{stage.link('resume', execution)}"
    with _locked(stage.queue):
        waiting = threading.Thread(target=_post, args=[link])
        waiting.start()

        answer = send("OPTIONS", link, request_timeout=2)

        assert answer.code == 204
        assert waiting.is_alive()
    waiting.join(20)

    assert stage.queue.state(execution) == "queued"


class _locked:  # noqa: N801  (a context manager)
    """Hold the database's write lock."""

    def __init__(self, queue: Queue) -> None:
        self._engine = queue.engine

    def __enter__(self) -> None:
        self._connection = self._engine.raw_connection()
        self._connection.cursor().execute("BEGIN IMMEDIATE")

    def __exit__(self, *_error: object) -> None:
        self._connection.rollback()
        self._connection.close()
