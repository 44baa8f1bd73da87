"""A question that is sent back runs its step again, with the comment; only where its author allows that."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from roads.rider import Rider

from pauseflow_nb.decisions.verification import verify
from pauseflow_nb.engine.authorization import Callback
from pauseflow_nb.engine.settling import Response

DRAFT = """%%step draft
back = flow.context.run.get("sent_back")
print("draft", flow.context.run.runs, None if back is None else back["comment"], flow.data)
flow.suspend("1h", title="Publish?", allow=["resume", "cancel", "send_back"]);"""
AFTER = "print('published', steps.draft.data, base)"


def send_back(
    rider: Rider, view: dict[str, Any], comment: str | None = None, by: str = "user:ann", **more: Any
) -> Response:
    return rider.queue.send_back(view["id"], comment=comment, by=by, **more)


def text(rider: Rider) -> str:
    return json.dumps([cell.get("outputs") for cell in rider.output().cells])


def test_a_step_that_is_sent_back_runs_again_with_the_comment_and_its_variables(rider: Rider) -> None:
    view = rider.run("base = 40", DRAFT.replace("flow.suspend", "base += 1; flow.suspend"), AFTER)
    sent = send_back(rider, view, "Round the totals")
    again = rider.ride(view["id"])
    ended = rider.answer(view["id"], {"ok": True})

    assert (sent.status, sent.body["action"]) == (200, "send_back")
    assert (again["state"], again["steps"]["draft"]["runs"]) == ("suspended", 2)
    assert ended["state"] == "completed"
    assert "draft 2 Round the totals None" in text(rider), "no answer was given yet"
    assert "published {'ok': True} 42" in text(rider)


def test_the_notebook_and_the_records_say_who_sent_back_and_why(rider: Rider) -> None:
    view = rider.run(DRAFT, "1")
    shown = view["suspended"][0]["shown"]
    send_back(rider, view, "Round the totals", seen=shown)
    rider.ride(view["id"])
    rider.answer(view["id"])
    keys = [load_pem_public_key(rider.queue.public_key(key["id"]).encode()) for key in rider.queue.list_keys()]
    result = verify(json.loads((rider.folder / "out.ipynb").read_text()), keys)  # type: ignore[arg-type]

    assert result.problems == []
    first: Any = result.statements[0].facts
    assert (first["decision"]["action"], first["decision"]["by"], first["seen"]) == ("send_back", "user:ann", True)
    assert first["decision"]["comment"] == "Round the totals"
    assert "Sent back by ann" in text(rider)
    assert "Round the totals" in text(rider)
    (settled,) = [each for each in rider.queue.audit(view["id"]) if each["details"].get("action") == "send_back"]
    assert (settled["what"], settled["by"], settled["details"]["comment"]) == (
        "settled",
        "user:ann",
        "Round the totals",
    )


def test_what_the_author_does_not_allow_is_refused_and_goes_on_waiting(rider: Rider) -> None:
    view = rider.run("%%step ask\nflow.suspend()", "1")
    refused = send_back(rider, view)

    assert (refused.status, refused.body["state"]) == (403, "suspended")
    assert "sent back" in str(refused.body["error"])
    (suspension,) = view["suspended"]
    assert suspension["allow"] == ["resume", "cancel"]
    assert suspension["send_back_url"] is None
    assert "send_back" not in suspension["labels"]


def test_a_question_may_take_no_cancel(rider: Rider) -> None:
    view = rider.run("%%step ask\nlinks = flow.suspend(allow=['resume', 'send_back'])\nprint(sorted(links))", "1")
    claim = rider.queue.read_link(view["suspended"][0]["approval_url"].rpartition("/")[2], "approve")
    cancelled = rider.queue.settle(claim, Callback("cancel", None, "link"))

    assert cancelled.status == 403
    assert view["suspended"][0]["cancel_url"] is None
    assert "['approval_url', 'resume_url', 'send_back_url']" in text(rider)


def test_one_of_several_people_may_send_back_and_the_approvals_begin_anew(rider: Rider) -> None:
    view = rider.run(DRAFT.replace("allow=", "approvals=2, approvers=['ann', 'bob', 'eve'], allow="), "1")
    assert rider.queue.resume(view["id"], by="user:ann").status == 202
    assert send_back(rider, view, by="user:mallory").status == 403
    assert send_back(rider, view, by="link").status == 403
    assert send_back(rider, view, "no", by="user:bob").status == 200
    again = rider.ride(view["id"])

    assert again["suspended"][0]["approvals"]["given"] == []
    assert rider.queue.resume(view["id"], by="user:ann").status == 202


def test_who_started_it_may_send_it_back_though_not_approve_it(rider: Rider) -> None:
    view = rider.run(DRAFT.replace("allow=", "self_approval=False, allow="), "1")
    starter = rider.queue.view(view["id"])["created_by"]

    assert rider.queue.resume(view["id"], by=starter).status == 403
    assert send_back(rider, view, by=starter).status == 200


def test_sending_back_takes_no_answer_even_where_one_has_a_form(rider: Rider) -> None:
    step = """%%step draft
