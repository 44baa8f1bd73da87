"""Requests to the URL of an HTTP trigger start executions."""

import base64
import hashlib
import hmac
import json
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import nbformat
import pytest
import sqlalchemy as sa
from lost_replies import lose_reply
from tornado.httpclient import HTTPResponse

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.engine.triggers import managing
from pauseflow_nb.engine.triggers.managing import NewTrigger
from pauseflow_nb.server.listener import Listener
from pauseflow_nb.server.public import http_start as module
from pauseflow_nb.server.public.rate_limit import LinkLimits, OpenRequests
from pauseflow_nb.store import tables, triggers
from pauseflow_nb.store.database import reading

Send: TypeAlias = Callable[..., HTTPResponse]

BROWSER = {"Accept": "text/html,*/*;q=0.8", "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}


class Hook:
    """An HTTP trigger with a server before it."""

    def __init__(self, queue: Queue, folder: Path, base: str, send: Send) -> None:
        self.queue, self.folder, self._base, self._send = queue, folder, base, send

    def add(self, **options: Any) -> str:
        path = self.folder / "hook.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("%%step a\n1")]), path)
        return str(managing.add(self.queue, NewTrigger(str(path), **options), by="user:ann")["id"])

    def url(self, trigger: str) -> str:
        url = str(managing.view(self.queue, trigger)["url"])
        return self._base + "/pauseflow/" + url.partition("/pauseflow/")[2]

    def send(self, trigger: str, method: str = "POST", **options: Any) -> HTTPResponse:
        return self._send(method, self.url(trigger), **options)

    def event(self, response: HTTPResponse) -> Any:
        """What the notebook of the execution that a request started would read."""
        with reading(self.queue.engine) as connection:
            row = triggers.find_start(connection, json.loads(response.body)["id"])
        assert row is not None
        return row.event


@pytest.fixture
def hook(queue: Queue, tmp_path: Path, base: str, send: Send) -> Hook:
    return Hook(queue, tmp_path, base, send)


def test_a_request_starts_an_execution_and_gets_its_id_at_once(hook: Hook) -> None:
    trigger = hook.add(parameters={"alpha": 0.6})
    response = hook.send(trigger, json={"n": 1})
    answer = json.loads(response.body)

    assert (response.code, answer["trigger"]) == (202, trigger)
    view = hook.queue.view(answer["id"])
    assert (view["state"], view["created_by"], view["parameters"]) == ("queued", "user:ann", {"alpha": 0.6})
    assert view["trigger"] == {"id": trigger, "kind": "http"}


def test_the_event_has_the_request_in_the_shape_of_an_answer(hook: Hook) -> None:
    trigger = hook.add()
    path = "?source=shop&n=1&n=2"
    response = hook._send("PUT", hook.url(trigger) + path, json={"ä": [1, None]}, headers={"X-Event": "order"})
    event = hook.event(response)

    assert (event["method"], event["query"], event["body"]) == (
        "PUT",
        {"source": "shop", "n": ["1", "2"]},
        {"ä": [1, None]},
    )
    assert (event["headers"]["x-event"], event["client_ip"]) == ("order", "127.0.0.1")
    assert json.loads(event["body_raw"]) == event["body"]


def test_neither_the_token_nor_secrets_of_the_sender_are_in_the_event(hook: Hook) -> None:
    trigger = hook.add()
    token = hook.url(trigger).rpartition("/")[2]
    headers = {"Authorization": "Bearer secret", "Cookie": "a=secret", "X-Copy": hook.url(trigger)}
    event = hook.event(hook.send(trigger, json={}, headers=headers))

    text = json.dumps(event)
    assert token not in text
    assert "secret" not in text


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_any_method_starts_one(hook: Hook, method: str) -> None:
    assert hook.send(hook.add(), method).code == 202
    assert len(hook.queue.list()) == 1


def test_a_get_of_a_program_starts_one(hook: Hook) -> None:
    assert hook.send(hook.add(), "GET", headers={"User-Agent": "curl/8.5.0"}).code == 202


@pytest.mark.parametrize(
    "headers",
    [
        BROWSER,
        {**BROWSER, "Sec-Purpose": "prefetch"},
        {"User-Agent": "curl/8.5.0", "Purpose": "prefetch"},
        {"User-Agent": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"},
    ],
)
def test_looking_at_the_url_starts_nothing(hook: Hook, headers: dict[str, str]) -> None:
    response = hook.send(hook.add(), "GET", headers=headers)

    assert (response.code, response.headers["Allow"]) == (405, "POST, PUT, PATCH, DELETE, HEAD, OPTIONS")
    assert hook.queue.list() == []


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("OPTIONS", 204)])
def test_asking_whether_it_is_there_starts_nothing(hook: Hook, method: str, status: int) -> None:
    assert hook.send(hook.add(), method).code == status
    assert hook.queue.list() == []


