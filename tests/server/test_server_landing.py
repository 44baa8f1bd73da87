"""A page of one's own behind the links, and where a browser goes afterwards."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlencode

import pytest
from server.conftest import BROWSER

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.errors import InvalidSetting
from pauseflow_nb.server.public.page import PAGE_FIELD
from pauseflow_nb.settings import Settings

if TYPE_CHECKING:
    from server.conftest import Send, Stage
    from tornado.httpclient import HTTPResponse

#: Settings → an address with an open question: GET and POST it.
Ask: TypeAlias = "Callable[..., Callable[..., HTTPResponse]]"


@pytest.fixture
def ask(
    settings: Settings, listen: Callable[[Queue], str], make_stage: "Callable[[Queue], Stage]", send: "Send"
) -> "Iterator[Ask]":
    queues: list[Queue] = []

    def open_(**changes: object) -> "Callable[..., HTTPResponse]":
        queues.append(Queue.open(settings.model_copy(update=changes)))
        stage = make_stage(queues[-1])
        execution = stage.suspended(title="Ship it?")
        address = f"{listen(queues[-1])}/{stage.link('approve', execution)}"

        def call(**fields: str) -> "HTTPResponse":
            if not fields:
                return send("GET", address, accept=BROWSER)
            body = urlencode({PAGE_FIELD: "1", **fields})
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            return send("POST", address, body=body, headers=headers, accept=BROWSER)

        return call

    yield open_
    for queue in queues:
        queue.close()


def test_a_folder_of_templates_changes_a_part_of_the_page(ask: "Ask", tmp_path: Path) -> None:
    (tmp_path / "suspension.html").write_text(
        '{% extends "pauseflow/suspension.html" %}{% block asked %}<p>Extension 4711.</p>{{ super() }}{% endblock %}'
    )
    (tmp_path / "page.css").write_text("body { color: rebeccapurple; }")

    answer = ask(templates=tmp_path)()
    page = answer.body.decode()

    assert "Extension 4711." in page
    assert "Ship it?" in page
    assert 'value="resume"' in page
    assert "rebeccapurple" in page
    assert answer.headers["Content-Security-Policy"] != ask()().headers["Content-Security-Policy"]


def test_what_a_template_shows_is_escaped(ask: "Ask", tmp_path: Path) -> None:
    (tmp_path / "notice.html").write_text("<b>{{ heading }}</b> {{ '<script>' }}")

    answer = ask(templates=tmp_path, max_body=1)(decision="resume")

    assert (answer.code, answer.body.decode()) == (413, "<b>This is too large</b> &lt;script&gt;")


@pytest.mark.parametrize("broken", ["{% block", "{{ page.nosuch.thing }}", '{% extends "nosuch.html" %}', "\udcff"])
def test_a_broken_template_is_named_in_the_log_and_ours_is_shown(
    ask: "Ask", tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    (tmp_path / "suspension.html").write_text(broken, errors="surrogateescape")

    page = ask(templates=tmp_path)().body.decode()

    assert "Ship it?" in page
    assert f"the template suspension.html in {tmp_path} cannot be used" in caplog.text


def test_a_browser_is_sent_on_once_its_answer_was_taken(ask: "Ask") -> None:
    call = ask(redirect="https://example.org/thanks?run={execution}&did={action}&step={step}&now={state}")

    assert "form-action 'self' https://example.org;" in call().headers["Content-Security-Policy"]
    answer = call(decision="resume", data="fine")

    assert answer.code == 303
    assert re.fullmatch(
        r"https://example\.org/thanks\?run=[0-9a-f]+&did=resume&step=approve&now=queued", answer.headers["Location"]
    )
    assert "Approved by" in call().body.decode()


def test_a_refused_or_repeated_answer_is_told_and_not_sent_on(ask: "Ask") -> None:
    call = ask(redirect="/thanks")

    assert call(decision="resume", data="{broken").code == 422
    assert call(decision="cancel").code == 303
    assert call(decision="cancel").code == 200
    assert call(decision="resume").code == 409


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("redirect", "javascript:alert(1)"),
        ("redirect", "//example.org"),
        ("redirect", "https://example.org/; script-src *"),
        ("redirect", "thanks"),
        ("templates", "/no/such/folder"),
    ],
)
def test_an_address_or_a_folder_that_is_none_is_refused(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(InvalidSetting, match=name):
        Settings.load(flags={"data_dir": tmp_path, name: value}, environment={})
