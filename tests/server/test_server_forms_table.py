"""Every row of the table of forms through the page without JavaScript, through the REST API's form, and as JSON."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from forms.table import Row, rows
from server.conftest import BROWSER, Stage
from server.page_form import PageForm

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.forms.controls import Control
from pauseflow_nb.server.listener import Listener
from pauseflow_nb.settings import Settings

if TYPE_CHECKING:
    from server.conftest import Send

ROWS = [pytest.param(row, id=row.name) for row in rows()]
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, str]]:
    """One store and one server for all rows."""
    folder = tmp_path_factory.mktemp("store")
    queue = Queue.open(Settings.load(flags={"data_dir": str(folder)}, environment={}))
    listener = Listener(queue, 0)
    yield Stage(queue), listener.start()
    listener.stop()
    queue.close()


def id_of(name: str) -> str:
    return Control(name, "text", "").id


# To collect and to report a test takes as long as a row: each row is one test, which answers in all ways.
@pytest.mark.every(8)
@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_answered_on_the_page_as_a_form_of_the_api_and_as_json(
    row: Row, served: tuple[Stage, str], send: "Send"
) -> None:
    stage, base = served
    execution = stage.suspended(schema=row.schema)
    answer_on_the_page(row, execution, stage, base, send)
    if row.is_taken:
        execution = stage.suspended(schema=row.schema)
    answer_as_a_form_of_the_rest_api(row, execution, stage)
    if row.is_taken:
        answer_as_json(row, stage, base, send)


def answer_on_the_page(row: Row, execution: str, stage: Stage, base: str, send: "Send") -> None:
    url = f"{base}/{stage.link('approve', execution)}"
    page = PageForm(send("GET", url, accept=BROWSER).body.decode())
    assert page.buttons == [("resume", "Submit", False), ("cancel", "Cancel the run", False)]

    body = urlencode({**page.entries, **row.typed, "decision": ["resume"]}, doseq=True)
    answer = send("POST", url, body=body, headers=FORM, accept=BROWSER)

    if row.is_taken:
        assert answer.code == 200
        assert json.dumps(stage.resume_data(execution)["body"]) == json.dumps(row.value)
    else:
        assert answer.code == 422
        shown = PageForm(answer.body.decode())
        assert shown.invalid == {id_of(name) for name in row.errors}
        typed = {name: [text.replace("\r\n", "\n") for text in texts if text] for name, texts in row.typed.items()}
        again = {name: [text.replace("\r\n", "\n") for text in shown.entries.get(name, []) if text] for name in typed}
        # A choice that is not offered cannot stand there.
        assert all(again[name] in (texts, []) for name, texts in typed.items())


def answer_as_a_form_of_the_rest_api(row: Row, execution: str, stage: Stage) -> None:
    drawn = stage.queue.view(execution)["suspended"][0]["form"]

    answer = stage.queue.resume(execution, form={**texts_of(drawn), **row.typed}, by="user:ada")

    if row.is_taken:
        assert answer.status == 200
        assert json.dumps(stage.resume_data(execution)["body"]) == json.dumps(row.value)
    else:
        assert answer.status == 422
        assert {error["input"]["name"] for error in answer.body["errors"]} == set(row.errors)


def texts_of(control: dict[str, Any]) -> dict[str, list[str]]:
    """What a front end sends that draws what it is given and touches nothing."""
    inner = {name: texts for each in control["fields"] for name, texts in texts_of(each).items()}
    return inner if control["kind"] in ("object", "rows") else {control["name"]: control["texts"], **inner}


def answer_as_json(row: Row, stage: Stage, base: str, send: "Send") -> None:
    execution = stage.suspended(schema=row.schema)

    url, headers = f"{base}/{stage.link('resume', execution)}", {"Content-Type": "application/json"}
    answer = send("POST", url, body=json.dumps(row.value), headers=headers)

    assert answer.code == 200
    assert json.dumps(stage.resume_data(execution)["body"]) == json.dumps(row.value)
