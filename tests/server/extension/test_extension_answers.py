"""Signed-in answers over REST: the same rules as at every door, with the name that the login gives."""

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
    told = loads(fetch(f"{API}/{execution}").body)["suspended"][0]["approvals"]
    assert told["needed"] == 2
    assert [(each["by"], each["comment"]) for each in told["given"]] == [(f"user:{mine}", "looks good")]
    assert told["given"][0]["at"].endswith("Z")


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