print("run", flow.context.run.runs, "data", flow.data, "answered", "callback_request" in flow.context.run)
if flow.data is None:
    flow.suspend(schema=int, then="rerun", allow=("resume", "send_back", "cancel"));"""
    view = rider.run(step, "print('final', steps.draft.data)")
    send_back(rider, view, "too low")
    again = rider.ride(view["id"])
    asked_again = text(rider)
    ended = rider.answer(view["id"], {"value": 7})

    assert (again["state"], ended["state"]) == ("suspended", "completed")
    assert "run 2 data None answered False" in asked_again
    assert "final 7" in text(rider)


def test_the_next_answer_is_judged_alone_and_old_links_are_spent(rider: Rider) -> None:
    view = rider.run(DRAFT, "1")
    old = {
        name: rider.queue.read_link(view["suspended"][0][f"{name}_url"].rpartition("/")[2], name)
        for name in ("resume", "send_back")
    }
    assert rider.queue.settle(old["send_back"], Callback("send_back", None, "link")).status == 200
    again = rider.queue.settle(old["send_back"], Callback("send_back", None, "link"))
    late = rider.queue.settle(old["resume"], Callback("resume", None, "link"))
    rider.ride(view["id"])

    assert (again.status, again.body["already"]) == (200, True)
    assert late.status == 409
    assert rider.queue.settle(old["resume"], Callback("resume", None, "link")).status == 409


def test_a_step_that_is_sent_back_can_be_retried_and_forked(rider: Rider) -> None:
    step = DRAFT.replace(
        "flow.suspend",
        "assert flow.context.run.runs == 1 or flow.context.run.attempt > 1 or (back and back['comment'] == 'fork')\nflow.suspend",
    )
    view = rider.run("base = 1", step, AFTER)
    send_back(rider, view, "why")
    failed = rider.ride(view["id"])
    rider.retry(view["id"])
    retried = rider.ride(view["id"])
    sibling = rider.fork(view["id"])
    send_back(rider, {"id": sibling}, "fork")
    forked = rider.ride(sibling)

    assert failed["state"] == "failed"
    assert (retried["state"], forked["state"]) == ("suspended", "suspended")
    assert "draft 2 why None" in text(rider)


def test_a_variable_that_only_the_step_itself_needs_is_there_when_it_runs_again(rider: Rider) -> None:
    view = rider.run(
        "only = (n for n in range(3))\nnumber = 5",
        "%%step ask\nnumber += 1\nprint('number', number)\nflow.suspend(allow=['resume', 'send_back']);",
        "1",
    )
    send_back(rider, view)
    rider.ride(view["id"])

    assert "number 7" in text(rider)


def test_a_nested_question_can_be_sent_back(rider: Rider) -> None:
    rider.notebook(DRAFT, name="child.ipynb")
    view = rider.run("%%step parent\nflow.run_notebook('child.ipynb')", "1")
    children = view["suspended"]
    open_ = next(each for each in children if each["step"] == "draft")
    sent = rider.queue.send_back(view["id"], step=open_["address"], comment="again", by="user:ann")

    assert sent.status == 200
    assert rider.queue.view(open_["execution"])["state"] in ("queued", "running")


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("allow=['resum']", "must be a list of some of"),
        ("allow='resume'", "must be a list of some of"),
        ("allow=[]", "must be a list of some of"),
        ("allow=['cancel']", "must include 'resume'"),
        ("labels={'send_back': 'Rework'}", "name it in `allow`"),
        ("allow=['resume', 'send_back'], labels={'send_back': 'Approve'}", "two buttons"),
    ],
)
def test_a_wrong_allow_says_what_to_write(rider: Rider, argument: str, expected: str) -> None:
    view = rider.run(f"%%step ask\nflow.suspend({argument})")

    assert view["state"] == "failed"
    assert expected in view["error"]["message"]
