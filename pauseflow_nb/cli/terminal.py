"""Describe executions and suspensions for people at a terminal, and lay out tables."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pauseflow_nb import identity
from pauseflow_nb.actions import USUAL_ACTIONS, button_labels
from pauseflow_nb.durations import format_duration
from pauseflow_nb.forms.fields import Field, fields_of
from pauseflow_nb.forms.schema import join_errors
from pauseflow_nb.printable import printable, printable_lines
from pauseflow_nb.protocol import Unsaved

_LINKS = (
    ("approve", "approval_url"),
    ("resume", "resume_url"),
    ("send back", "send_back_url"),
    ("cancel", "cancel_url"),
)

_MINUTE = 60

#: What happens at the deadline, as the end of a sentence.
_BY_THE_CLOCK = {
    "cancel": "then it is cancelled",
    "resume": "then it continues",
    "fail": "then it fails",
}


def describe_waiting(suspension: Mapping[str, Any], *, now: datetime | None = None) -> str:
    """Describe what an open suspension waits for, its deadline, and its links.

    Args:
        suspension: One entry of an execution's `suspended`.
        now: The current time; None: by the clock.
    """
    step, kind = suspension["step"] or "the notebook", suspension["kind"]
    title = suspension.get("title") or {
        "suspend": "waits for an answer",
        "rerun": "will run again",
        "delay": "waits for the clock",
        "pause": "waits for an answer, with its kernel alive",
        "operator": "was suspended from outside",
        "notebook": f"waits for {', '.join(suspension.get('data') or {})}",
    }.get(kind, "waits")
    lines = [f"⏸ {printable(_describe_place(suspension) or step)}: {printable(title)}"]
    if suspension.get("message"):
        lines.append(f"    {printable_lines(suspension['message'], indent='    ')}")
    lines.append(f"  {_describe_deadline(suspension, now or datetime.now(UTC))}")
    described = (
        *_describe_drift(suspension),
        *_describe_approvals(suspension),
        *_describe_schema(suspension),
        *_describe_buttons(suspension),
    )
    lines += [f"  {printable(line)}" for line in described]
    for label, key in _LINKS:
        if suspension.get(key):
            lines.append(f"  {label:<8}{' ' * (len(label) > 7)}{printable(suspension[key])}")
    return "\n".join(lines)


def _describe_place(suspension: Mapping[str, Any]) -> str:
    path, address = suspension["path"], suspension.get("address")
    # If one step started two notebooks, only the address distinguishes them.
    named = f" (--step {address})" if len(path) > 1 and suspension["kind"] != "notebook" else ""
    return " → ".join(path) + named


def _describe_drift(suspension: Mapping[str, Any]) -> list[str]:
    """Say what has changed since an earlier answer; of a table or object, old and new of each value."""
    lines = []
    for check in suspension.get("drift") or ():
        lines.append(f"changed   {check['name']}: {check['reason']}")
        rows = [row for row in check["rows"] if row["changed"] and row["place"]]
        lines += [f"            {row['place']}: {row['old']} → {row['new']}" for row in rows]
        lines += [f"            and {check['more']} more"] if check["more"] else []
    return lines


def _describe_approvals(suspension: Mapping[str, Any]) -> list[str]:
    approvals = suspension.get("approvals") or {}
    lines = []
    if approvals.get("needed", 1) > 1:
        approvers = ", ".join(_describe_approval(each) for each in approvals["given"])
        lines.append(
            f"approvals: {len(approvals['given'])} of {approvals['needed']}" + (f" ({approvers})" if approvers else "")
        )
    if approvals.get("approvers"):
        lines.append(f"approvers: {', '.join(approvals['approvers'])}")
    if not approvals.get("self_approval", True):
        lines.append("the person who started it may not approve")
    return lines


def _describe_approval(approval: Mapping[str, Any]) -> str:
    comment = f": {approval['comment']}" if approval["comment"] else ""
    return f"{identity.describe_actor(approval['by'], approval)}{comment}"


def _describe_schema(suspension: Mapping[str, Any]) -> list[str]:
    lines = []
    if suspension.get("schema"):
        field = fields_of(suspension["schema"])
        named = [f"{name} ({_describe_field(each)})" for name, each in field.fields.items()] or [_describe_field(field)]
        lines.append(f"wants     {', '.join(named)}")
    if suspension.get("errors"):
        lines.append(f"refused   {join_errors(suspension['errors'])}")
    return lines


def _describe_buttons(suspension: Mapping[str, Any]) -> list[str]:
    """Name the answers, if the author chose them or their names."""
    labels, allow = suspension.get("labels"), suspension.get("allow") or USUAL_ACTIONS
    usual = button_labels(suspension["kind"], has_schema=suspension.get("schema") is not None)
    if not labels or (labels == usual and tuple(allow) == USUAL_ACTIONS):
        return []
    return [f"buttons   {' | '.join(labels[action] for action in allow)}"]


def _describe_field(field: Field) -> str:
    kind = " | ".join(str(each) for each in field.choices) if field.kind == "choice" else field.kind
    return kind if field.is_required else f"{kind}, optional"


def _describe_deadline(suspension: Mapping[str, Any], now: datetime) -> str:
    if suspension.get("deadline") is None:
        return "no deadline"
    deadline = datetime.fromisoformat(suspension["deadline"])
    left = format_duration(max(deadline - now, datetime.resolution))
    at = deadline.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z").strip()
    if suspension["kind"] in {"rerun", "delay"}:
        return f"until {at} (in {left}), or a link"
    return f"until {at} (in {left}), {_BY_THE_CLOCK.get(suspension.get('on_timeout', ''), 'then the clock decides')}"


def describe_unsaved(step: Mapping[str, Any]) -> list[str]:
    """List the variables that were not saved when a step ended, with the reasons."""
    unsaved = (Unsaved(**each) for each in step.get("unsaved", ()))
    return [printable(each) for each in unsaved if each.fate != "replayed"]


def describe_notes(step: Mapping[str, Any]) -> list[str]:
    """List what the kernel noted about the last run of a step, such as warnings; what else is shown is left out."""
    # These are shown as variables that were not saved, and as the reason why it keeps its kernel.
    unsaved = tuple(f"{each['name']} ({each['type_name']}), {each['reason']}" for each in step.get("unsaved", ()))
    notes = dict.fromkeys(step.get("notes", ()))
    return [printable(note) for note in notes if not note.endswith(unsaved) and not note.startswith("kernel-bound:")]


def describe_losses(execution: Mapping[str, Any]) -> list[str]:
    """List what kernels could not restore, with the reasons; what cells need comes first."""
    losses = sorted(execution.get("losses") or (), key=lambda loss: not loss["needed_by"])
    error = (execution.get("error") or {}).get("message", "")
    # If the execution failed because of a loss, its error names it.
    return [f"⚠ {loss['text']}" for loss in losses if loss["text"] not in error]


def describe_kernel_bound(execution: Mapping[str, Any], *, is_here: bool = False) -> list[str]:
    """Warn that an execution is kernel-bound, with the variables; empty if it is not.

    Args:
        execution: As `Queue.view` shows it.
        is_here: Whether this command keeps the kernel.
    """
    names = printable(", ".join(execution.get("kernel_bound") or ()))
    if not names:
        return []
    return [
        f"⚠ kernel-bound: it keeps its kernel, because later cells need {names}, which cannot be saved",
        "  it waits in this command only: Ctrl-C ends that kernel, and then it fails (kernel-lost)"
        if is_here
        else "  if that kernel ends, or the worker or command that keeps it, it fails (kernel-lost)",
    ]


def describe_record(record: Mapping[str, Any], *, says_unseen: bool = False) -> str:
    """Describe a decision record in a line.

    Args:
        record: The record, as `Queue.view` shows it.
        says_unseen: Whether to say that it is not recorded whether the person saw what was shown, as an audit needs it.
    """
    if record.get("problem"):
        return f"record: {printable(record['problem'])}"
    decision = record.get("decision") or record.get("approval")
    if not decision and not record.get("suspension"):
        return f"record {record['number']}: the end of the execution, {printable(record.get('state'))}"
    step = f"step {record['suspension']['step']}" if record["suspension"]["step"] else "the notebook"
    if record.get("withdrawn"):
        return printable(
            f"record {record['number']}: {step}: does not count any more, for the execution went back before it"
        )
    if not decision:
        changed = _describe_checks((record.get("question") or {}).get("drift"))
        return printable(f"record {record['number']}: {step}: asked again. {changed}")
    if record.get("checks"):
        found = _describe_checks(record["checks"])
        return printable(f"record {record['number']}: {step}: checked when the answer took effect. {found}")
    who = " Anyone who had the link could send this." if decision.get("known_by") == "link" else ""
    seen = (
        ""
        if not says_unseen or record.get("seen") or decision["by"] == "clock"
        else " Whether this person saw what was shown is not recorded."
    )
    return printable(f"record {record['number']}: {step}: {decision['sentence']}{who}{seen}")


def _describe_checks(checks: Iterable[Mapping[str, Any]] | None) -> str:
    return " ".join(f"{check['name']}: {check['reason']}." for check in checks or ())


def describe(execution: Mapping[str, Any], *, flags: str = "") -> str:
    """Describe an execution in a few lines.

    Args:
        execution: As `Queue.view` shows it.
        flags: Flags of the store, repeated in a command that is advised.
    """
    if execution.get("problem"):
        return f"{execution['id']}  {printable(execution['state'])}\n  problem   {printable(execution['problem'])}"
    cells = execution["cells"]
    lines = [
        f"{execution['id']}  {execution['state']}{_describe_reason(execution)}{_describe_queue(execution)}",
        f"  notebook  {printable(execution['notebook'])}"
        + (f" → {printable(execution['output'])}" if execution["output"] else ""),
        f"  cells     {cells['done']} of {cells['total']}",
    ]
    if trigger := execution.get("trigger"):
        lines.insert(2, f"  started   by {identity.name_trigger(trigger)}")
    listed: set[str] = set()
    for name, step in execution["steps"].items():
        runs = f", {step['runs']} runs" if step["runs"] > 1 else ""
        lines.append(f"  step      {printable(name)}: {step['state']}{runs}")
        # Each checkpoint omits the same variables again: only the first step that did lists them.
        unsaved = [line for line in describe_unsaved(step) if line not in listed]
        listed.update(unsaved)
        lines += [f"            {line}" for line in unsaved]
        lines += [f"            ⚠ {line}" for line in describe_notes(step)]
    usage = execution["usage"]
    lines.append(
        f"  usage     {_describe_seconds(usage['compute_seconds'])} computing, "
        f"{_describe_seconds(usage['suspended_seconds'])} waiting, "
        f"{usage['wakeups']} wake-up{'' if usage['wakeups'] == 1 else 's'}"
    )
    lines += [describe_waiting(suspension) for suspension in execution["suspended"]]
    lines += [f"  {line}" for line in dict.fromkeys(describe_losses(execution))]
    lines += describe_kernel_bound(execution)
    lines += [f"  {describe_record(record)}" for record in execution.get("decisions") or ()]
    if execution["error"]:
        lines.append(f"  error     {_describe_error(execution['error'], indent=' ' * 12)}")
        lines.append(f"  next      {_advise_retry(execution, flags)}")
    return "\n".join(lines)


def _describe_seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < _MINUTE else format_duration(timedelta(seconds=round(seconds)))


def _describe_queue(execution: Mapping[str, Any]) -> str:
    """Say that no worker would run it now, as the end of the line with its state."""
    return f", {execution['no_worker']}" if execution.get("no_worker") else ""


def describe_ending(execution: Mapping[str, Any], *, flags: str = "") -> str:
    """Describe in a line or two how an execution ended, where its notebook is, and how to continue.

    Args:
        execution: As `Queue.view` shows it.
        flags: Flags of the store, repeated in a command that is advised.
    """
    text = f"{execution['state']}{_describe_reason(execution)}"
    error = execution["error"]
    if error:
        where = f" in step {error['step']!r}" if error.get("step") else ""
        where = where or (f" in cell {error['cell'] + 1}" if error.get("cell") is not None else "")
        text += f"\n  {_describe_error(error, where, indent=' ' * 4)}"
        text += f"\n  {_advise_retry(execution, flags)}"
    if execution["output"]:
        text += f"\n  {printable(execution['output'])}"
    return text


def _advise_retry(execution: Mapping[str, Any], flags: str) -> str:
    """Advise a retry: with the corrected notebook where a cell was wrong, because the stored one never changes."""
    retry = f"pauseflow retry {execution['id']}{flags}"
    if execution["error"].get("cell") is None or (execution["reason"] or {}).get("kind") != "error":
        return f"to continue from the last checkpoint: `{retry}`"
    notebook = "EDITED.ipynb" if execution["notebook"] == "-" else shlex.quote(printable(execution["notebook"]))
    if execution["error"]["type"] == "ModuleNotFoundError":
        return (
            f"to continue from the last checkpoint: install the package in the kernel's environment and run `{retry}`, "
            f"or correct the notebook and run `{retry} --with {notebook}`"
        )
    return (
        f"to continue from the last checkpoint: if the notebook is wrong, correct it and run "
        f"`{retry} --with {notebook}`; if not, run `{retry}`"
    )


def _describe_reason(execution: Mapping[str, Any]) -> str:
    reason = execution["reason"]
    if not reason:
        return ""
    kind, by = reason["kind"], reason.get("by")
    if execution.get("error"):
        # The error is shown, too, and says more.
        return f" ({kind})"
    person = identity.describe_actor(by, reason) if by else ""
    who = f"by {person}" if kind in {by, "user"} else f"{kind} by {person}" if by else kind
    text = f": {reason['text']}" if reason.get("text") else ""
    described = printable_lines(f"{who}{text}", indent="    ")
    return f" {described}" if who.endswith(")") else f" ({described})"


def _describe_error(error: Mapping[str, Any], where: str = "", *, indent: str) -> str:
    # Indented, so that a line of the message cannot be taken for one of ours.
    return printable_lines(f"{error['type']}{where}: {error['message']}", indent=indent)


def format_table(rows: Iterable[Sequence[str]]) -> str:
    """Lay rows out in columns; the first row is the heading."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
