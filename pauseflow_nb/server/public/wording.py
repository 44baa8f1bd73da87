"""Write the texts of the approval page: the question, its buttons, its deadline, and the decision."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from pauseflow_nb import identity
from pauseflow_nb.actions import name_decision
from pauseflow_nb.durations import format_duration
from pauseflow_nb.forms.controls import count_problems
from pauseflow_nb.identity import name_trigger
from pauseflow_nb.json_values import JSON, dump_json

#: The result of `Queue.claim_page`, and the `evidence`.
Facts: TypeAlias = dict[str, Any]

# Kind of the suspension → default title, and what resuming does.
_WORDS = {
    "suspend": ("Approve step {step}?", "the run continues with the next cell"),
    "pause": ("Approve step {step}?", "the cell that waits continues"),
    "rerun": ("Step {step} will run again", "the step runs again at once"),
    "delay": ("Step {step} waits for the clock", "the run continues at once"),
    "operator": ("Suspended from outside", "the run continues"),
    "notebook": ("Step {step} waits for its notebooks", "the run continues"),
}
_TONES = {"resume": "go", "send_back": "back", "cancel": "stop"}
_HIDDEN = "••••"
_SECRET = re.compile(r"key|passphrase|passw|pwd|secret|token|credential", re.IGNORECASE)


@dataclass(frozen=True)
class Button:
    """The button of one decision."""

    action: str
    label: str
    tone: str
    #: What happens when it is pressed.
    effect: str
    #: Why it cannot be pressed; None if it can.
    refusal: str | None = None


@dataclass(frozen=True)
class Verdict:
    """The decision, and who decided."""

    heading: str
    sentence: str
    tone: str
    #: The comment with it.
    comment: str | None = None
    #: Whether the page will show more later.
    goes_on: bool = False


@dataclass(frozen=True)
class Silence:
    """What happens if nobody answers."""

    #: The text before the deadline, and after it.
    before: str
    after: str
    #: The deadline; None if there is none, and `before` is the whole sentence.
    iso: str | None = None
    text: str = ""
    left: str | None = None


@dataclass(frozen=True)
class Approvals:
    """How many people have approved, and who may."""

    heading: str
    lines: list[str]
    sentences: list[str]


def is_overdue(facts: Facts) -> bool:
    """Whether the deadline has passed, although the store has not recorded that yet."""
    deadline = facts["deadline"]
    return (
        facts["suspension"] == "open" and deadline is not None and datetime.fromisoformat(deadline) <= datetime.now(UTC)
    )


def is_over(facts: Facts) -> bool:
    """Whether any answer comes too late, because the clock has decided or the execution has ended."""
    return facts["suspension"] == "void" or facts["action"] == "timeout" or is_overdue(facts)


def note_on(status: int, body: Mapping[str, Any]) -> str | None:
    """Return the sentence about the answer that was just sent; None if the page shows the result."""
    if body.get("stale"):
        return "The question has changed since you saw it, and your answer changed nothing. Look again, then decide."
    if status == 202 and "approvals" in body:
        return "Your approval is noted. More people must approve before it continues."
    if body.get("already") and "approvals" in body:
        return "This link has been used for one approval already. Nothing changed."
    if body.get("already"):
        return "This was already decided. Nothing changed."
    return {
        202: "Your answer is kept. The step has not ended yet; your answer counts when it has.",
        409: "The other decision came first. Your answer changed nothing.",
        403: "Your answer changed nothing.",
        410: "Your answer came too late and changed nothing.",
        429: "Many answers are kept already for this step. Wait until it has ended.",
    }.get(status)


def describe_problem(body: Mapping[str, Any]) -> str:
    """Return the sentence at the top for a refused answer; errors are shown beside their fields."""
    errors = body.get("errors")
    return count_problems(len(errors)) if errors else str(body["error"])


def find_verdict(facts: Facts) -> Verdict | None:
    """Return the decision; None while an answer is still possible."""
    if facts["suspension"] == "settled":
        heading = name_decision(facts["kind"], facts["action"], by=facts["settled_by"], own=facts["labels"])
        sentence = f"{heading} by {_describe_person(facts['settled_by'])} on {_format_moment(facts['settled_at'])}; {_describe_next_state(facts)}."
        tone = _TONES.get(facts["action"], "over")
        return Verdict(heading, sentence, tone, facts["comment"], goes_on=facts["ended_at"] is None)
    if facts["suspension"] == "void":
        return Verdict("This is over", f"The execution is {facts['state']}; nothing is asked here any more.", "over")
    if is_overdue(facts):
        return Verdict("This is over", f"The time for an answer ended on {_format_moment(facts['deadline'])}.", "over")
    return None


def _describe_next_state(facts: Facts) -> str:
    """Describe the state of the run after the decision, as the end of a sentence."""
    if facts["state"] not in {"queued", "running"}:
        return f"the run is now {facts['state']}"
    return "the step runs again" if facts["action"] == "send_back" else "the run continues"


def depends_on_person(facts: Facts) -> bool:
    """Whether it matters who answers."""
    approvals = facts["approvals"]
    return bool(facts["refusals"]) or (approvals is not None and approvals["needed"] > 1)


def make_button(facts: Facts, action: str) -> Button:
    """Make the button for one decision."""
    says = {
        "resume": _describe_resume,
        "send_back": _describe_send_back,
        "cancel": _describe_cancel,
    }
    refusal = facts["refusals"].get(action) or facts["not_allowed"]
    label = facts["labels"].get(action, "Send back")
    return Button(action, label, _TONES[action], says[action](facts), refusal)


def _describe_resume(facts: Facts) -> str:
    approvals = facts["approvals"]
    if approvals is not None and approvals["needed"] - len(approvals["given"]) > 1:
        return f"your approval is counted; {approvals['needed']} are needed before the run continues"
    if facts["kind"] == "suspend" and facts["then"] == "rerun":
        return "the step runs again and gets the answer"
    return find_words(facts)[1]


def _describe_send_back(_: Facts) -> str:
    return "the step runs again with your comment, and may ask again"


def _describe_cancel(facts: Facts) -> str:
    if facts["kind"] == "pause":
        return "the cell that waits gets an error; unless it catches that, the run ends"
    return "ends the run; no later cell runs"


def describe_place(facts: Facts) -> str:
    """Describe the place: `cell 3, step train`."""
    cell = facts["cell"]
    where = [] if cell is None else [f"cell {cell + 1}"]
    return ", ".join([*where, *([f"step {facts['step']}"] if facts["step"] else [])])


def describe_start(facts: Facts) -> str:
    """Describe who started the run, and when."""
    trigger = f"{name_trigger(facts['trigger'])} of " if facts["trigger"] else ""
    return f"Started by {trigger}{_describe_person(facts['created_by'])} on {_format_moment(facts['created_at'])}"


def list_parameters(parameters: Mapping[str, JSON]) -> list[tuple[str, str]]:
    """List the parameters; values whose names suggest secrets are masked."""
    return [
        (name, _HIDDEN if _SECRET.search(name) else each if isinstance(each, str) else dump_json(each))
        for name, each in (parameters or {}).items()
    ]


def describe_early_answers(facts: Facts) -> str | None:
    """Describe the answers that arrived before the step has ended."""
    sentences = [
        f"An answer is kept: {facts['labels'][one['action']]}, by {_describe_person(one['by'])} on {_format_moment(one['at'])}."
        for one in facts["kept"]
    ]
    return " ".join([*sentences, "It counts when the step has ended."]) if sentences else None


def list_approvals(facts: Facts) -> Approvals | None:
    """Describe how many have approved, and who may; None if one answer by anybody is enough."""
    approvals, refusals = facts["approvals"], facts["refusals"]
    if approvals is None or (approvals["needed"] == 1 and not refusals):
        return None
    lines = [
        f"{_describe_person(one['by'])} on {_format_moment(one['at'])}"
        + (f": {one['comment']}" if one["comment"] else "")
        for one in approvals["given"]
    ]
    sentences = list(dict.fromkeys(refusals.values()))
    if (refusals or approvals["needed"] > 1) and not facts.get("signed_in_as"):
        here = "here, " if facts.get("sign_in_url") else ""
        sentences.append(f"signed in, answer {here}in JupyterLab or with pauseflow resume {facts['execution']}")
    return Approvals(f"{len(lines)} of {approvals['needed']} approvals", lines, sentences)


def find_words(facts: Facts) -> tuple[str, str]:
    """Return the texts for the kind of suspension: a title, and what resuming does."""
    title, effect = _WORDS.get(facts["kind"] or "suspend", _WORDS["suspend"])
    # Its button says "Submit".
    return (title if facts["schema"] is None else "Step {step} asks for an answer"), effect


def _describe_person(by: str) -> str:
    return identity.describe_actor(by, {})


def find_silence(facts: Facts) -> Silence | None:
    """Describe what the clock does, and when."""
    if facts["suspension"] != "open" or facts["kind"] == "notebook":
        return None
    iso = facts["deadline"]
    if iso is None:
        return Silence("There is no deadline: the run waits until somebody answers", "")
    before = {"rerun": "Runs again at", "delay": "Continues at"}.get(facts["kind"], "If nobody answers by")
    left = datetime.fromisoformat(iso) - datetime.now(UTC)
    return Silence(
        before,
        _describe_timeout(facts),
        iso,
        _format_moment(iso),
        format_duration(left) if left.total_seconds() > 0 else None,
    )


def _describe_timeout(facts: Facts) -> str:
    if facts["kind"] in ("rerun", "delay"):
        return "unless somebody answers before"
    if facts["kind"] == "pause":
        return "the cell that waits gets an error"
    if facts["on_timeout"] == "resume":
        default = "" if facts["default"] is None else f", with {dump_json(facts['default'])} as the answer"
        return f"the run continues{default}"
    return {"fail": "the run fails"}.get(facts["on_timeout"], "the run is cancelled")


def describe_kernel_bound(facts: Facts) -> str | None:
    """Explain that the notebook waits with its kernel."""
    names = ", ".join(facts["kernel_bound"])
    return names and (
        f"While it waits, the notebook stays in memory: it needs {names}, which cannot be saved. "
        "If the computer or the program that keeps it restarts before the answer, it fails."
    )


def _format_moment(iso: str) -> str:
    # Without JavaScript the reader's time zone is unknown, so the zone is named.
    moment = datetime.fromisoformat(iso).astimezone(UTC)
    return f"{moment.day} {moment:%b %Y, %H:%M} UTC"
