"""A notebook that was changed after its decisions were signed is found out, and what was changed is named."""

import base64
import copy
import json
from collections.abc import Callable
from typing import Any

import nbformat
import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis.strategies import booleans, dictionaries, floats, integers, lists, none, recursive, text
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from pauseflow_nb.decisions.digests import digest_cell, exact, to_canonical
from pauseflow_nb.decisions.statement import DECIDED, ENDED, Statement, payload_digest, sign
from pauseflow_nb.decisions.verification import verify

KEY = Ed25519PrivateKey.generate()
PUBLIC = [KEY.public_key()]
PNG = base64.b64encode(b"\x89PNG and more").decode()

QUESTION = {"kind": "suspend", "title": "Publish?", "message": "The report of May.", "data": {"total": 12.5, "rows": 1}, "schema": {"type": "object"}, "deadline": "2026-11-29T10:00:00Z", "labels": {"resume": "Publish"}, "allow": ["resume", "cancel"]}  # fmt: skip
DECISION = {"action": "resume", "answer": {"approved": True}, "comment": "fine", "by": "user:ann", "known_by": "login", "at": "2026-11-28T10:00:00Z", "sentence": "Resumed by ann.", "approvals": [{"by": "user:ann", "comment": "fine"}]}  # fmt: skip


def card(question: dict[str, Any], decision: dict[str, Any] | None, *, step: str = "ask") -> Any:
    facts = {"kind": "suspension", "step": step, "run": 1, "segment": 0, "ordinal": 0}
    facts |= {"question": question, "decision": decision}
    return new_output("display_data", {"text/plain": "Publish?"}, metadata={"pauseflow": facts})


def executed() -> dict[str, Any]:
    """A notebook as a run leaves it, without its records."""
    notebook = new_notebook(
        metadata={"pauseflow": {"execution": "e1"}, "papermill": {"end_time": "2026-11-28T11:00:00Z"}}
    )
    notebook.cells = [
        new_markdown_cell("# Report", id="title"),
        new_code_cell("print(1)\n2", id="work", outputs=[new_output("stream", text="1\n"), new_output("execute_result", {"text/plain": "2"})]),
        new_code_cell("plot()", id="plot", outputs=[new_output("display_data", {"image/png": PNG, "text/plain": "<Figure>"})]),
        new_code_cell("%%step ask", id="ask", outputs=[card(copy.deepcopy(QUESTION), copy.deepcopy(DECISION))]),
        new_code_cell("publish()", id="after", outputs=[new_output("stream", text="done\n")]),
    ]  # fmt: skip
    found: dict[str, Any] = json.loads(nbformat.writes(notebook))
    return found


def cells_of(notebook: dict[str, Any], count: int | None = None) -> tuple[Any, ...]:
    return tuple(digest_cell(cell, with_cards=count is None) for cell in notebook["cells"][:count])


def decided(notebook: dict[str, Any], *, number: int = 1, previous: str | None = None, execution: str = "e1") -> Any:
    facts: dict[str, Any] = {
        "suspension": {"step": "ask", "run": 1, "segment": 0, "ordinal": 0},
        "question": copy.deepcopy(QUESTION),
        "decision": copy.deepcopy(DECISION),
    }
    return sign(Statement(DECIDED, execution, number, previous, cells_of(notebook, 4), facts), KEY)


def ended(notebook: dict[str, Any], *, number: int = 2, previous: str | None = None) -> Any:
    return sign(Statement(ENDED, "e1", number, previous, cells_of(notebook), {"state": "completed"}), KEY)


def recorded() -> dict[str, Any]:
    notebook = executed()
    first = decided(notebook)
    notebook["metadata"]["pauseflow"]["decisions"] = [first, ended(notebook, previous=payload_digest(first))]
    return notebook


def problems_of(notebook: dict[str, Any]) -> list[str]:
    return verify(notebook, PUBLIC).problems


def test_what_was_not_changed_is_valid() -> None:
    result = verify(recorded(), PUBLIC)

    assert result.problems == []
    assert result.is_valid
    assert [statement.kind for statement in result.statements] == [DECIDED, ENDED]


def test_a_record_is_valid_however_the_file_is_laid_out() -> None:
    """nbformat writes texts as lists of lines, others as one string."""
    notebook = recorded()
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
        for output in cell.get("outputs", []):
            if "text" in output:
                output["text"] = "".join(output["text"])

    assert problems_of(notebook) == []


def change_source(notebook: dict[str, Any]) -> None:
    notebook["cells"][1]["source"] = ["print(1)\n", "3"]


def change_stream(notebook: dict[str, Any]) -> None:
    notebook["cells"][1]["outputs"][0]["text"] = ["7\n"]


