"""A notebook that was changed after its decisions were signed is found out, and what was changed is named."""

import base64
import hashlib
import json
from collections.abc import Callable
from string import ascii_letters
from typing import Any

import pytest
import rfc8785
from decisions import changes
from decisions.changes import KEY, PUBLIC, decided, ended, executed, facts, recorded
from decisions.program import check
from hypothesis import given
from hypothesis.strategies import booleans, dictionaries, floats, integers, lists, none, recursive, text, tuples

from pauseflow_nb.decisions.digests import (
    AT_THE_CELL,
    AT_THE_TOP,
    ERROR_MARKER,
    CellDigest,
    CellList,
    digest_cell,
    digest_json,
    exact,
    to_canonical,
)
from pauseflow_nb.decisions.statement import DECIDED, ENDED, Statement, digest_payload, expand, sign
from pauseflow_nb.decisions.verification import verify


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


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (changes.change_source, "cell 2 (work): its source was changed"),
        (changes.change_stream, "cell 2 (work): output 1 was changed"),
        (changes.change_image, "cell 3 (plot): output 1 was changed"),
        (changes.remove_output, "cell 2 (work): 1 output was removed"),
        (changes.add_output, "cell 2 (work): 1 output was added"),
        (changes.change_markdown, "cell 1 (title): its source was changed"),
        (changes.change_cell_after_the_decision, "cell 5 (after): output 1 was changed"),
        (changes.change_title, "step ask: the title was changed"),
        (changes.change_data, "step ask: the data was changed"),
        (changes.change_message, "step ask: the message was changed"),
        (changes.change_a_number_in_the_data_to_true, "step ask: the data was changed"),
        (changes.change_form, "step ask: the form was changed"),
        (changes.change_deadline, "step ask: the deadline was changed"),
        (changes.change_labels, "step ask: a label of a button was changed"),
        (changes.change_allow, "step ask: the list of allowed actions was changed"),
        (changes.change_answer, "step ask: the answer was changed"),
        (changes.change_answer_to_nothing, "step ask: the answer was changed"),
        (changes.change_action, "step ask: the decision was changed"),
        (changes.change_known_by, "step ask: how it is known who decided was changed"),
        (changes.change_when, "step ask: the time of the decision was changed"),
        (changes.change_sentence, "step ask: the sentence about the decision was changed"),
        (changes.change_an_approval, "step ask: the list of approvals was changed"),
        (changes.change_rich_output, "cell 3 (plot): output 1 was changed"),
        (changes.change_metadata_of_an_output, "cell 3 (plot): output 1 was changed"),
        (changes.change_number_of_a_result, "cell 2 (work): output 2 was changed"),
        (changes.change_kind_of_output, "cell 2 (work): output 1 was changed"),
        (changes.change_cell_id, "cell 2 (work) was removed"),
        (changes.change_kind_of_cell, "cell 1 (title) was a markdown cell and is a raw cell"),
        (changes.add_attachment, "cell 1 (title): its source was changed"),
        (changes.move_outputs, "cell 2 (work): output 1 was changed"),
        (changes.cut_out_the_end, "removed: the record of the end"),
        (changes.put_a_record_in_twice, "the records are out of order: 1, 1, 2"),
        (changes.change_the_execution, "record 1 is of another execution, e1"),
        (changes.change_key_of_a_record, "record 1 is not valid: parts of its envelope"),
        (changes.change_type_of_a_record, "record 1 is not valid: its payload is of type"),
        (changes.change_signature, "record 2 is not valid: its signature"),
        (changes.add_to_a_record, "record 1 is not valid: parts of its envelope"),
        (changes.add_a_signature, "record 1 is not valid: parts of its envelope"),
        (changes.change_comment, "step ask: the comment was changed"),
        (changes.change_who, "step ask: who decided was changed"),
        (changes.change_what_a_card_shows, "cell 4 (ask): output 1 was changed"),
        (changes.move_cells, "moved: cell 1 (plot), cell 3 (title)"),
        (changes.add_cell, "cell 3 (new) was added"),
        (changes.add_cell_at_the_end, "cell 7 (new) was added"),
        (changes.change_list_of_json, "cell 6 (json): output 1 was changed"),
        (changes.change_a_large_integer_to_an_object, "cell 6 (json): output 2 was changed"),
        (
            changes.change_a_question_mark_to_half_of_a_pair,
            "cell 6 has half of a surrogate pair, which was added later",
        ),
        (changes.change_what_a_widget_shows, "what the widgets show was changed"),
        (changes.remove_widgets, "what the widgets show was changed"),
        (changes.add_a_cell_with_the_tag_of_papermill, "cell 1 (error-top) was added"),
        (changes.add_a_cell_with_an_output_and_the_text_of_papermill, "cell 1 (error-top) was added"),
        (changes.add_a_note_with_the_text_of_papermill, "cell 7 (new) was added"),
        (changes.change_format_so_that_other_cells_are_shown, "the format of the notebook was changed"),
        (changes.add_a_copy_of_a_cell, "cell 7 (work) was added: it has the id of cell 2"),
        (changes.add_a_copy_of_the_card_with_another_name, "step ask: who decided was changed"),
        (changes.remove_cell, "cell 2 (work) was removed"),
        (changes.remove_card, "step ask: the question and its decision (record 1) were removed from the cells"),
        (changes.cut_out_a_record, "removed: record 1"),
        (
            changes.cut_out_all_records,
            "the notebook has no decision record: no decision was made, or all records were removed",
        ),
        (changes.put_in_a_record_of_another_run, "record 1 is of another execution, e2"),
        (changes.change_a_record, "record 1 is not valid: its signature"),
        (changes.sign_with_another_key, "record 1 is not valid: its signature"),
        (changes.swap_records, "the records are out of order: 2, 1"),
        (changes.add_a_decision, "step other: the notebook shows a decision that no record has"),
        (changes.add_a_timeout, "step other: the notebook shows a decision that no record has"),
        (changes.strip, "cell 2 (work): 2 outputs were removed"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_every_change_is_named(change: Callable[[dict[str, Any]], None], expected: str) -> None:
    notebook = recorded()
    change(notebook)

    problems = problems_of(notebook)

    assert any(problem.startswith(expected) for problem in problems), problems


@pytest.mark.parametrize(
    "value",
    [None, 7, "text", [], [None], [{}], [{"payload": "?", "signatures": []}], [{"payload": "e30=", "signatures": [{"sig": "AA=="}], "payloadType": "text/plain"}], {"a": 1}],
)  # fmt: skip
def test_records_that_cannot_be_read_are_named_not_raised(value: Any) -> None:
    notebook = recorded()
    notebook["metadata"]["pauseflow"]["decisions"] = value

    assert problems_of(notebook)


def test_cells_that_a_tool_saved_without_ids_are_compared_by_their_order() -> None:
    notebook = recorded()
    notebook["nbformat_minor"] = 4
    for cell in notebook["cells"]:
        del cell["id"]
    lost = "the cells have lost their ids, which nbformat 4.5 has: a tool saved the notebook in an earlier format"

    assert problems_of(notebook) == [lost]
    changes.change_source(notebook)
    assert problems_of(notebook) == [lost, "cell 2 (work): its source was changed"]


def test_a_copied_card_is_compared_before_the_end_too() -> None:
    notebook = executed()
    notebook["metadata"]["pauseflow"]["decisions"] = [decided(notebook)]
    del notebook["metadata"]["papermill"]
    changes.add_a_copy_of_the_card_with_another_name(notebook)

    assert problems_of(notebook) == ["step ask: who decided was changed"]


def test_markers_of_papermill_and_lines_of_attachments_change_nothing() -> None:
    notebook = executed()
    notebook["cells"][0]["attachments"] = {"a.svg": {"image/svg+xml": "<svg>\n</svg>"}}
    first = decided(notebook)
    notebook["metadata"]["pauseflow"]["decisions"] = [first, ended(notebook, previous=digest_payload(first))]
    notebook["cells"][0]["attachments"]["a.svg"]["image/svg+xml"] = ["<svg>\n", "</svg>"]
    for name, source in (("error-cell", AT_THE_CELL), ("error-top", AT_THE_TOP % 3)):
        marker = {"id": name, "cell_type": "markdown", "metadata": {"tags": [ERROR_MARKER]}, "source": [source]}
        notebook["cells"].insert(0, marker)
    # Tags are not covered.
    del notebook["cells"][0]["metadata"]["tags"]

    assert problems_of(notebook) == []
    assert check(notebook, PUBLIC[0]) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda notebook: notebook.update(metadata="x"),
        lambda notebook: notebook["cells"].insert(0, "x"),
        lambda notebook: notebook["cells"][1].update(outputs=None),
        lambda notebook: notebook["cells"][1].update(outputs=["x"]),
        lambda notebook: notebook["cells"][1].update(metadata="x"),
        lambda notebook: notebook["cells"][0].update(attachments={"a": "x"}),
        lambda notebook: notebook["cells"][1]["metadata"].update(tags=5) or notebook["cells"][1].update(source=5),
        lambda notebook: facts(notebook).update(step=["ask"]),
        lambda notebook: facts(notebook).update(question="x"),
        lambda notebook: facts(notebook).update(decision="x"),
        lambda notebook: facts(notebook).update(kind="earlier", suspensions=["x"]),
        lambda notebook: facts(notebook).update(kind="earlier", suspensions=None),
        lambda notebook: notebook["metadata"]["pauseflow"].update(execution=["e1"]),
    ],
)
def test_what_is_no_part_of_a_notebook_is_named_not_raised(spoil: Callable[[dict[str, Any]], None]) -> None:
    notebook = recorded()
    spoil(notebook)

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

    assert "record 1 is not valid" in problems_of(notebook)[0]


