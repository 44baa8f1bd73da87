"""Describe answers to cells that are run by hand: how to give them, their names, and their `$resume_data`."""

from datetime import UTC, datetime

from pauseflow_nb.actions import name_decision
from pauseflow_nb.json_values import JSON, NOTHING
from pauseflow_nb.kernel.issued_links import links_for_test
from pauseflow_nb.kernel.step_run import PlannedSuspension, StepRun
from pauseflow_nb.protocol import SuspensionRequest


def describe_answers(run: StepRun, plan: PlannedSuspension) -> str:
    """List the magics that answer a step that waits."""
    back = " `%pauseflow send_back COMMENT` runs it again." if "send_back" in plan.request.allow else ""
    by_clock = "" if plan.request.kind == "suspend" else " `%pauseflow skip` lets its time pass."
    return f"`%pauseflow approve [JSON]` answers step '{run.step}' here.{back}{by_clock}"


def name_answer(request: SuspensionRequest, action: str) -> str:
    """Describe an action of the user in a few words."""
    has_schema = request.schema is not None
    return f"{name_decision(request.kind, action, has_schema=has_schema, own=request.labels)} by you"


def make_envelope(step: str, body: JSON) -> dict[str, JSON]:
    """Make the `$resume_data` of an answer by a button or a magic; without a body if it is `NOTHING`."""
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
    """Make the `$resume_data` of a question that nobody answered in time."""
    missing: dict[str, JSON] = dict.fromkeys(("method", "path", "body_raw", "client_ip", "url"))
    received_at = datetime.now(UTC).isoformat()
    return {**missing, "query": {}, "headers": {}, "body": body, "received_at": received_at, "by": "clock"}