def change_image(notebook: dict[str, Any]) -> None:
    notebook["cells"][2]["outputs"][0]["data"]["image/png"] = PNG[::-1]


def remove_output(notebook: dict[str, Any]) -> None:
    notebook["cells"][1]["outputs"].pop()


def add_output(notebook: dict[str, Any]) -> None:
    notebook["cells"][1]["outputs"].append(notebook["cells"][1]["outputs"][0])


def change_markdown(notebook: dict[str, Any]) -> None:
    notebook["cells"][0]["source"] = ["# Another report"]


def change_cell_after_the_decision(notebook: dict[str, Any]) -> None:
    notebook["cells"][4]["outputs"][0]["text"] = ["not done\n"]


def facts(notebook: dict[str, Any]) -> Any:
    return notebook["cells"][3]["outputs"][0]["metadata"]["pauseflow"]


def change_title(notebook: dict[str, Any]) -> None:
    facts(notebook)["question"]["title"] = "Delete?"


def change_message(notebook: dict[str, Any]) -> None:
    facts(notebook)["question"]["message"] = "The report of June."


def change_data(notebook: dict[str, Any]) -> None:
    facts(notebook)["question"]["data"]["total"] = 12.6


def change_a_number_in_the_data_to_true(notebook: dict[str, Any]) -> None:
    facts(notebook)["question"]["data"]["rows"] = True


def change_form(notebook: dict[str, Any]) -> None:
    facts(notebook)["question"]["schema"] = None


def change_deadline(notebook: dict[str, Any]) -> None:
    facts(notebook)["question"]["deadline"] = None


def change_labels(notebook: dict[str, Any]) -> None:
    facts(notebook)["question"]["labels"]["resume"] = "Delete"


def change_allow(notebook: dict[str, Any]) -> None:
    facts(notebook)["question"]["allow"].append("send_back")


def change_answer(notebook: dict[str, Any]) -> None:
    facts(notebook)["decision"]["answer"] = {"approved": False}


def change_comment(notebook: dict[str, Any]) -> None:
    facts(notebook)["decision"]["comment"] = ""


def change_answer_to_nothing(notebook: dict[str, Any]) -> None:
    facts(notebook)["decision"]["answer"] = None


def change_action(notebook: dict[str, Any]) -> None:
    facts(notebook)["decision"]["action"] = "cancel"


def change_known_by(notebook: dict[str, Any]) -> None:
    facts(notebook)["decision"]["known_by"] = "account"


def change_when(notebook: dict[str, Any]) -> None:
    facts(notebook)["decision"]["at"] = "2026-11-28T10:00:01Z"


def change_sentence(notebook: dict[str, Any]) -> None:
    facts(notebook)["decision"]["sentence"] = "Resumed by bob."


def change_an_approval(notebook: dict[str, Any]) -> None:
    facts(notebook)["decision"]["approvals"][0]["by"] = "user:bob"


def change_who(notebook: dict[str, Any]) -> None:
    facts(notebook)["decision"]["by"] = "user:bob"


def change_rich_output(notebook: dict[str, Any]) -> None:
    notebook["cells"][2]["outputs"][0]["data"]["text/plain"] = ["<Another figure>"]


def change_metadata_of_an_output(notebook: dict[str, Any]) -> None:
    notebook["cells"][2]["outputs"][0]["metadata"] = {"image/png": {"width": 1}}


def change_number_of_a_result(notebook: dict[str, Any]) -> None:
    notebook["cells"][1]["outputs"][1]["execution_count"] = 9


def change_kind_of_output(notebook: dict[str, Any]) -> None:
    notebook["cells"][1]["outputs"][0]["name"] = "stderr"


def change_cell_id(notebook: dict[str, Any]) -> None:
    notebook["cells"][1]["id"] = "other"


def change_kind_of_cell(notebook: dict[str, Any]) -> None:
    notebook["cells"][0]["cell_type"] = "raw"


def add_attachment(notebook: dict[str, Any]) -> None:
    notebook["cells"][0]["attachments"] = {"a.png": {"image/png": PNG}}


def move_outputs(notebook: dict[str, Any]) -> None:
    notebook["cells"][1]["outputs"].reverse()


def move_cells(notebook: dict[str, Any]) -> None:
    cells = notebook["cells"]
    cells[0], cells[2] = cells[2], cells[0]


def add_cell(notebook: dict[str, Any]) -> None:
    notebook["cells"].insert(2, {"id": "new", "cell_type": "markdown", "metadata": {}, "source": ["All checked."]})


def add_cell_at_the_end(notebook: dict[str, Any]) -> None:
    notebook["cells"].append({"id": "new", "cell_type": "markdown", "metadata": {}, "source": ["All checked."]})


