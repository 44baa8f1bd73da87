"""Each decision is recorded, signed, in the notebook; a notebook that was changed since is found out."""

import base64
import json
from threading import Thread
from typing import Any

import pytest
from acceptance.web import wait_until
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from decisions import program
from roads.rider import Rider

from pauseflow_nb.decisions.statement import DECIDED, ENDED
from pauseflow_nb.decisions.verification import Verification, verify
from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.engine.finish_notebook import finish_notebook
from pauseflow_nb.store.database import transaction
from pauseflow_nb.store.tables import executions

ASK = "%%step ask\nflow.suspend('1h', title='Publish?', message='May', data={'total': 12.5, 'id': 2**60});"
WORK = "x = 41\nprint('x is', x)\nx"


def read(rider: Rider) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((rider.folder / "out.ipynb").read_text(encoding="utf-8"))
    return found


def check(rider: Rider, notebook: dict[str, Any] | None = None) -> Verification:
    keys = [load_pem_public_key(rider.queue.public_key(key["id"]).encode()) for key in rider.queue.list_keys()]
    document = notebook or read(rider)
    recorded = rider.queue.decisions(document["metadata"]["pauseflow"]["execution"])
    alone = verify(document, keys)  # type: ignore[arg-type]  # they are of Ed25519
    found = program.check(document, keys[-1])
    is_sealed = bool(alone.statements) and alone.statements[-1].kind == ENDED
    has_ended = is_sealed and "waiting" not in document["metadata"]["pauseflow"]
    assert bool(found) == (bool(alone.problems) or not has_ended), "the program of the docs finds the same"
    unwritten = rider.queue.count_unwritten_decisions(document["metadata"]["pauseflow"]["execution"])
    return verify(document, keys, recorded=recorded, unwritten=unwritten)  # type: ignore[arg-type]  # they are of Ed25519


def decision(result: Verification, number: int = 1) -> dict[str, Any]:
    facts: Any = result.statements[number - 1].facts["decision"]
    return dict(facts)


def test_an_approved_notebook_has_a_record_of_the_decision_and_of_the_end(rider: Rider) -> None:
    view = rider.run(WORK, ASK, "print('published')")
    ended = rider.answer(view["id"], {"comment": "looks good"})

    result = check(rider)

    assert ended["state"] == "completed"
    assert result.problems == []
    assert [statement.kind for statement in result.statements] == [DECIDED, ENDED]
    assert (decision(result)["by"], decision(result)["comment"]) == ("user:ann", "looks good")
    assert result.statements[0].facts["question"]["title"] == "Publish?"
    assert len(result.statements[0].cells.read()) == 3, "the cells up to the one that asked"


def test_what_a_widget_shows_is_covered_by_the_record_of_the_end(rider: Rider) -> None:
    view = rider.run("import ipywidgets\nipywidgets.HTML('Total 100')", ASK, "print('published')")
    rider.answer(view["id"])
    text = (rider.folder / "out.ipynb").read_text(encoding="utf-8")

    assert check(rider).problems == []
    changed = json.loads(text.replace('"value": "Total 100"', '"value": "Total 999"'))
    assert check(rider, changed).problems == ["what the widgets show was changed"]


@pytest.mark.every(2)
@pytest.mark.parametrize("word", ["x is 41", "published", "looks good", "Publish?"])
def test_what_is_changed_in_the_file_is_found(rider: Rider, word: str) -> None:
    view = rider.run(WORK, ASK, "print('published')")
    rider.answer(view["id"], {"comment": "looks good"})
    text = (rider.folder / "out.ipynb").read_text(encoding="utf-8")

    assert check(rider, json.loads(text.replace(word, word.upper()))).problems != []


def test_an_answer_to_what_has_changed_since_is_refused_and_settles_nothing(rider: Rider) -> None:
    view = rider.run(ASK, "1")
    (suspension,) = view["suspended"]

    stale = rider.queue.resume(view["id"], by="user:ann", seen="0" * 64)
    answered = rider.queue.resume(view["id"], by="user:ann", seen=suspension["shown"])

    assert (stale.status, stale.body["stale"]) == (409, True)
    assert answered.status == 200
    rider.ride(view["id"])
    assert check(rider).statements[0].facts["seen"] is True