def test_numbers_beyond_what_programs_read_alike_are_digested_as_they_stand() -> None:
    one, other = (
        digest_cell({"id": "a", "cell_type": "code", "source": "", "outputs": [{"output_type": "display_data", "data": {"application/json": {"n": number}}}]})
        for number in (2**60, 2**60 + 1)
    )  # fmt: skip

    assert one != other


def test_a_notebook_that_waits_again_is_compared_with_what_was_signed_then() -> None:
    found = verify(changes.recorded_while_it_waits(), PUBLIC)

    assert found.problems == []
    assert len(found.statements) == 1, "it is no record"
    assert found.notes[0].startswith("it waits")


@pytest.mark.parametrize(
    "change", [changes.change_stream, changes.change_cell_after_the_decision, changes.add_cell_at_the_end]
)
def test_a_change_to_a_notebook_that_waits_again_is_named(change: Callable[[dict[str, Any]], None]) -> None:
    notebook = changes.recorded_while_it_waits()
    change(notebook)

    assert len(verify(notebook, PUBLIC).problems) == 1


@pytest.mark.parametrize("wrong", ["number", "previous", "execution", "a record", "no envelope"])
def test_what_was_signed_when_it_began_to_wait_cannot_be_replaced(wrong: str) -> None:
    notebook = changes.recorded_while_it_waits()
    own = notebook["metadata"]["pauseflow"]
    facts: dict[str, Any] = {"number": 2, "previous": digest_payload(own["decisions"][0])}
    spoiled: dict[str, dict[str, Any]] = {
        "number": {wrong: 3},
        "previous": {wrong: "0" * 64},
        "execution": {wrong: "e2"},
    }
    others = {"a record": own["decisions"][0], "no envelope": {"payload": 7}}
    own["waiting"] = others.get(wrong, changes.waiting(notebook, **{**facts, **spoiled.get(wrong, {})}))

    assert verify(notebook, PUBLIC).problems != []


