"""Answers that were made to cost the server much: each is refused with a sentence, and it goes on waiting."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from json import dumps, loads
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.forms.check_process import Checker

if TYPE_CHECKING:
    from .conftest import Send, Stage

WaitUntil = Callable[..., None]

FORM = "application/x-www-form-urlencoded"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
#: Python's engine tries every way to cut the letters into groups: for these, longer than anybody lives.
ENDLESS = {"type": "object", "properties": {"a": {"pattern": "^(?=a)([a-z]+)+$"}}}
HOSTILE = {"a": "a" * 100 + "!"}


@pytest.fixture
def checker(queue: Queue) -> Iterator[Checker]:
    """A checker whose checks go on until somebody ends them."""
    queue.checker = Checker(cpu_seconds=600, wall_seconds=600)
    yield queue.checker
    queue.checker.close()


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ('{"x": 1e999}', "application/json", 400),
        ("[1e400]", "application/json", 400),
        ('{"x": NaN}', "application/json", 400),
        ("[" * 700 + "]" * 700, "application/json", 400),
        ("[" * 101 + "]" * 101, "application/json", 400),
        ("9" * 5000, "application/json", 400),
        ("a" * 300_000, "text/plain; charset=punycode", 415),
        ("x", "multipart/form-data; boundary=", 400),
        ("&".join(["a"] * 20_000), FORM, 400),
    ],
)
@pytest.mark.parametrize("is_early", [False, True])
def test_a_body_that_cannot_be_read_settles_nothing(
    stage: "Stage", send: "Send", base: str, body: str, content_type: str, status: int, is_early: bool
) -> None:
    execution = stage.begun() if is_early else stage.suspended()

    answer = send(
        "POST", f"{base}/{stage.link('resume', execution)}", body=body, headers={"Content-Type": content_type}
    )

    assert answer.code == status
    assert "nothing was done" in loads(answer.body)["error"]
    assert stage.queue.view(execution)["state"] == ("running" if is_early else "suspended")
    assert len(stage.queue.list()) == 1


@pytest.mark.parametrize("accept", ["application/json", BROWSER])
def test_a_row_that_no_form_has_is_422(stage: "Stage", send: "Send", base: str, accept: str) -> None:
    row = {"type": "object", "properties": {"a": {"type": "string"}}}
    execution = stage.suspended(schema={"type": "object", "properties": {"rows": {"type": "array", "items": row}}})
    fields = {"pauseflow_page": "1", "decision": "resume", f"answer/rows/{'9' * 5000}/a": "x"}

    answer = send(
        "POST",
        f"{base}/{stage.link('approve', execution)}",
        body=urlencode(fields),
        headers={"Content-Type": FORM},
        accept=accept,
    )

    assert answer.code == 422
    assert b"ust have at most 200 entries" in answer.body
    assert stage.queue.state(execution) == "suspended"


def test_a_page_shows_why_an_answer_was_not_checked(stage: "Stage", queue: Queue, send: "Send", base: str) -> None:
    queue.checker = Checker(cpu_seconds=0.5, wall_seconds=60)
    execution = stage.suspended(schema=ENDLESS)
    fields = {"pauseflow_page": "1", "decision": "resume", "answer/a": dumps(HOSTILE["a"])}

    answer = send(
        "POST",
        f"{base}/{stage.link('approve', execution)}",
        body=urlencode(fields),
        headers={"Content-Type": FORM},
        accept=BROWSER,
    )
    queue.checker.close()

    assert answer.code == 422
    assert b"he answer takes too long, or needs too much memory, to be checked" in answer.body


def test_while_answers_are_checked_the_server_does_all_else(
    stage: "Stage", checker: Checker, send: "Send", base: str, wait_until: WaitUntil
) -> None:
    """More hostile answers to one execution than there are threads, and they take as long as the test."""
    slow, other, third = (stage.suspended(schema=ENDLESS) for _ in range(3))

    def attack(_number: int) -> int:
        from tornado.httpclient import HTTPClient, HTTPRequest

        client = HTTPClient()
        request = HTTPRequest(
            f"{base}/{stage.link('resume', slow)}",
            method="POST",
            body=dumps(HOSTILE),
            headers={"Content-Type": "application/json"},
            request_timeout=100,
        )
        try:
            return client.fetch(request, raise_error=False).code
        finally:
            client.close()

    with ThreadPoolExecutor(12) as attackers:
        attacks = [attackers.submit(attack, number) for number in range(12)]
        wait_until(lambda: checker._lanes[-1].processes[0]._process, description="a check")

        assert send("GET", f"{base}/pauseflow/api/health").code == 200
        assert send("POST", f"{base}/{stage.link('resume', other)}", json={"a": "abc"}).code == 200
        assert send("POST", f"{base}/{stage.link('cancel', third)}").code == 200
        assert send("POST", f"{base}/{stage.link('cancel', slow)}").code == 200
        assert stage.queue.state(stage.begun()) == "running"
        assert not any(each.done() for each in attacks)
        checker.close()
        codes = {each.result() for each in attacks}

    assert codes <= {409, 503}


def test_too_many_answers_to_one_execution_at_once_are_told_to_come_again(
    stage: "Stage", checker: Checker, send: "Send", base: str, wait_until: WaitUntil
) -> None:
    execution = stage.suspended(schema=ENDLESS)
    url = f"{base}/{stage.link('resume', execution)}"

    def attack(_number: int) -> Any:
        from tornado.httpclient import HTTPClient, HTTPRequest

        client = HTTPClient()
        headers = {"Content-Type": "application/json"}
        request = HTTPRequest(url, method="POST", body=dumps(HOSTILE), headers=headers, request_timeout=100)
        try:
            return client.fetch(request, raise_error=False)
        finally:
            client.close()

    with ThreadPoolExecutor(24) as attackers:
        attacks = [attackers.submit(attack, number) for number in range(24)]
        wait_until(lambda: any(each.done() for each in attacks), description="an answer that is refused at once")
        refused = next(each.result() for each in attacks if each.done())
        checker.close()

    assert refused.code == 429
    assert refused.headers["Retry-After"] == "5"
    assert "too many answers" in loads(refused.body)["error"]