def remove_cell(notebook: dict[str, Any]) -> None:
    del notebook["cells"][1]


def change_what_a_card_shows(notebook: dict[str, Any]) -> None:
    notebook["cells"][3]["outputs"][0]["data"]["text/plain"] = ["Delete?"]


def remove_card(notebook: dict[str, Any]) -> None:
    notebook["cells"][3]["outputs"] = []


def cut_out_a_record(notebook: dict[str, Any]) -> None:
    del notebook["metadata"]["pauseflow"]["decisions"][0]


def cut_out_all_records(notebook: dict[str, Any]) -> None:
    del notebook["metadata"]["pauseflow"]["decisions"]


def cut_out_the_end(notebook: dict[str, Any]) -> None:
    del notebook["metadata"]["pauseflow"]["decisions"][-1]


def put_a_record_in_twice(notebook: dict[str, Any]) -> None:
    records = notebook["metadata"]["pauseflow"]["decisions"]
    records.insert(0, records[0])


def change_the_execution(notebook: dict[str, Any]) -> None:
    notebook["metadata"]["pauseflow"]["execution"] = "e2"


def change_key_of_a_record(notebook: dict[str, Any]) -> None:
    notebook["metadata"]["pauseflow"]["decisions"][0]["signatures"][0]["keyid"] = "0" * 64


def change_type_of_a_record(notebook: dict[str, Any]) -> None:
    notebook["metadata"]["pauseflow"]["decisions"][0]["payloadType"] = "text/plain"


def change_signature(notebook: dict[str, Any]) -> None:
    signature = notebook["metadata"]["pauseflow"]["decisions"][1]["signatures"][0]
    signature["sig"] = base64.b64encode(base64.b64decode(signature["sig"])[::-1]).decode()


def add_to_a_record(notebook: dict[str, Any]) -> None:
    notebook["metadata"]["pauseflow"]["decisions"][0]["note"] = "checked by the board"


def add_a_signature(notebook: dict[str, Any]) -> None:
    signatures = notebook["metadata"]["pauseflow"]["decisions"][0]["signatures"]
    signatures.append({"keyid": "board", "sig": signatures[0]["sig"]})


def put_in_a_record_of_another_run(notebook: dict[str, Any]) -> None:
    notebook["metadata"]["pauseflow"]["decisions"][0] = decided(executed(), execution="e2")


def change_a_record(notebook: dict[str, Any]) -> None:
    envelope = notebook["metadata"]["pauseflow"]["decisions"][0]
    payload = base64.b64decode(envelope["payload"]).replace(b"user:ann", b"user:bob")
    envelope["payload"] = base64.b64encode(payload).decode()


def sign_with_another_key(notebook: dict[str, Any]) -> None:
    envelope = notebook["metadata"]["pauseflow"]["decisions"][0]
    statement = Statement.from_json(json.loads(base64.b64decode(envelope["payload"])))
    notebook["metadata"]["pauseflow"]["decisions"][0] = sign(statement, Ed25519PrivateKey.generate())


def swap_records(notebook: dict[str, Any]) -> None:
    notebook["metadata"]["pauseflow"]["decisions"].reverse()


def add_a_decision(notebook: dict[str, Any]) -> None:
    notebook["cells"][4]["outputs"].append(json.loads(json.dumps(card(QUESTION, DECISION, step="other"))))


def add_a_timeout(notebook: dict[str, Any]) -> None:
    decision = {**DECISION, "by": "clock", "action": "timeout"}
    notebook["cells"][4]["outputs"].append(json.loads(json.dumps(card(QUESTION, decision, step="other"))))


