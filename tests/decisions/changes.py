"""A notebook with its decision records, and changes to it that must be found out."""

import base64
import copy
import json
from typing import Any

import nbformat
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from pauseflow_nb.decisions.digests import AT_THE_CELL, CellList, digest_cell, digest_json
from pauseflow_nb.decisions.statement import DECIDED, ENDED, WAITING, Statement, digest_payload, expand, sign

KEY = Ed25519PrivateKey.generate()
PUBLIC = [KEY.public_key()]
PNG = base64.b64encode(b"\x89PNG and more").decode()

QUESTION = {"kind": "suspend", "title": "Publish?", "message": "The report of May.", "data": {"total": 12.5, "rows": 1}, "schema": {"type": "object"}, "deadline": "2026-11-29T10:00:00Z", "labels": {"resume": "Publish"}, "allow": ["resume", "cancel"]}  # fmt: skip
DECISION = {"action": "resume", "answer": {"approved": True}, "comment": "fine", "by": "user:ann", "known_by": "login", "at": "2026-11-28T10:00:00Z", "sentence": "Resumed by ann.", "approvals": [{"by": "user:ann", "comment": "fine"}]}  # fmt: skip

WIDGETS = {"application/vnd.jupyter.widget-state+json": {"state": {"w1": {"model_name": "HTMLModel", "state": {"value": "Total 100"}}}}}  # fmt: skip


def card(question: dict[str, Any], decision: dict[str, Any] | None, *, step: str = "ask") -> Any:
    facts = {"kind": "suspension", "step": step, "run": 1, "segment": 0, "ordinal": 0}
    facts |= {"question": question, "decision": decision}
    return new_output("display_data", {"text/plain": "Publish?"}, metadata={"pauseflow": facts})


def executed() -> dict[str, Any]:
    """A notebook as a run leaves it, without its records."""
    notebook = new_notebook(
        metadata={
            "pauseflow": {"execution": "e1"},
            "papermill": {"end_time": "2026-11-28T11:00:00Z"},
            "widgets": WIDGETS,
        }
    )
    notebook.cells = [
        new_markdown_cell("# Report", id="title"),
        new_code_cell("print(1)\n2", id="work", outputs=[new_output("stream", text="1\n"), new_output("execute_result", {"text/plain": "2"})]),
        new_code_cell("plot()", id="plot", outputs=[new_output("display_data", {"image/png": PNG, "text/plain": "<Figure>"})]),
        new_code_cell("%%step ask", id="ask", outputs=[card(copy.deepcopy(QUESTION), copy.deepcopy(DECISION))]),
        new_code_cell("publish()", id="after", outputs=[new_output("stream", text="done\n")]),
        new_code_cell("display(JSON(people))", id="json", outputs=[new_output("display_data", {"application/json": ["ann", "bob"]}), new_output("display_data", {"application/json": {"most": 2**53}, "text/plain": "?"})]),
    ]  # fmt: skip
    found: dict[str, Any] = json.loads(nbformat.writes(notebook))
    return found


def cells_of(notebook: dict[str, Any], count: int | None = None) -> CellList:
    return CellList.of(digest_cell(cell, with_cards=count is None) for cell in notebook["cells"][:count])


def envelope(statement: Statement, key: Ed25519PrivateKey) -> Any:
    return expand(sign(statement, key).brief, statement.cells)


def decided(notebook: dict[str, Any], *, number: int = 1, previous: str | None = None, execution: str = "e1") -> Any:
    facts: dict[str, Any] = {
        "suspension": {"step": "ask", "run": 1, "segment": 0, "ordinal": 0},
        "question": copy.deepcopy(QUESTION),
        "decision": copy.deepcopy(DECISION),
    }
    return envelope(Statement(DECIDED, execution, number, previous, cells_of(notebook, 4), facts), KEY)


def ended(notebook: dict[str, Any], *, number: int = 2, previous: str | None = None) -> Any:
    facts = {"state": "completed", "widgets": digest_json(notebook["metadata"]["widgets"])}
    return envelope(Statement(ENDED, "e1", number, previous, cells_of(notebook), facts), KEY)