def test_the_event_can_be_the_body_alone(hook: Hook) -> None:
    trigger = hook.add(event="body")

    assert hook.event(hook.send(trigger, json={"name": "Bulbasaur"})) == {"name": "Bulbasaur"}


class TestWebhooks:
    """Three kinds of senders."""

    def test_a_notebook_can_check_a_signature_over_the_raw_body(self, hook: Hook) -> None:
        """As GitHub signs: HMAC with SHA-256 over the bytes, whatever white space they have."""
        body = b'{ "action":"opened",\n  "title": "sch\xc3\xb6n" }'
        signature = "sha256=" + hmac.new(b"key", body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": signature, "X-GitHub-Event": "issues"}
        event = hook.event(hook.send(hook.add(), body=body, headers=headers))

        assert event["body"]["action"] == "opened"
        expected = "sha256=" + hmac.new(b"key", event["body_raw"].encode(), hashlib.sha256).hexdigest()
        assert hmac.compare_digest(event["headers"]["x-hub-signature-256"], expected)
        assert "body_bytes" not in event

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (b"\xef\xbb\xbf{}", "application/json"),
            ("schön".encode("latin-1"), "text/plain; charset=latin-1"),
            (b"\x00\xff\xfe", "application/octet-stream"),
        ],
    )
    def test_the_bytes_are_there_where_the_text_is_not_all_of_them(self, hook: Hook, body: bytes, kind: str) -> None:
        event = hook.event(hook.send(hook.add(), body=body, headers={"Content-Type": kind}))

        assert base64.b64decode(event["body_bytes"]["$base64"]) == body

    def test_a_form_post_is_a_mapping(self, hook: Hook) -> None:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        event = hook.event(hook.send(hook.add(), body="name=Ann+B&tag=a&tag=b", headers=headers))

        assert event["body"] == {"name": "Ann B", "tag": ["a", "b"]}

    def test_a_large_file_is_stored_and_its_path_given(self, hook: Hook) -> None:
        body = b"x" * 3_000_000
        response = hook.send(hook.add(), body=body, headers={"Content-Type": "application/zip"})
        event = hook.event(response)

        assert response.code == 202
        assert (event["body"]["size"], event["body_raw"]) == (3_000_000, None)
        assert Path(event["body"]["$file"]).read_bytes() == body
        assert json.loads(response.body)["id"] in event["body"]["$file"]


def test_a_large_file_stays_if_the_store_may_have_started_an_execution(hook: Hook) -> None:
    with lose_reply(hook.queue.engine, when=lambda: bool(hook.queue.list())):
        response = hook.send(hook.add(), body=b"x" * 3_000_000, headers={"Content-Type": "application/zip"})

    assert response.code == 503
    (execution,) = hook.queue.list()
    with reading(hook.queue.engine) as connection:
        started = triggers.find_start(connection, execution["id"])
    assert started is not None
    assert Path(started.event["body"]["$file"]).stat().st_size == 3_000_000
    assert b"%%step a" in hook.queue.document(execution["id"])


def test_a_body_beyond_the_limit_is_refused_and_leaves_nothing(hook: Hook) -> None:
    trigger = hook.add()
    response = hook.send(trigger, body=b"x" * (4 * 1024 * 1024 + 1), headers={"Content-Type": "application/zip"})

    assert response.code == 413
    assert hook.queue.list() == []
    assert list(hook.queue.files.folders()) == []