def strip(notebook: dict[str, Any]) -> None:
    """What nbstripout does."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (change_source, "cell 2 (work): its source was changed"),
        (change_stream, "cell 2 (work): output 1 was changed"),
        (change_image, "cell 3 (plot): output 1 was changed"),
        (remove_output, "cell 2 (work): 1 output was removed"),
        (add_output, "cell 2 (work): 1 output was added"),
        (change_markdown, "cell 1 (title): its source was changed"),
        (change_cell_after_the_decision, "cell 5 (after): output 1 was changed"),
        (change_title, "step ask: the title was changed"),
        (change_data, "step ask: the data was changed"),
        (change_message, "step ask: the message was changed"),
        (change_a_number_in_the_data_to_true, "step ask: the data was changed"),
        (change_form, "step ask: the form was changed"),
        (change_deadline, "step ask: the deadline was changed"),
        (change_labels, "step ask: a word on the buttons was changed"),
        (change_allow, "step ask: the list of what an answer may do was changed"),
        (change_answer, "step ask: the answer was changed"),
        (change_answer_to_nothing, "step ask: the answer was changed"),
        (change_action, "step ask: the decision was changed"),
        (change_known_by, "step ask: how it is known who decided was changed"),
        (change_when, "step ask: the time of the decision was changed"),
        (change_sentence, "step ask: the sentence about the decision was changed"),
        (change_an_approval, "step ask: the list of approvals was changed"),
        (change_rich_output, "cell 3 (plot): output 1 was changed"),
        (change_metadata_of_an_output, "cell 3 (plot): output 1 was changed"),
        (change_number_of_a_result, "cell 2 (work): output 2 was changed"),
        (change_kind_of_output, "cell 2 (work): output 1 was changed"),
        (change_cell_id, "cell 2 (work) was removed"),
        (change_kind_of_cell, "cell 1 (title) was a markdown cell and is a raw cell"),
        (add_attachment, "cell 1 (title): its source was changed"),
        (move_outputs, "cell 2 (work): output 1 was changed"),
        (cut_out_the_end, "cut out: the record of the end"),
        (put_a_record_in_twice, "the records are out of order: 1, 1, 2"),
        (change_the_execution, "record 1 is of another execution, e1"),
        (change_key_of_a_record, "record 1 proves nothing: parts of its envelope"),
        (change_type_of_a_record, "record 1 proves nothing: its payload is of type"),
        (change_signature, "record 2 proves nothing: its signature"),
        (add_to_a_record, "record 1 proves nothing: parts of its envelope"),
        (add_a_signature, "record 1 proves nothing: parts of its envelope"),
        (change_comment, "step ask: the comment was changed"),
        (change_who, "step ask: who decided was changed"),
        (change_what_a_card_shows, "cell 4 (ask): output 1 was changed"),
        (move_cells, "moved: cell 1 (plot), cell 3 (title)"),
        (add_cell, "cell 3 (new) was added"),
        (add_cell_at_the_end, "cell 6 (new) was added"),
        (remove_cell, "cell 2 (work) was removed"),
        (remove_card, "step ask: the question and its decision (record 1) were removed from the cells"),
        (cut_out_a_record, "cut out: record 1"),
        (cut_out_all_records, "the notebook has no decision record: no decision was made, or all records were removed"),
        (put_in_a_record_of_another_run, "record 1 is of another execution, e2"),
        (change_a_record, "record 1 proves nothing: its signature"),
        (sign_with_another_key, "record 1 proves nothing: its signature"),
        (swap_records, "the records are out of order: 2, 1"),
        (add_a_decision, "step other: the notebook shows a decision that no record has"),
        (add_a_timeout, "step other: the notebook shows a decision that no record has"),
        (strip, "cell 2 (work): 2 outputs were removed"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_every_change_is_named(change: Callable[[dict[str, Any]], None], said: str) -> None:
    notebook = recorded()
    change(notebook)

    problems = problems_of(notebook)

    assert any(problem.startswith(said) for problem in problems), problems


@pytest.mark.parametrize(
    "value",
    [None, 7, "text", [], [None], [{}], [{"payload": "?", "signatures": []}], [{"payload": "e30=", "signatures": [{"sig": "AA=="}], "payloadType": "text/plain"}], {"a": 1}],
)  # fmt: skip
def test_records_that_cannot_be_read_are_named_not_raised(value: Any) -> None:
    notebook = recorded()
    notebook["metadata"]["pauseflow"]["decisions"] = value

    assert problems_of(notebook)


@pytest.mark.parametrize("payload", [b"{}", b"[]", b"null", b"\xff", b'{"predicate": {}}', b'{"predicateType": 1, "predicate": {"execution": 1}}'])  # fmt: skip
def test_a_signed_text_that_is_no_statement_proves_nothing(payload: bytes) -> None:
    kind = b"application/vnd.in-toto+json"
    signature = KEY.sign(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
    envelope = {
        "payloadType": kind.decode(),
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"sig": base64.b64encode(signature).decode()}],
    }
    notebook = executed()
    notebook["metadata"]["pauseflow"]["decisions"] = [envelope]

    assert "record 1 proves nothing" in problems_of(notebook)[0]


def test_numbers_beyond_what_programs_read_alike_are_digested_as_they_stand() -> None:
    one, other = (
        digest_cell({"id": "a", "cell_type": "code", "source": "", "outputs": [{"output_type": "display_data", "data": {"application/json": {"n": number}}}]})
        for number in (2**60, 2**60 + 1)
    )  # fmt: skip

    assert one != other


@given(
    recursive(
        none() | booleans() | integers() | floats() | text(),
        lambda inner: lists(inner) | dictionaries(text(), inner),
        max_leaves=20,
    )
)
def test_quick_and_general_canonical_json_are_the_same_bytes(value: Any) -> None:
    assert to_canonical(value) == rfc8785.dumps(exact(value))