def waiting(notebook: dict[str, Any], *, number: int, previous: str, execution: str = "e1") -> Any:
    return envelope(Statement(WAITING, execution, number, previous, cells_of(notebook, 6), {}), KEY)


def recorded_while_it_waits() -> dict[str, Any]:
    """One whose earlier cell shows something else since the decision, and which waits again."""
    notebook = executed()
    del notebook["metadata"]["papermill"]["end_time"]
    first = decided(notebook)
    notebook["cells"][1]["outputs"][0]["text"] = ["2\n"]
    own = notebook["metadata"]["pauseflow"]
    own |= {"decisions": [first], "waiting": waiting(notebook, number=2, previous=digest_payload(first))}
    return notebook


def recorded() -> dict[str, Any]:
    notebook = executed()
    first = decided(notebook)
    notebook["metadata"]["pauseflow"]["decisions"] = [first, ended(notebook, previous=digest_payload(first))]
    return notebook


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


def change_list_of_json(notebook: dict[str, Any]) -> None:
    notebook["cells"][5]["outputs"][0]["data"]["application/json"] = ["annbob"]


def change_a_large_integer_to_an_object(notebook: dict[str, Any]) -> None:
    notebook["cells"][5]["outputs"][1]["data"]["application/json"]["most"] = {"integer": str(2**53)}


def change_a_question_mark_to_half_of_a_pair(notebook: dict[str, Any]) -> None:
    notebook["cells"][5]["outputs"][1]["data"]["text/plain"] = ["\ud800"]


def change_what_a_widget_shows(notebook: dict[str, Any]) -> None:
    (state,) = notebook["metadata"]["widgets"].values()
    state["state"]["w1"]["state"]["value"] = "Total 999"


def remove_widgets(notebook: dict[str, Any]) -> None:
    del notebook["metadata"]["widgets"]


def add_a_cell_with_the_tag_of_papermill(notebook: dict[str, Any]) -> None:
    cell = {"id": "error-top", "cell_type": "markdown", "source": ["All was approved."]}
    notebook["cells"].insert(0, {**cell, "metadata": {"tags": ["papermill-error-cell-tag"]}})


def add_a_cell_with_an_output_and_the_text_of_papermill(notebook: dict[str, Any]) -> None:
    add_a_cell_with_the_tag_of_papermill(notebook)
    shown = {"output_type": "stream", "name": "stdout", "text": "All was approved."}
    notebook["cells"][0] |= {"cell_type": "code", "source": [AT_THE_CELL], "execution_count": None, "outputs": [shown]}


def add_a_note_with_the_text_of_papermill(notebook: dict[str, Any]) -> None:
    notebook["cells"].append({"id": "new", "cell_type": "markdown", "metadata": {}, "source": [AT_THE_CELL]})


def change_format_so_that_other_cells_are_shown(notebook: dict[str, Any]) -> None:
    cell = {"cell_type": "markdown", "metadata": {}, "source": ["All was approved."]}
    notebook |= {"nbformat": 3, "nbformat_minor": 0, "worksheets": [{"cells": [cell], "metadata": {}}]}


def add_a_copy_of_a_cell(notebook: dict[str, Any]) -> None:
    notebook["cells"].append(copy.deepcopy(notebook["cells"][1]))


def add_a_copy_of_the_card_with_another_name(notebook: dict[str, Any]) -> None:
    copied = copy.deepcopy(notebook["cells"][3]["outputs"][0])
    copied["metadata"]["pauseflow"]["decision"]["by"] = "user:eve"
    notebook["cells"][3]["outputs"].insert(0, copied)


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
    record = notebook["metadata"]["pauseflow"]["decisions"][0]
    statement = Statement.from_json(json.loads(base64.b64decode(record["payload"])))
    notebook["metadata"]["pauseflow"]["decisions"][0] = envelope(statement, Ed25519PrivateKey.generate())


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