def test_a_sender_who_hangs_up_leaves_nothing(hook: Hook, wait_until: Callable[..., None]) -> None:
    url = urlsplit(hook.url(hook.add()))
    with socket.create_connection((url.hostname, url.port)) as connection:
        head = f"POST {url.path} HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 2_000_000)
        wait_until(lambda: list(hook.queue.files.folders()), description="the body is stored as it comes")
    wait_until(lambda: not list(hook.queue.files.folders()), description="what came is removed")

    assert hook.queue.list() == []


def test_json_that_is_none_starts_nothing(hook: Hook) -> None:
    response = hook.send(hook.add(), body="{", headers={"Content-Type": "application/json"})

    assert response.code == 400
    assert hook.queue.list() == []


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ("[" * 100_000, "application/json", 400),
        ("[" + "1," * 300_000 + "1]", "application/json", 400),
        ('{"a": NaN}', "application/json", 400),
        ('{"a": ' + "9" * 5000 + "}", "application/json", 400),
        ("&".join(f"a{n}" for n in range(20_000)), "application/x-www-form-urlencoded", 400),
        ("--x", "multipart/form-data", 400),
        ("{}", "application/json; charset=utf-7", 415),
    ],
    ids=["depth", "values", "nan", "digits", "fields", "boundary", "charset"],
)
def test_a_hostile_body_starts_nothing_and_leaves_nothing(hook: Hook, body: str, kind: str, status: int) -> None:
    response = hook.send(hook.add(), body=body, headers={"Content-Type": kind})

    assert (response.code, "nothing was done" in json.loads(response.body)["error"]) == (status, True)
    assert hook.queue.list() == []
    assert list(hook.queue.files.folders()) == []


