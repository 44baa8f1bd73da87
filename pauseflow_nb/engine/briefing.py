"""Build the briefing of a kernel from the rows of its execution and segment."""

from collections.abc import Iterable
from dataclasses import replace

from pauseflow_nb.cells import Header, find_steps, runs_again
from pauseflow_nb.json_values import JSON
from pauseflow_nb.links import Claim
from pauseflow_nb.protocol import Briefing, SnapshotRef, StepBriefing, Wake
from pauseflow_nb.runner.document import Document
from pauseflow_nb.store.database import format_time
from pauseflow_nb.store.executions import Row
from pauseflow_nb.store.views import LinksOf

#: How many suspensions of one step in a segment have links.
_MOST_ORDINALS = 20


def make_briefing(
    execution: Row,
    segment: Row,
    begun: dict[str, StepBriefing],
    document: Document,
    *,
    start: Row | None,
    snapshots: str,
    links: LinksOf,
    is_checked: bool = False,
    may_defer: bool = False,
    unkept: str | None = None,
    secrets: Iterable[str] = (),
) -> Briefing:
    """Build the briefing of one attempt.

    Args:
        execution: The execution's row.
        segment: The segment's row as this attempt claimed it.
        begun: The briefing of each step that has begun, without links.
        document: The current notebook.
        start: What started the execution; None if no trigger did.
        snapshots: Where the kernel saves snapshots.
        links: Makes the links of one suspension.
        is_checked: Whether snapshots are verified completely before they are used.
        may_defer: Whether large data of an object store may be fetched while cells run.
        unkept: Why a pause may not keep the kernel alive; None if it may.
        secrets: Names of the secrets that cells may use.
    """
    sources = {index: cell.source for index, cell in enumerate(document.cells) if cell.cell_type == "code"}
    headers = find_steps(sources.items())
    first = segment.first_cell
    is_untouched = first == segment.start_cell
    return Briefing(
        execution=execution.id,
        notebook=execution.notebook,
        started_at=format_time(execution.started_at) or "",
        segment=segment.n,
        snapshots=snapshots,
        is_checked=is_checked,
        may_defer=may_defer,
        inputs=execution.parameters,
        trigger=_trigger(execution, start),
        execution_count=document.execution_count(before=first),
        first_cell=first,
        snapshot=None if segment.snapshot is None else SnapshotRef(segment.snapshot, segment.digest),
        steps=_steps(execution, segment.n, begun, headers, links),
        # After a step has finished, the wake of the segment has been used.
        wake=Wake.from_dict(segment.wake) if segment.wake is not None and is_untouched else None,
        # Earlier cells that run again first need their variables, too.
        coming={str(i): source for i, source in sources.items() if i >= first or runs_again(headers.get(i))},
        passed={str(index): source for index, source in sources.items() if index < first and index not in headers},
        strict=bool(execution.options.get("strict", False)),
        may_keep=unkept is None,
        unkept=unkept or "",
        checkpoint=str(execution.options.get("checkpoint", "step")),
        force=bool(execution.options.get("force", False)),
        secrets=list(secrets),
        goes_without=is_untouched and execution.options.get("goes_without") == segment.n,
    )


def _trigger(execution: Row, start: Row | None) -> dict[str, JSON]:
    """Describe what started an execution; without `event` it is the parameters."""
    context: dict[str, JSON] = {
        "id": execution.id,
        "ts": format_time(execution.created_at),
        "kind": start.kind if start is not None else "run" if execution.parent is None else "notebook",
        "notebook": execution.notebook,
        "trigger": None if start is None else start.trigger,
        "test": False,
    }
    return {"context": context} if start is None else {"context": context, "event": start.event}


def _steps(
    execution: Row, segment: int, begun: dict[str, StepBriefing], headers: dict[int, Header], links: LinksOf
) -> dict[str, StepBriefing]:
    briefings = dict(begun)
    for header in headers.values():
        if header.kind == "step":
            # A retry within the step asks again, with new links.
            ordinals = range(min(1 + header.options.retries, _MOST_ORDINALS))
            claims = [Claim(execution.id, segment, header.name, o, "", execution.revocations) for o in ordinals]
            made = [links(claim) for claim in claims]
            briefings[header.name] = replace(begun.get(header.name, StepBriefing()), links=made)
    return briefings
