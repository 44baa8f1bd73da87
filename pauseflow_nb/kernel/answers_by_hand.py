"""Describe answers to cells that are run by hand: how to give one, what it is called, and its `$resume_data`."""

from datetime import UTC, datetime

from pauseflow_nb.actions import name_decision
from pauseflow_nb.json_values import JSON, NOTHING
from pauseflow_nb.kernel.issued_links import links_for_test
from pauseflow_nb.kernel.step_run import PlannedSuspension, StepRun
from pauseflow_nb.protocol import SuspensionRequest


def describe_answers(run: StepRun, plan: PlannedSuspension) -> str:
    """Say which magics answer a step that waits."""
    back = " `%pauseflow send_back COMMENT` runs it again." if "send_back" in plan.request.allow else ""
    by_clock = "" if plan.request.kind == "suspend" else " `%pauseflow skip` lets its time pass."
    return f"`%pauseflow approve [JSON]` answers step '{run.step}' here.{back}{by_clock}"


def name_answer(request: SuspensionRequest, action: str) -> str:
    """Say in a few words what the user did: one of `ACTIONS`."""
    has_schema = request.schema is not None
    return f"{name_decision(request.kind, action, has_schema=has_schema, own=request.labels)} by you"


def make_envelope(step: str, body: JSON) -> dict[str, JSON]:
    """Make `$resume_data` of an answer by a button or a magic; a body that is `NOTHING` holds none."""
    url = links_for_test(step)["resume_url"]
    return {
        "method": "POST",
        "path": f"/pauseflow/resume/{step}",
        "query": {},
        "headers": {},
        "body": None if body is NOTHING else body,
        "body_raw": "null" if body is None else "",
        "client_ip": "",
        "url": url,
        "received_at": datetime.now(UTC).isoformat(),
        "by": "user",
        "known_by": "account",
    }


def make_clock_envelope(body: JSON) -> dict[str, JSON]:
    """Make `$resume_data` of a question that nobody answered in time."""
    missing: dict[str, JSON] = dict.fromkeys(("method", "path", "body_raw", "client_ip", "url"))
    received_at = datetime.now(UTC).isoformat()
    return {**missing, "query": {}, "headers": {}, "body": body, "received_at": received_at, "by": "clock"}