def test_an_answer_that_carries_nothing_says_so(rider: Rider) -> None:
    view = rider.run(ASK, "1")
    rider.answer(view["id"])

    assert check(rider).statements[0].facts["seen"] is False


def test_a_cancel_is_a_decision_too(rider: Rider) -> None:
    view = rider.run(ASK, "1")
    rider.queue.cancel(view["id"], by="user:bob", text="no")
    finish_notebook(rider.queue, view["id"])
    cancelled = check(rider)

    assert cancelled.problems == []
    assert (decision(cancelled)["action"], decision(cancelled)["by"]) == ("cancel", "user:bob")


def test_a_decision_that_no_worker_has_written_yet_is_compared_and_is_no_change(rider: Rider) -> None:
    view = rider.run(WORK, "%%step ask\nflow.suspend(approvals=2);", "1")
    rider.queue.resume(view["id"], by="user:ann")
    approved, changed = check(rider), check(rider, json.loads(json.dumps(read(rider)).replace("x is 41", "x is 42")))
    rider.queue.cancel(view["id"], by="user:bob")
    cancelled = check(rider)
    finish_notebook(rider.queue, view["id"])
    ended, cut = check(rider), read(rider)
    del cut["metadata"]["pauseflow"]["decisions"][-2:]

    assert (approved.problems, cancelled.problems, ended.problems) == ([], [], [])
    assert [each.split(": ")[1] for each in changed.problems] == ["output 1 was changed"]
    assert [note.split(" was made after this notebook")[0] for note in cancelled.notes[:2]] == ["record 1", "record 2"]
    assert (approved.is_valid, ended.notes) == (True, [])
    assert sum("is in the store but not in the notebook" in each for each in check(rider, cut).problems) == 2


def test_each_of_several_approvals_has_its_record(rider: Rider) -> None:
    view = rider.run("%%step ask\nflow.suspend(approvals=2);", "1")
    first = rider.queue.resume(view["id"], by="user:ann")
    rider.queue.resume(view["id"], by="user:bob")
    rider.ride(view["id"])
    result = check(rider)

    assert first.status == 202
    assert result.problems == []
    assert ["approval" in each.facts for each in result.statements] == [True, False, False]
    assert [one["by"] for one in decision(result, 2)["approvals"]] == ["user:ann", "user:bob"]


def test_a_step_that_ran_again_keeps_the_decision_of_its_earlier_run(rider: Rider) -> None:
    again = "%%step ask\nif flow.context.run.runs == 1: flow.suspend(then='rerun')\nelse: print('second')"
    view = rider.run(WORK, again, "1")
    rider.answer(view["id"])
    result = check(rider)

    assert result.problems == []
    assert [statement.kind for statement in result.statements] == [DECIDED, ENDED]


def test_two_questions_make_a_chain(rider: Rider) -> None:
    view = rider.run(ASK, "print('between')", "%%step other\nflow.suspend(title='And this?');", "1")
    rider.answer(view["id"])
    rider.answer(view["id"])
    result = check(rider)

    assert result.problems == []
    assert [statement.number for statement in result.statements] == [1, 2, 3]
    assert result.statements[1].previous is not None


def test_a_notebook_that_waits_again_is_compared_with_its_last_decision(rider: Rider) -> None:
    view = rider.run(WORK, ASK, "%%step other\nflow.suspend();")
    rider.answer(view["id"])
    result = check(rider)

    assert result.problems == []
    assert result.notes != []


def test_a_notebook_without_decisions_has_no_record(rider: Rider) -> None:
    rider.run(WORK)

    assert check(rider).problems == [
        "the notebook has no decision record: no decision was made, or all records were removed"
    ]


