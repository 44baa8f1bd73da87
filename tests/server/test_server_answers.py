"""Answers that must fit a schema, and people who may give them, at the links and on the page."""

import re
from html.parser import HTMLParser
from json import loads
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from pauseflow_nb.store import executions

if TYPE_CHECKING:
    from .conftest import Send, Stage

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

SCHEMA = {
    "type": "object",
    "title": "Decision",
    "required": ["approved", "address"],
    "properties": {
        "approved": {"type": "boolean", "title": "Approved"},
        "amount": {"type": "integer", "minimum": 1, "default": 3, "description": "how many boxes"},
        "weight": {"type": "number"},
        "size": {"enum": ["small", "large"], "default": "large"},
        "due": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}], "default": None},
        "note": {"type": "string", "maxLength": 1000},
        "tags": {"type": "array", "items": {"type": "string"}, "default": ["new"]},
        "address": {"$ref": "#/$defs/Address"},
    },
    "$defs": {
        "Address": {
            "type": "object",
            "title": "Address",
            "required": ["street"],
            "properties": {"street": {"type": "string", "title": "Street"}},
        }
    },
}
GOOD: dict[str, Any] = {"approved": True, "address": {"street": "Elm"}}


class Inputs(HTMLParser):
    """The fields of a form: name → what stands in it, and attributes of each."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.values: dict[str, list[str]] = {}
        self.attributes: dict[str, dict[str, str | None]] = {}
        self._select = self._area = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        name = found.get("name") or ""
        if tag in ("input", "select", "textarea"):
            self.attributes[name] = found
        if tag == "input" and (found.get("type") != "checkbox" or "checked" in found):
            self.values.setdefault(name, []).append(found.get("value") or "")
        elif tag == "select":
            self._select = name
        elif tag == "option" and "selected" in found:
            self.values.setdefault(self._select, []).append(found.get("value") or "")
        elif tag == "textarea":
            self._area = name

    def handle_data(self, data: str) -> None:
        if self._area:
            self.values.setdefault(self._area, []).append(data.removeprefix("\n"))

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._area = ""


@pytest.fixture
def asked(stage: "Stage") -> str:
    return stage.suspended(schema=SCHEMA)


class TestSchema:
    def test_an_answer_that_does_not_fit_is_422_with_every_error_and_it_goes_on_waiting(
        self, stage: "Stage", asked: str, send: "Send", base: str
    ) -> None:
        answer = send("POST", f"{base}/{stage.link('resume', asked)}", json={"amount": 0, "address": {"street": 5}})

        assert answer.code == 422
        body = loads(answer.body)
        assert body["errors"] == [
            {"path": ["address", "street"], "message": "must be text"},
            {"path": ["amount"], "message": "must be at least 1"},
            {"path": ["approved"], "message": "is required"},
        ]
        assert body["state"] == "suspended"
        assert [line["by"] for line in stage.queue.audit(asked) if line["what"] == "refused"] == ["link"]

    def test_one_that_fits_wakes_it(self, stage: "Stage", asked: str, send: "Send", base: str) -> None:
        answer = send("POST", f"{base}/{stage.link('resume', asked)}", json=GOOD)

        assert answer.code == 200
        assert stage.resume_data(asked)["body"] == GOOD

    def test_after_a_refusal_the_same_link_takes_a_good_answer(
        self, stage: "Stage", asked: str, send: "Send", base: str
    ) -> None:
        url = f"{base}/{stage.link('resume', asked)}"

        assert [send("POST", url, json=body).code for body in ({}, GOOD, GOOD)] == [422, 200, 200]

    def test_no_get_acts(self, stage: "Stage", asked: str, send: "Send", base: str) -> None:
        answer = send("GET", f"{base}/{stage.link('resume', asked)}?approved=true")

        assert answer.code == 405
        assert "send a POST" in loads(answer.body)["error"]
        assert "POST" in answer.headers["Allow"]
        assert stage.queue.state(asked) == "suspended"

    def test_cancel_needs_no_data(self, stage: "Stage", asked: str, send: "Send", base: str) -> None:
        assert send("POST", f"{base}/{stage.link('cancel', asked)}").code == 200

    def test_a_programs_form_is_read_by_the_schema(self, stage: "Stage", send: "Send", base: str) -> None:
        properties = {"approved": {"type": "boolean"}, "n": {"type": "integer"}}
        execution = stage.suspended(schema={"type": "object", "properties": properties, "required": ["approved"]})
        url = f"{base}/{stage.link('resume', execution)}"

        assert send("POST", url, body="approved=true&n=7", headers=FORM).code == 200
        assert stage.resume_data(execution)["body"] == {"approved": True, "n": 7}

    def test_a_query_with_an_empty_post_is_the_answer(self, stage: "Stage", send: "Send", base: str) -> None:
        execution = stage.suspended(schema={"type": "object", "properties": {"n": {"type": "integer"}}})

        assert send("POST", f"{base}/{stage.link('resume', execution)}?n=7", body="").code == 200
        assert stage.resume_data(execution)["body"] == {"n": 7}

    def test_a_large_body_cannot_be_checked(self, stage: "Stage", asked: str, send: "Send", base: str) -> None:
        answer = send("POST", f"{base}/{stage.link('resume', asked)}", body="x" * (2 * 1024 * 1024))

        assert answer.code == 413
        assert stage.queue.state(asked) == "suspended"

    def test_an_early_answer_that_does_not_fit_is_noted_and_the_next_one_counts(
        self, stage: "Stage", send: "Send", base: str
    ) -> None:
        execution = stage.begun()
        url = f"{base}/{stage.link('resume', execution)}"
        assert [send("POST", url, json=body).code for body in ({"approved": "so"}, GOOD)] == [202, 202]

        stage.suspend(execution, schema=SCHEMA)

        assert stage.queue.state(execution) == "queued"
        assert stage.resume_data(execution)["body"] == GOOD
        assert [line["what"] for line in stage.queue.audit(execution)].count("refused") == 1


class TestPage:
    def page(self, stage: "Stage", execution: str, send: "Send", base: str) -> str:
        answer = send("GET", f"{base}/{stage.link('approve', execution)}", accept=BROWSER)
        assert answer.code == 200
        return answer.body.decode()

    def post(self, stage: "Stage", execution: str, send: "Send", base: str, **fields: Any) -> Any:
        entries = {"pauseflow_page": "1", "decision": "resume", **fields}
        url = f"{base}/{stage.link('approve', execution)}"
        return send("POST", url, body=urlencode(entries, doseq=True), headers=FORM, accept=BROWSER)

    def test_it_asks_for_what_the_schema_asks(self, stage: "Stage", asked: str, send: "Send", base: str) -> None:
        html = self.page(stage, asked, send, base)
        form = Inputs(html)

        kinds = {name: found.get("type") for name, found in form.attributes.items() if name.startswith("answer/")}
        assert kinds == {
            "answer/approved": "checkbox",
            "answer/amount": "text",
            "answer/weight": "text",
            "answer/size": None,
            "answer/due": "date",
            "answer/note": None,
            "answer/tags": None,
            "answer/address/street": "text",
        }
        assert form.attributes["answer/amount"]["inputmode"] == "numeric"
        assert form.attributes["answer/address/street"]["aria-required"] == "true"
        assert "aria-required" not in form.attributes["answer/amount"]
        assert form.values["answer/amount"] == ["3"]
        assert form.values["answer/size"] == ['"large"']
        assert form.values["answer/tags"] == ["new"]
        assert "how many boxes" in html
        assert "<script" not in html

    def test_what_is_typed_becomes_what_the_schema_wants(
        self, stage: "Stage", asked: str, send: "Send", base: str
    ) -> None:
        fields = {
            "answer/approved": "on",
            "answer/amount": "12",
            "answer/weight": "2.5",
            "answer/size": '"small"',
            "answer/due": "2026-12-24",
            "answer/note": "",
            "answer/tags": "red\r\ngreen",
            "answer/address/street": "Elm",
        }
        answer = self.post(stage, asked, send, base, **fields)

        assert answer.code == 200
        assert stage.resume_data(asked)["body"] == {
            "approved": True,
            "amount": 12,
            "weight": 2.5,
            "size": "small",
            "due": "2026-12-24",
            "tags": ["red", "green"],
            "address": {"street": "Elm"},
        }

    def test_after_a_422_the_errors_stand_beside_the_fields_and_the_values_are_kept(
        self, stage: "Stage", asked: str, send: "Send", base: str
    ) -> None:
        fields = {"answer/approved": "on", "answer/amount": "many", "answer/note": "<b>x</b>", "answer/size": ""}
        answer = self.post(stage, asked, send, base, **fields)

        assert answer.code == 422
        html = answer.body.decode()
        form = Inputs(html)
        assert form.values["answer/amount"] == ["many"]
        assert form.attributes["answer/amount"]["aria-invalid"] == "true"
        assert form.values["answer/note"] == ["<b>x</b>"]
        assert "checked" in form.attributes["answer/approved"]
        assert "Must be a whole number, such as 12." in html
        assert "Is required." in html
        assert stage.queue.state(asked) == "suspended"

    def test_an_unticked_box_is_false(self, stage: "Stage", asked: str, send: "Send", base: str) -> None:
        assert self.post(stage, asked, send, base, **{"answer/address/street": "Elm"}).code == 200
        assert stage.resume_data(asked)["body"]["approved"] is False

    def test_rows_of_a_list_of_objects(self, stage: "Stage", send: "Send", base: str) -> None:
        row = {"type": "object", "properties": {"who": {"type": "string"}}, "required": ["who"]}
        execution = stage.suspended(
            schema={"type": "object", "properties": {"people": {"type": "array", "items": row}}}
        )
        form = Inputs(self.page(stage, execution, send, base))
        assert [name for name in form.values if "people" in name] == ["answer/people/0/who", "answer/people/1/who"]

        answer = self.post(stage, execution, send, base, **{"answer/people/0/who": "Ann", "answer/people/1/who": ""})

        assert answer.code == 200
        assert stage.resume_data(execution)["body"] == {"people": [{"who": "Ann"}]}

    def test_a_kept_answer_is_told_on_reload(self, stage: "Stage", send: "Send", base: str) -> None:
        execution = stage.begun()
        assert self.post(stage, execution, send, base, data="yes").code == 202

        html = self.page(stage, execution, send, base)

        assert "An answer is kept: Approve, by someone with the link" in html
        assert "<form" not in html

    def test_what_the_notebook_refused_is_shown(self, stage: "Stage", asked: str, send: "Send", base: str) -> None:
        reopen(stage, asked, [{"path": ["amount"], "message": "must be even"}])

        html = self.page(stage, asked, send, base)

        assert "The notebook refused the last answer." in html
        assert "Must be even." in html


def reopen(stage: "Stage", execution: str, errors: list[dict[str, Any]]) -> None:
    from pauseflow_nb.store import suspensions

    def change(connection: Any) -> None:
        suspensions.reopen(connection, suspensions.list_open(connection, execution)[0], errors)

    stage.queue.change(change)


class TestWho:
    def test_a_link_counts_for_one_of_several_approvals(self, stage: "Stage", send: "Send", base: str) -> None:
        execution = stage.suspended(approvals=2)
        url = f"{base}/{stage.link('resume', execution)}"

        first, second = send("POST", url, json={"comment": "fine"}), send("POST", url, json={})

        assert (first.code, second.code) == (202, 200)
        assert loads(second.body)["already"] is True
        approvals = stage.queue.view(execution)["suspended"][0]["approvals"]
        assert (approvals["needed"], len(approvals["given"])) == (2, 1)
        assert (approvals["given"][0]["by"], approvals["given"][0]["comment"]) == ("link", "fine")
        page = send("GET", f"{base}/{stage.link('approve', execution)}", accept=BROWSER).body.decode()
        assert "1 of 2 approvals" in page
        assert "someone with the link" in page
        assert ": fine" in page

    def test_no_get_acts_where_several_must_approve(self, stage: "Stage", send: "Send", base: str) -> None:
        execution = stage.suspended(approvals=2)

        assert send("GET", f"{base}/{stage.link('resume', execution)}").code == 405

    @pytest.mark.parametrize("action", ["resume", "cancel"])
    def test_with_approvers_a_link_does_not_act(self, stage: "Stage", send: "Send", base: str, action: str) -> None:
        execution = stage.suspended(approvers=["ann", "bob"])

        answer = send("POST", f"{base}/{stage.link(action, execution)}", json={})

        assert (answer.code, loads(answer.body)["error"]) == (403, "only ann, bob may answer, signed in")
        assert stage.queue.state(execution) == "suspended"

    def test_the_page_says_who_may_and_its_buttons_cannot_be_pressed(
        self, stage: "Stage", send: "Send", base: str
    ) -> None:
        execution = stage.suspended(approvers=["ann"])
        html = send("GET", f"{base}/{stage.link('approve', execution)}", accept=BROWSER).body.decode()

        assert "Only ann may answer, signed in." in html
        assert re.findall(r'<button[^>]*value="(\w+)" (disabled)', html) == [
            ("resume", "disabled"),
            ("cancel", "disabled"),
        ]

    def test_without_self_approval_a_link_cancels_and_does_not_approve(
        self, stage: "Stage", send: "Send", base: str
    ) -> None:
        execution = stage.suspended(self_approval=False)
        page = send("GET", f"{base}/{stage.link('approve', execution)}", accept=BROWSER).body.decode()

        assert send("POST", f"{base}/{stage.link('resume', execution)}", json={}).code == 403
        assert re.findall(r'<button[^>]*value="(\w+)" disabled', page) == ["resume"]
        assert "<b>Approve</b> cannot be pressed: the person who started this may not approve it" in page
        assert send("POST", f"{base}/{stage.link('cancel', execution)}", json={}).code == 200


class TestAfterwards:
    def page(self, send: "Send", stage: "Stage", base: str, execution: str) -> str:
        html = send("GET", f"{base}/{stage.link('approve', execution)}", accept=BROWSER).body.decode()
        return html.partition('role="status">')[2].partition("</div>")[0]

    def test_a_comment_is_noted_beside_the_fields_of_a_form(
        self, send: "Send", stage: "Stage", base: str, asked: str
    ) -> None:
        fields = {"pauseflow_page": "1", "decision": "resume", "answer/approved": "on", "answer/address/street": "Elm"}
        fields_sent = {**fields, "comment": "looks <b>good</b>"}
        url = f"{base}/{stage.link('approve', asked)}"

        assert send("POST", url, body=urlencode(fields_sent), headers=FORM, accept=BROWSER).code == 200

        envelope = stage.resume_data(asked)
        assert envelope["comment"] == "looks <b>good</b>"
        assert "comment" not in envelope["body"]
        [line] = [line for line in stage.queue.audit(asked) if line["what"] == "settled"]
        assert line["details"]["comment"] == "looks <b>good</b>"
        assert "looks &lt;b&gt;good&lt;/b&gt;" in self.page(send, stage, base, asked)

    def test_a_comment_typed_with_a_wrong_answer_is_kept(
        self, send: "Send", stage: "Stage", base: str, asked: str
    ) -> None:
        fields_sent = {"pauseflow_page": "1", "decision": "resume", "comment": "typed already"}
        url = f"{base}/{stage.link('approve', asked)}"

        answer = send("POST", url, body=urlencode(fields_sent), headers=FORM, accept=BROWSER)

        assert answer.code == 422
        assert "typed already" in answer.body.decode()

    def test_a_comment_on_cancel_is_the_reason(self, send: "Send", stage: "Stage", base: str) -> None:
        execution = stage.suspended()
        fields_sent = {"pauseflow_page": "1", "decision": "cancel", "data": "too expensive"}
        url = f"{base}/{stage.link('approve', execution)}"

        send("POST", url, body=urlencode(fields_sent), headers=FORM, accept=BROWSER)

        assert stage.queue.view(execution)["reason"] == {"kind": "link", "by": "link", "text": "too expensive"}
        assert "too expensive" in self.page(send, stage, base, execution)

    def test_the_page_says_what_became_of_the_run(self, send: "Send", stage: "Stage", base: str) -> None:
        execution = stage.suspended()
        stage.queue.resume(execution, by="user:ada")
        assert "the run continues." in (text := self.page(send, stage, base, execution))
        assert "Look again" in text

        stage.queue.cancel(execution, by="user:ada")

        assert "the run is now cancelled." in (text := self.page(send, stage, base, execution))
        assert "Look again" not in text

    @pytest.mark.parametrize("state", ["suspended", "waiting", "paused", "completed", "failed"])
    def test_the_page_calls_the_state_of_the_run_by_its_word(
        self, send: "Send", stage: "Stage", base: str, state: str
    ) -> None:
        execution = stage.suspended()
        stage.queue.resume(execution, by="user:ada")
        stage.queue.change(lambda connection: executions.set_state(connection, execution, state))

        assert f"the run is now {state}." in self.page(send, stage, base, execution)


@pytest.mark.parametrize(
    ("body", "status", "read"),
    [
        ("tags=", 200, {"tags": [""]}),
        ("tags=red&tags=", 200, {"tags": ["red", ""]}),
        ("tags=red&tags=+", 200, {"tags": ["red", " "]}),
        ("counts=1&counts=", 422, None),
        ("any=1e999", 200, {"any": "1e999"}),
        ("any=%5BNaN%5D", 200, {"any": "[NaN]"}),
        ("rows=%5B1e999%5D", 422, None),
    ],
)
def test_a_form_of_a_program_with_entries_that_are_no_values_is_taken_as_text(
    stage: "Stage", send: "Send", base: str, body: str, status: int, read: Any
) -> None:
    texts, numbers = ({"type": "array", "items": {"type": kind}} for kind in ("string", "integer"))
    properties = {"tags": texts, "counts": numbers, "any": {}, "rows": {"type": "array"}}
    execution = stage.suspended(schema={"type": "object", "properties": properties})

    answer = send("POST", f"{base}/{stage.link('resume', execution)}", body=body, headers=FORM)

    assert answer.code == status
    if status == 200:
        assert stage.resume_data(execution)["body"] == read
    else:
        assert stage.queue.state(execution) == "suspended"
        assert "must be" in str(loads(answer.body)["errors"])