def test_what_was_signed_when_it_began_to_wait_is_no_record() -> None:
    notebook = changes.recorded_while_it_waits()
    own = notebook["metadata"]["pauseflow"]
    own["decisions"].append(own.pop("waiting"))

    assert any("record 2 is not a decision record" in problem for problem in verify(notebook, PUBLIC).problems)


@given(
    recursive(
        none() | booleans() | integers() | floats() | text(),
        lambda inner: lists(inner) | dictionaries(text(), inner),
        max_leaves=20,
    )
)
def test_quick_and_general_canonical_json_are_the_same_bytes(value: Any) -> None:
    assert to_canonical(value) == rfc8785.dumps(exact(value))


@given(
    lists(tuples(text(), text(), lists(text(), max_size=3)), max_size=4),
    dictionaries(text(ascii_letters, min_size=1), none() | integers() | floats() | text()),
)
def test_what_is_signed_is_canonical_json(cells: list[tuple[str, str, list[str]]], facts: dict[str, Any]) -> None:
    known = [CellDigest(id_, "code", source, tuple(outputs)) for id_, source, outputs in cells]
    statement = Statement(DECIDED, "e1", 1, None, CellList.of(known), facts)
    wholes = [digest(exact([cell.id, cell.kind, cell.source, list(cell.outputs)])) for cell in known]
    named = [
        ("notebook", digest(wholes)),
        *((f"cell {n}: {each.id}", wholes[n - 1]) for n, each in enumerate(known, 1)),
    ]
    whole = {
        "_type": "https://in-toto.io/Statement/v1",
        "predicateType": DECIDED,
        "predicate": {"execution": "e1", "number": 1, "previous": None, **facts, "cells": [cell.to_json() for cell in known]},
        "subject": [{"name": name, "digest": {"sha256": each}} for name, each in named],
    }  # fmt: skip
    stored = json.loads(json.dumps(sign(statement, KEY).brief))

    payload = base64.b64decode(expand(stored, statement.cells)["payload"])
    assert payload == rfc8785.dumps(exact(whole))
    assert sign(statement, KEY).digest == hashlib.sha256(payload).hexdigest()
    assert statement.cells.read() == [CellDigest.from_json(exact(cell.to_json())) for cell in known]


def digest(value: Any) -> str:
    return hashlib.sha256(rfc8785.dumps(value)).hexdigest()


def test_no_object_has_the_digest_of_a_large_integer_or_of_another_object() -> None:
    values: list[Any] = [2**53, {"integer": str(2**53)}, {"integer'": str(2**53)}, {"integer''": str(2**53)}]

    assert len({digest_json([value, 0.5]) for value in values}) == 4
    assert len({digest_json(value) for value in values}) == 4
