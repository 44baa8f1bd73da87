"""The report of an execution is one page for people who were not there, and loads nothing."""

import json
import re
from html.parser import HTMLParser

from roads.rider import Rider

from pauseflow_nb.server.execution_report import make_report
from pauseflow_nb.store import executions
from pauseflow_nb.store.database import reading

WORK = "from IPython.display import HTML, display\nx = 41\nprint('x is', x)\ndisplay(HTML('<table><tr><td>sum</td></tr></table>'))"
ASK = "%%step ask\nflow.suspend('1h', title='Publish?', message='The report of **May**', data={'total': 12.5}, allow=('resume', 'send_back', 'cancel'));"


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.addresses: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]


def test_it_shows_decisions_timeline_and_outputs_and_loads_nothing(rider: Rider) -> None:
    view = rider.run(WORK, ASK, "print('published')")
    link = view["suspended"][0]["approval_url"]
    rider.queue.send_back(view["id"], by="user:bob", comment="Round the total")
    rider.ride(view["id"])
    rider.answer(view["id"], {"comment": "fine"})
    report = make_report(rider.queue, view["id"])
    tags = Tags(report.html)

    assert report.problems == []
    assert "Nothing was changed since it was signed" in report.html
    for text in ("Record 1, step ask: Sent back", "Round the total", "Record 2, step ask: Approved", "fine", "ann"):
        assert text in report.html
    for text in (
        "The report of <strong>May</strong>",
        "12.5",
        "x is 41",
        "<td>sum</td>",
        "published",
        "Approved, step ask",
    ):
        assert text in report.html
    assert [each for each in tags.addresses if not each.startswith("data:image/")] == []
    assert "script" not in tags.names
    assert link.rpartition("/")[2] not in report.html
    assert not re.search(r"pauseflow/(resume|cancel|approve|send_back)/[\w.-]{16,}", report.html)


def test_it_names_what_was_changed_in_the_store(rider: Rider) -> None:
    view = rider.run(WORK, ASK, "1")
    rider.answer(view["id"])
    document = json.loads(rider.queue.document(view["id"]))
    next(cell for cell in document["cells"] if cell["outputs"])["outputs"][0]["text"] = "x is 14\n"
    with reading(rider.queue.engine) as connection:
        row = executions.find(connection, view["id"])
    assert row is not None
    rider.queue.files.write(row.document, json.dumps(document).encode())
    report = make_report(rider.queue, view["id"])

    assert any("output 1 was changed" in problem for problem in report.problems), report.problems
    assert "Nothing was changed" not in report.html
    assert "output 1 was changed" in report.html


def test_what_a_notebook_says_cannot_write_into_it(rider: Rider) -> None:
    evil = "<script>alert(1)</script><h1 id=fake style='position:fixed'>Approved by the board</h1>"
    view = rider.run(
        f"from IPython.display import HTML, Markdown, display\ndisplay(HTML({evil!r}), Markdown({evil!r}))\nprint({evil!r})",
        f"%%step ask\nflow.suspend(title={evil!r}, message={evil!r}, data={{{evil!r}: {evil!r}}});",
        "1",
    )
    rider.answer(view["id"], {"comment": evil})
    html = make_report(rider.queue, view["id"]).html

    assert "script" not in Tags(html).names
    assert "<h1 id" not in html
    assert html.count("<h1") == 2, "its own, and the heading that the notebook printed as HTML"


def test_it_says_that_nothing_was_decided_or_what_is_waited_for(rider: Rider) -> None:
    waits = rider.run(ASK, "1")
    report = make_report(rider.queue, waits["id"])

    assert "Nothing was decided in this execution" in report.html
    assert "step ask: Publish?" in report.html


def test_it_shows_who_approved_and_the_error_of_an_execution_that_failed(rider: Rider) -> None:
    view = rider.run("%%step ask\nflow.suspend(approvals=2, approvers=['ann', 'bob']);", "1 / 0")
    rider.queue.resume(view["id"], by="user:bob")
    rider.answer(view["id"])
    html = make_report(rider.queue, view["id"]).html

    for text in ("one approval of several", "Approvals needed</dt>", "ann, bob", "ZeroDivisionError", ": failed"):
        assert text in html