def test_a_trigger_whose_executions_no_worker_takes_starts_no_more(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(managing, "_MOST_QUEUED", 3)
    trigger, other = hook.add(), hook.add()
    answers = [hook.send(trigger, json={}, headers={"Idempotency-Key": str(n)}) for n in range(4)]

    assert [each.code for each in answers] == [202, 202, 202, 429]
    assert "Retry-After" in answers[3].headers
    assert hook.send(trigger, json={}, headers={"Idempotency-Key": "0"}).code == 202
    assert hook.send(other, json={}).code == 202
    hook.queue.cancel(json.loads(answers[0].body)["id"], by="user:ann")
    assert hook.send(trigger, json={}).code == 202


class TestIdempotencyKey:
    def test_the_same_key_starts_one(self, hook: Hook) -> None:
        trigger = hook.add()
        first, second = (hook.send(trigger, json={"n": n}, headers={"Idempotency-Key": "order-7"}) for n in (1, 2))

        assert json.loads(second.body) == {**json.loads(first.body), "already": True}
        assert len(hook.queue.list()) == 1
        assert hook.event(first)["body"] == {"n": 1}

    def test_other_keys_and_other_triggers_start_others(self, hook: Hook) -> None:
        one, two = hook.add(), hook.add()
        for trigger, key in ((one, "a"), (one, "b"), (two, "a")):
            hook.send(trigger, json={}, headers={"Idempotency-Key": key})

        assert len(hook.queue.list()) == 3

    def test_many_at_once_start_one(self, hook: Hook) -> None:
        url = hook.url(hook.add())
        found: list[int] = []

        def post() -> None:
            with urlopen(Request(url, b"{}", {"Idempotency-Key": "a", "Content-Type": "application/json"})) as answer:
                found.append(answer.status)

        threads = [threading.Thread(target=post) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert found == [202] * 8
        (execution,) = hook.queue.list()
        assert list(hook.queue.files.folders()) == [execution["id"]]

    def test_a_large_body_that_starts_nothing_is_not_kept(self, hook: Hook) -> None:
        trigger = hook.add()
        for _ in range(2):
            hook.send(trigger, body=b"x" * 2_000_000, headers={"Idempotency-Key": "a"})

        (execution,) = hook.queue.list()
        assert list(hook.queue.files.folders()) == [execution["id"]]

    def test_an_empty_one_is_none(self, hook: Hook) -> None:
        trigger = hook.add()
        for _ in range(2):
            assert hook.send(trigger, json={}, headers={"Idempotency-Key": ""}).code == 202

        assert len(hook.queue.list()) == 2

    def test_one_that_is_too_long_is_refused(self, hook: Hook) -> None:
        assert hook.send(hook.add(), json={}, headers={"Idempotency-Key": "a" * 256}).code == 400


class TestUrls:
    def test_a_forged_one_is_unknown(self, hook: Hook) -> None:
        trigger = hook.add()
        url = hook.url(trigger)
        for forged in (
            url[:-3] + "abc",
            url + "x",
            url.rpartition("/")[0] + "/",
            url.rpartition("/")[0] + "/" + trigger,
        ):
            assert hook._send("POST", forged, json={}).code == 404

    def test_a_token_of_another_kind_of_link_is_unknown(self, hook: Hook, stage: Any) -> None:
        token = stage.link("resume", stage.suspended()).rpartition("/")[2]
        url = hook.url(hook.add())

        assert hook._send("POST", f"{url.rpartition('/')[0]}/{token}", json={}).code == 404
        token = url.rpartition("/")[2]
        assert hook._send("POST", f"{url.partition('/start/')[0]}/resume/{token}", json={}).code == 404

    def test_one_that_was_replaced_is_refused(self, hook: Hook) -> None:
        trigger = hook.add()
        old = hook.url(trigger)
        managing.rotate(hook.queue, trigger)

        assert hook._send("POST", old, json={}).code == 410
        assert hook.send(trigger, json={}).code == 202

    def test_one_of_a_removed_trigger_is_unknown(self, hook: Hook) -> None:
        trigger = hook.add()
        url = hook.url(trigger)
        managing.remove(hook.queue, trigger)

        assert hook._send("POST", url, json={}).code == 404

    def test_one_of_a_paused_trigger_says_to_come_again(self, hook: Hook) -> None:
        trigger = hook.add()
        managing.pause(hook.queue, trigger)

        response = hook.send(trigger, json={})
        assert (response.code, "Retry-After" in response.headers) == (503, True)
        managing.resume(hook.queue, trigger)
        assert hook.send(trigger, json={}).code == 202

    def test_one_whose_key_was_withdrawn_is_refused(self, hook: Hook) -> None:
        trigger = hook.add()
        old = hook.url(trigger)
        hook.queue.rotate_keys(by="user:ann", withdraw=True)

        assert hook._send("POST", old, json={}).code == 410
        assert hook.send(trigger, json={}).code == 202

    def test_a_key_that_only_signs_no_more_keeps_it_valid(self, hook: Hook) -> None:
        url = hook.url(hook.add())
        hook.queue.rotate_keys(by="user:ann")

        assert hook._send("POST", url, json={}).code == 202


def test_a_notebook_that_has_become_a_pipe_keeps_nobody_waiting(hook: Hook) -> None:
    trigger = hook.add()
    (hook.folder / "hook.ipynb").unlink()
    os.mkfifo(hook.folder / "hook.ipynb")

    assert hook.send(trigger, json={}).code == 503
    assert "it is a pipe" in str(managing.view(hook.queue, trigger)["last"]["text"])


def test_a_notebook_that_is_gone_is_an_error_whose_reason_only_the_list_shows(hook: Hook) -> None:
    trigger = hook.add()
    (hook.folder / "hook.ipynb").unlink()

    response = hook.send(trigger, body=b"x" * 2_000_000)
    assert (response.code, "Retry-After" in response.headers) == (503, True)
    assert str(hook.folder) not in response.body.decode()
    assert list(hook.queue.files.folders()) == []
    last = managing.view(hook.queue, trigger)["last"]
    assert (last["what"], "hook.ipynb" in last["text"]) == ("failed", True)


class TestResponse:
    def respond(self, hook: Hook, response: dict[str, Any], *, state: str | None = None) -> threading.Thread:
        """Play the execution that is started next: it responds."""

        def play() -> None:
            while not (found := hook.queue.list()):
                pass
            with hook.queue.engine.begin() as connection:
                if response:
                    triggers.set_response(connection, found[0]["id"], response)
                if state is not None:
                    where = tables.executions.c.id == found[0]["id"]
                    connection.execute(tables.executions.update().where(where).values(state=state))

        thread = threading.Thread(target=play)
        thread.start()
        return thread

    def got(self, hook: Hook, response: dict[str, Any], *, state: str | None = None) -> HTTPResponse:
        trigger = hook.add(waits=True)
        thread = self.respond(hook, response, state=state)
        got = hook.send(trigger, json={})
        thread.join()
        return got

    def test_it_is_what_the_notebook_says(self, hook: Hook) -> None:
        got = self.got(hook, {"status": 201, "headers": {"X-Order": "7"}, "body": {"ok": True}})

        assert (got.code, json.loads(got.body), got.headers["X-Order"]) == (201, {"ok": True}, "7")
        assert got.headers["Content-Type"].startswith("application/json")

    @pytest.mark.parametrize(
        ("body", "kind", "sent"),
        [
            ("schön", "text/plain", "schön".encode()),
            ({"$base64": "AP8=", "size": 2}, "application/octet-stream", b"\x00\xff"),
            (None, "application/json", b""),
        ],
    )
    def test_text_and_bytes_stay_what_they_are(self, hook: Hook, body: Any, kind: str, sent: bytes) -> None:
        is_bytes = {"is_bytes": True} if isinstance(body, dict) else {}
        got = self.got(hook, {"status": 200, "headers": {}, "body": body, **is_bytes})

        assert (got.body, got.headers["Content-Type"].partition(";")[0]) == (sent, kind)

    def test_json_that_looks_like_bytes_is_sent_as_json(self, hook: Hook) -> None:
        body = {"$base64": "no base64", "size": 1}
        got = self.got(hook, {"status": 200, "headers": {}, "body": body})

        assert (got.code, json.loads(got.body)) == (200, body)

    def test_a_page_has_no_rights_on_this_server(self, hook: Hook) -> None:
        headers = {"Content-Type": "text/html"}
        got = self.got(hook, {"status": 200, "headers": headers, "body": "<script>alert(1)</script>"})

        assert (got.headers["Content-Type"], got.headers["Content-Security-Policy"]) == ("text/html", "sandbox")

    @pytest.mark.parametrize(("state", "status"), [("failed", 500), ("completed", 200), ("suspended", 202)])
    def test_without_one_it_says_how_the_execution_is(self, hook: Hook, state: str, status: int) -> None:
        got = self.got(hook, {}, state=state)

        assert (got.code, json.loads(got.body)["state"]) == (status, state)

    def test_it_is_not_waited_for_longer_than_the_limit(self, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "WAIT_SECONDS", 0.3)
        got = hook.send(hook.add(waits=True), json={})

        assert (got.code, json.loads(got.body)["state"]) == (202, "queued")

    def test_only_so_many_requests_wait_at_once_and_others_start_nothing(
        self, hook: Hook, wait_until: Callable[..., None]
    ) -> None:
        listener = Listener(hook.queue, 0, limits=LinkLimits(waiting=OpenRequests(1)))
        url = hook.url(hook.add(waits=True)).replace(hook._base, listener.start())

        def post() -> None:
            with suppress(HTTPError):
                urlopen(Request(url, b"{}", {"Content-Type": "application/json"}), timeout=60).close()

        first = threading.Thread(target=post)
        first.start()
        wait_until(hook.queue.list, description="the first request has started one")
        refused = hook._send("POST", url, body=b"x" * 2_000_000)
        (execution,) = hook.queue.list()
        folders = list(hook.queue.files.folders())
        hook.queue.cancel(execution["id"], by="user:ann")
        first.join()
        listener.stop()

        assert (refused.code, "Retry-After" in refused.headers) == (429, True)
        assert folders == [execution["id"]]

    def test_the_same_key_gets_the_same_response(self, hook: Hook) -> None:
        trigger = hook.add(waits=True)
        thread = self.respond(hook, {"status": 200, "headers": {}, "body": "once"})
        headers = {"Idempotency-Key": "a"}
        bodies = [hook.send(trigger, json={}, headers=headers).body for _ in range(2)]
        thread.join()

        assert bodies == [b"once", b"once"]
        assert len(hook.queue.list()) == 1


def test_gc_keeps_a_large_body_that_an_execution_was_started_with(hook: Hook) -> None:
    from datetime import timedelta

    from pauseflow_nb.engine.gc import clean

    event = hook.event(hook.send(hook.add(), body=b"x" * 2_000_000))
    clean(hook.queue, older_than=timedelta(days=1), grace=timedelta(0))

    assert Path(event["body"]["$file"]).exists()
    with reading(hook.queue.engine) as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.starts)).scalar_one() == 1
