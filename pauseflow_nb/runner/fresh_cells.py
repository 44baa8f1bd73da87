"""Run the fresh cells again after an answer, and compare their values with those that were shown.

The value that counts as shown is stored in the metadata of its cell, and so moves with the notebook.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from nbformat import NotebookNode

from pauseflow_nb.cells import Header
from pauseflow_nb.decisions.digests import digest_json
from pauseflow_nb.freshness import compare, summarize
from pauseflow_nb.json_values import JSON
from pauseflow_nb.protocol import SOURCE, Briefing, Failure, FreshValue, Outcome
from pauseflow_nb.runner import cell_statuses, notices
from pauseflow_nb.runner.card_text import render_checks_html, render_checks_text
from pauseflow_nb.runner.client import KernelClient, Reply, Tick
from pauseflow_nb.runner.document import Document
from pauseflow_nb.runner.kernel_messages import read_outcome, read_value, suspend_kernel
from pauseflow_nb.runner.record_outputs import facts_of, kind_of, record

#: How many of a cell's last checks are shown.
_MOST_CHECKS = 20
_LONGEST_ERROR = 200


@dataclass(frozen=True)
class Check:
    """A fresh cell that ran again."""

    cell: int
    header: Header
    value: FreshValue
    #: The result, for people and programs: `{"name", "cell", "at", "old", "new", "is_drift", "reason", "rows", …}`.
    facts: dict[str, Any]

    @property
    def is_drift(self) -> bool:
        """Whether the value differs from the one that was shown."""
        return bool(self.facts["is_drift"])


def take_value(document: Document, index: int, header: Header, reply: Reply) -> Reply:
    """Store the value that a fresh cell has just shown in the cell; return the reply without it."""
    value = read_value(reply) or _describe_error(header.name, reply)
    _keep(document, index, _masked(document, value))
    return replace(reply, payload=[each for each in reply.payload if each.get("source") != SOURCE])


def check_again(
    document: Document,
    briefing: Briefing,
    headers: Mapping[int, Header],
    client: KernelClient,
    wait: Callable[[KernelClient, str], Reply],
) -> list[Check]:
    """Run the fresh cells above again, in order, if an answer has woken the segment.

    Args:
        document: The notebook.
        briefing: The briefing of the segment.
        headers: Headers of the notebook's cells.
        client: The connection to the kernel.
        wait: Waits for the reply to a request, as long as a cell may run.
    """
    wake = briefing.wake
    if wake is None or wake.is_checked or not wake.is_answer:
        return []

    def run(source: str) -> Reply:
        return wait(client, client.send(source, store_history=False))

    passed = [index for index, header in headers.items() if header.kind == "fresh" and index < briefing.first_cell]
    return [
        _check(document, index, headers[index], shown, run(document.cells[index].source))
        for index in passed
        if (shown := _shown(document.cells[index])) is not None
    ]


def _check(document: Document, index: int, header: Header, shown: FreshValue, reply: Reply) -> Check:
    value = _masked(document, read_value(reply) or _describe_error(header.name, reply))
    facts: dict[str, Any] = {
        "name": header.name,
        "cell": index,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "tolerance": header.fresh.tolerance,
        "on_drift": header.fresh.on_drift,
        "old": summarize(shown),
        "new": summarize(value),
        "old_digest": _digest(shown),
        "new_digest": _digest(value),
        **asdict(compare(shown, value, header.fresh)),
    }
    return Check(index, header, value, facts)


def find_verdict(checks: Iterable[Check]) -> str:
    """Return the strictest consequence of the checks: `"fail"`, `"ask"` or `"go"`."""
    on_drift = {check.header.fresh.on_drift for check in checks if check.is_drift}
    return next((each for each in ("fail", "ask") if each in on_drift), "go")


def fail(document: Document, first: int, checks: Iterable[Check]) -> Failure:
    """Complete the document of an execution that a drift ends, above its next cell; return the failure."""
    check = next(check for check in checks if check.is_drift and check.header.fresh.on_drift == "fail")
    message = f"{check.header.name} has changed since it was shown: {check.facts['reason']}"
    notices.write_ending(document, first, f"Failed: {message}.")
    cell_statuses.close(document)
    return Failure("Drift", message, check.cell)


def list_errors(drifts: Iterable[Mapping[str, JSON]]) -> list[dict[str, JSON]]:
    """Describe as errors why an answer does not count."""
    return [{"path": [], "message": f"{check['name']} has changed since it was shown"} for check in drifts]


def save_variables(client: KernelClient, briefing: Briefing, document: Document, tick: Tick) -> Outcome | None:
    """Save the variables after the checks, so that another attempt does not repeat them; None if that fails."""
    if briefing.checkpoint != "step" or briefing.snapshot is None:
        return None
    outcome = read_outcome(suspend_kernel(client, briefing.first_cell, tick), document)
    return None if outcome is None or outcome.snapshot is None else replace(outcome, kind="finished")


def show_checks(document: Document, checks: list[Check], *, counts_as_shown: bool) -> None:
    """Write the checks into the outputs of the fresh cells.

    Args:
        document: The notebook.
        checks: The checks.
        counts_as_shown: Whether later values are compared with these.
    """
    for check in checks:
        outputs = document.cells[check.cell].outputs
        earlier = [each for output in outputs if kind_of(output) == "fresh" for each in facts_of(output)["checks"]]
        found = [*earlier, check.facts][-_MOST_CHECKS:]
        outputs[:] = [output for output in outputs if kind_of(output) != "fresh"]
        outputs.append(record("fresh", render_checks_html(found), render_checks_text(found), checks=found))
        # An error is not a value: the next value is compared with the last one before it.
        if counts_as_shown and not check.value.is_error:
            _keep(document, check.cell, check.value)
        document.changed(check.cell)


def list_shown(document: Document, before: int) -> list[dict[str, JSON]]:
    """List the values of the fresh cells above a cell, for a decision record."""
    cells = [(index, _shown(cell)) for index, cell in enumerate(document.cells[:before])]
    return [
        {"name": value.name, "cell": index, "value": summarize(value), "digest": _digest(value)}
        for index, value in cells
        if value is not None
    ]


def _shown(cell: NotebookNode) -> FreshValue | None:
    text = (cell.metadata.get("pauseflow") or {}).get("fresh")
    return None if text is None else FreshValue.from_json(text)


def _keep(document: Document, index: int, value: FreshValue) -> None:
    # As text: thousands of parts would become thousands of lines of the notebook.
    document.cells[index].metadata.setdefault("pauseflow", NotebookNode())["fresh"] = value.to_json()
    document.changed(index)


def _masked(document: Document, value: FreshValue) -> FreshValue:
    parts: Any = document.masked([list(part) for part in value.parts])
    return replace(value, parts=parts, shape=str(document.masked(value.shape)))


def _digest(value: FreshValue) -> str:
    return digest_json([value.shape, value.parts, value.digest])


def _describe_error(name: str, reply: Reply) -> FreshValue:
    text = f"{reply.ename}: {reply.evalue}"[:_LONGEST_ERROR].strip() if reply.ename else "it ended without a value"
    return FreshValue(name, "error", [["", f"t{text}"]], is_error=True)
