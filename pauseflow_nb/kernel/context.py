"""Build `flow.context`, and `flow.inputs` for cells that are run by hand."""

from collections.abc import Mapping
from typing import Any

from pauseflow_nb.json_values import JSON
from pauseflow_nb.kernel.attribute_dict import Record, as_records
from pauseflow_nb.kernel.step_run import StepRun


def build_context(run: StepRun, *, execution: str, notebook: str | None, started_at: str, is_test: bool) -> Record:
    """Build what `flow.context` shows during a run.

    `run.callback_request` is absent, not None, unless a request caused this run; so is `run.sent_back`, unless the
    step was sent back. A step that was sent back has no answer yet, so it never has both.
    """
    wake = run.wake
    facts: dict[str, JSON] = {
        "runs": run.number,
        "context": wake.context if wake is not None else None,
        "suspend_data": wake.suspend_data if wake is not None else None,
        "attempt": run.attempt,
        "idempotency_key": f"{execution}/{run.step}/{run.number}",
    }
    if wake is not None and wake.callback is not None:
        facts["callback_request"] = wake.callback
    if wake is not None and wake.sent_back is not None:
        facts["sent_back"] = wake.sent_back
    context = {
        "id": execution,
        "notebook": notebook,
        "started_at": started_at,
        "test": is_test,
        "step": run.step,
        "run": facts,
    }
    record: Record = as_records(context)
    return record


def trigger_by_hand(event: Any, *, notebook: str | None, started_at: str) -> Record:
    """Build what `steps.trigger` shows when cells are run by hand."""
    context = {"id": "test", "ts": started_at, "kind": "test", "notebook": notebook, "trigger": None, "test": True}
    return Record(event=event, context=Record(context))


class InputsByHand(Record):
    """The parameters, when cells are run by hand: the notebook's own variables, as its parameters cell set them."""

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        super().__init__()
        # An attribute and not an item: there is nothing to list.
        object.__setattr__(self, "_namespace", namespace)

    def __missing__(self, name: str) -> Any:
        namespace: Mapping[str, Any] = object.__getattribute__(self, "_namespace")
        return namespace[name]
