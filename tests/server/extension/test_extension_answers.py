"""Signed-in answers over REST: the same rules as for every way to answer, with the name that the login gives."""

from json import loads
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from server.conftest import Stage
    from server.extension.conftest import Fetch

API = "pauseflow/api/executions"


def resume(fetch: "Fetch", execution: str, data: Any = None) -> tuple[int, dict[str, Any]]:
    answer = fetch(f"{API}/{execution}/resume", json={"data": data})
    return answer.code, loads(answer.body)


def name(fetch: "Fetch", stage: "Stage") -> str:
    """The name that the audit trail has for whoever is signed in."""
    execution = stage.suspended()
    resume(fetch, execution)
    return str(stage.resume_data(execution)["by"]).removeprefix("user:")


def test_data_that_does_not_fit_is_422_and_it_goes_on_waiting(fetch: "Fetch", stage: "Stage") -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    execution = stage.suspended(schema=schema)

    status, body = resume(fetch, execution, {"n": "many"})

    assert (status, body["state"]) == (422, "suspended")
    assert body["errors"] == [{"path": ["n"], "message": "must be a whole number"}]
    assert loads(fetch(f"{API}/{execution}").body)["suspended"][0]["schema"] == schema
    assert resume(fetch, execution, {"n": 3})[0] == 200


def test_an_approval_is_counted_with_name_time_and_comment(fetch: "Fetch", stage: "Stage") -> None:
    mine = name(fetch, stage)
    execution = stage.suspended(approvals=2)

    assert resume(fetch, execution, {"comment": "looks good"})[0] == 202
    again, body = resume(fetch, execution)

    assert (again, body["already"]) == (200, True)
    assert "your request changed nothing, and its data and comment were not kept" in body["note"]
    approvals = loads(fetch(f"{API}/{execution}").body)["suspended"][0]["approvals"]
    assert approvals["needed"] == 2
    assert [(each["by"], each["comment"]) for each in approvals["given"]] == [(f"user:{mine}", "looks good")]
    assert approvals["given"][0]["at"].endswith("Z")


def test_only_approvers_may_answer(fetch: "Fetch", stage: "Stage") -> None:
    mine = name(fetch, stage)
    others, ours = stage.suspended(approvers=["somebody-else"]), stage.suspended(approvers=[mine])

    status, body = resume(fetch, others)
    assert (status, body["error"]) == (403, f"{mine} may not answer, only somebody-else")
    assert resume(fetch, ours)[0] == 200


def test_the_person_who_started_it_may_not_approve_it(fetch: "Fetch", stage: "Stage") -> None:
    mine = name(fetch, stage)
    execution = stage.begun(created_by=f"user:{mine}")
    stage.suspend(execution, self_approval=False)

    assert resume(fetch, execution)[0] == 403
    assert stage.queue.resume(execution, by="user:somebody-else").status == 200


def test_a_question_is_sent_back_under_the_name_that_the_login_gives(fetch: "Fetch", stage: "Stage") -> None:
    mine = name(fetch, stage)
    execution = stage.suspended(allow=["resume", "send_back", "cancel"])
    (suspension,) = loads(fetch(f"{API}/{execution}").body)["suspended"]
    assert suspension["refusals"] == {"resume": None, "send_back": None, "cancel": None}

    stale = fetch(f"{API}/{execution}/send_back", json={"comment": "no", "shown": "0" * 64})
    answer = fetch(f"{API}/{execution}/send_back", json={"step": "approve", "comment": "Round the totals"})

    assert stale.code == 409
    assert (answer.code, loads(answer.body)["action"]) == (200, "send_back")
    (settled,) = [each for each in stage.queue.audit(execution) if each["what"] == "settled"]
    assert (settled["by"], settled["details"]["comment"]) == (f"user:{mine}", "Round the totals")


def test_a_question_that_does_not_allow_it_is_not_sent_back_over_rest(fetch: "Fetch", stage: "Stage") -> None:
    execution = stage.suspended()
    (suspension,) = loads(fetch(f"{API}/{execution}").body)["suspended"]

    assert set(suspension["refusals"]) == {"resume", "cancel"}
    assert fetch(f"{API}/{execution}/send_back", json={}).code == 403
    assert fetch(f"{API}/{execution}/send_back", json={"comment": 3}).code == 400
    assert stage.queue.state(execution) == "suspended"


def test_the_records_of_decisions_are_read_over_rest(fetch: "Fetch", stage: "Stage") -> None:
    execution = stage.suspended()
    assert resume(fetch, execution, {"comment": "fine"})[0] == 200
    (record,) = loads(fetch(f"{API}/{execution}").body)["decisions"]
    (envelope,) = loads(fetch(f"{API}/{execution}/decisions").body)["decisions"]

    assert (record["number"], record["decision"]["comment"], record["seen"]) == (1, "fine", False)
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