def test_silence_that_ends_the_run_is_recorded_as_the_clocks(rider: Rider) -> None:
    view = rider.run(ASK, "1")
    rider.let_time_pass(view, 2)
    Clock(rider.queue).sweep()
    finish_notebook(rider.queue, view["id"])
    result = check(rider)

    assert result.problems == []
    assert (decision(result)["action"], decision(result)["by"]) == ("timeout", "clock")


def test_a_fork_goes_on_with_the_records_of_what_it_was_forked_from(rider: Rider) -> None:
    view = rider.run(ASK, "%%step other\nflow.suspend();", "1")
    rider.answer(view["id"])
    sibling = rider.fork(view["id"], output=str(rider.folder / "sibling.ipynb"))
    rider.ride(sibling)
    rider.answer(sibling)
    forked = json.loads((rider.folder / "sibling.ipynb").read_text(encoding="utf-8"))
    result = check(rider, forked)

    assert result.problems == []
    assert [each.execution for each in result.statements] == [view["id"], sibling, sibling]


def test_an_answer_within_a_cell_is_recorded(rider: Rider) -> None:
    execution = rider.start("%%step ask\nprint(flow.pause('1h', title='Now?'))", "1")
    answered = Thread(target=answer_when_paused, args=(rider, execution))
    answered.start()
    rider.ride(execution)
    answered.join()
    result = check(rider)

    assert result.problems == []
    assert decision(result)["action"] == "resume"


def answer_when_paused(rider: Rider, execution: str) -> None:
    wait_until(lambda: rider.queue.view(execution)["state"] == "paused", "it pauses")
    assert rider.queue.resume(execution, by="user:ann", data={"a": 1}).status == 200


def test_a_retry_goes_on_with_the_records_and_ends_with_another(rider: Rider) -> None:
    view = rider.run(ASK, "%%step fragile\nimport os\nassert os.path.exists('fixed')", "1")
    failed = rider.answer(view["id"])
    first = check(rider)
    (rider.folder / "fixed").touch()
    rider.retry(view["id"])
    retried = rider.ride(view["id"])
    result = check(rider)

    assert (failed["state"], retried["state"]) == ("failed", "completed")
    assert (first.problems, result.problems) == ([], [])
    assert [each.facts.get("state") for each in result.statements] == [None, "failed", "completed"]


def test_a_nested_execution_has_its_own_records(rider: Rider) -> None:
    rider.notebook(ASK, "1", name="child.ipynb")
    view = rider.run("%%step parent\nflow.run_notebook('child.ipynb')", "%%step last\nflow.suspend()", "1")
    child = next(each["execution"] for each in view["suspended"] if each["step"] == "ask")
    rider.queue.resume(view["id"], step="child.ask", by="user:ann")
    rider.ride(child, until_pause=False)
    rider.ride(view["id"])
    rider.answer(view["id"])
    result = check(rider)
    nested = check(rider, json.loads(rider.queue.document(child)))

    assert (result.problems, nested.problems) == ([], [])
    assert {each.execution for each in result.statements} == {view["id"]}
    assert {each.execution for each in nested.statements} == {child}
    assert decision(nested)["by"] == "user:ann"


def test_an_answer_that_the_clock_gave_is_recorded_as_the_clocks(rider: Rider) -> None:
    view = rider.run(
        "%%step ask\nflow.suspend('1h', on_timeout='resume', default={'ok': True});", "print(steps.ask.data)"
    )
    rider.let_time_pass(view, 2)
    Clock(rider.queue).sweep()
    ended = rider.ride(view["id"])
    result = check(rider)

    assert (ended["state"], result.problems) == ("completed", [])
    assert (decision(result)["by"], decision(result)["answer"]) == ("clock", {"ok": True})


def test_what_was_changed_among_several_approvals_is_named(rider: Rider) -> None:
    view = rider.run(WORK, "%%step ask\nflow.suspend(approvals=2);", "1")
    rider.queue.resume(view["id"], by="user:ann", data={"comment": "fine"})
    rider.queue.resume(view["id"], by="user:bob")
    rider.ride(view["id"])
    forged = read(rider)
    (card,) = [
        each for cell in forged["cells"] for each in cell["outputs"] if each.get("metadata", {}).get("pauseflow")
    ]
    card["metadata"]["pauseflow"]["decision"]["approvals"][0]["comment"] = "not fine"
    without = read(rider)
    del without["metadata"]["pauseflow"]["decisions"][0]

    assert "step ask: the list of approvals was changed" in check(rider, forged).problems
    assert "removed: record 1" in check(rider, without).problems


def test_the_end_that_was_cut_out_is_named_without_the_store(rider: Rider) -> None:
    view = rider.run(WORK, ASK, "print('published')")
    rider.answer(view["id"])
    notebook = read(rider)
    del notebook["metadata"]["pauseflow"]["decisions"][-1]
    notebook["cells"][-1]["outputs"] = []

    assert any("record of the end" in problem for problem in check(rider, notebook).problems)


def test_outputs_that_a_tool_strips_are_named_cell_by_cell(rider: Rider) -> None:
    view = rider.run(WORK, ASK, "print('published')")
    rider.answer(view["id"])
    stripped = read(rider)
    for cell in stripped["cells"]:
        cell |= {"outputs": [], "execution_count": None}
    problems = check(rider, stripped).problems

    assert any(each.startswith("cell 2 (") and "2 outputs were removed" in each for each in problems), problems
    assert any("the question and its decision (record 1) were removed" in each for each in problems), problems


def test_the_view_and_the_audit_trail_name_the_records(rider: Rider) -> None:
    ask = "%%step ask\nflow.suspend(title='Publish?', approvals=2, schema={'type': 'object', 'properties': {'pin': {'type': 'string', 'format': 'password', 'writeOnly': True}}});"
    view = rider.run(WORK, ask, "1")
    link = view["suspended"][0]["approval_url"]
    rider.queue.resume(view["id"], by="user:bob", data={"pin": "s3cret"})
    rider.answer(view["id"], {"pin": "s3cret"})
    found = rider.queue.view(view["id"])["decisions"]
    lines = [each for each in rider.queue.audit(view["id"]) if "record" in each["details"]]
    text = json.dumps(
        [found, lines, [base64.b64decode(each["payload"]).decode() for each in rider.queue.decisions(view["id"])]]
    )

    assert [(each["number"], each["kind"]) for each in found] == [(1, "decision"), (2, "decision"), (3, "end")]
    assert found[0]["approval"]["by"] == "user:bob"
    assert found[1]["question"]["title"] == "Publish?"
    assert found[1]["rules"] == {"approvals": 2, "approvers": None, "self_approval": True}
    assert found[0]["asked"] == found[1]["asked"] < found[0]["approval"]["at"] <= found[1]["decision"]["at"]
    assert [each["what"] for each in lines] == ["approved", "settled"]
    assert [each["details"]["digest"] for each in lines] == [each["digest"] for each in found[:2]]
    assert "s3cret" not in text
    assert link.rpartition("/")[2] not in text


def test_a_cancel_from_outside_names_its_record_in_the_audit_trail(rider: Rider) -> None:
    view = rider.run(ASK, "1")
    rider.queue.cancel(view["id"], by="user:bob")
    finish_notebook(rider.queue, view["id"])

    lines = [
        (each["what"], each["details"]["record"])
        for each in rider.queue.audit(view["id"])
        if "record" in each["details"]
    ]
    assert lines == [("cancelled", 1)]


def test_the_decision_on_a_rerun_stays_when_the_next_run_is_cancelled(rider: Rider) -> None:
    view = rider.run("%%step poll\nflow.rerun('1h', max_retries=5)")
    view = rider.answer(view["id"])
    rider.queue.cancel(view["id"], by="user:ann")
    with transaction(rider.queue.engine) as connection:
        connection.execute(executions.update().values(record_due=0.0))
    finish_notebook(rider.queue, view["id"])
    keys: list[Any] = [load_pem_public_key(rider.queue.public_key(1).encode())]

    assert verify(rider.output(), keys, recorded=rider.queue.decisions(view["id"])).problems == []
