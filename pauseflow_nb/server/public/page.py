"""Render the approval page: plain HTML and one style sheet, without a line of JavaScript.

What stands on it comes from a notebook, so everything is escaped and the Content-Security-Policy
allows nothing but our own style.
"""

import base64
import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path, PurePath
from typing import Any, TypeAlias
from urllib.parse import quote, urlsplit

from jinja2 import (
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PackageLoader,
    PrefixLoader,
    StrictUndefined,
    TemplateError,
)
from markupsafe import Markup

from pauseflow_nb.durations import spoken
from pauseflow_nb.forms.codec import Entries, initial_entries
from pauseflow_nb.forms.markdown import as_html
from pauseflow_nb.json_values import JSON
from pauseflow_nb.server.public.form_controls import Control, controls_of
from pauseflow_nb.server.public.outputs import Exhibit

__all__ = [
    "OURS",
    "PAGE_FIELD",
    "Facts",
    "Landing",
    "content_security_policy",
    "is_over",
    "is_overdue",
    "note_on",
    "render_notice",
    "render_suspension",
]

#: What `Queue.claim_page` tells, and the `evidence`.
Facts: TypeAlias = dict[str, Any]

#: A hidden field of our form: tells its POST from a program's that sends a form of its own.
PAGE_FIELD = "pauseflow_page"

# What the two buttons do depends on what waits: (label of resume, what is said afterwards, title without one).
_WORDS = {
    "suspend": ("Approve", "Approved", "Approve step {step}?"),
    "rerun": ("Run again now", "Run again", "Step {step} waits to run again"),
    "delay": ("Continue now", "Continued", "Step {step} waits"),
    "operator": ("Resume", "Resumed", "Suspended from outside"),
    "notebook": ("Resume", "Continued", "Step {step} waits for its notebooks"),
}
_DONE = {"cancel": "Cancelled", "timeout": "Timed out"}
_TONES = {"resume": "go", "cancel": "stop"}


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Landing:
    """Where people land who follow a link: the settings `templates` and `redirect`."""

    #: Folder whose templates and style sheet take the place of ours.
    templates: Path | None = None
    #: Where a browser is sent once an answer from our page was taken.
    redirect: str | None = None

    def after(self, facts: Mapping[str, JSON]) -> str | None:
        """The address for this answer, `{execution}`, `{step}`, `{action}` and `{state}` filled in."""
        address = self.redirect
        for name in ("execution", "step", "action", "state"):
            address = address and address.replace(f"{{{name}}}", quote(str(facts.get(name, "")), safe=""))
        return address


#: Our own pages, and no way on from them.
OURS = Landing()


@dataclass(frozen=True)
class Button:
    """One decision."""

    action: str
    label: str
    tone: str


@dataclass(frozen=True)
class Verdict:
    """What was decided, and by whom."""

    heading: str
    sentence: str
    tone: str
    #: What was said with it.
    comment: str | None = None
    #: Whether more is to come, so that looking again later tells more.
    goes_on: bool = False


@dataclass(frozen=True)
class Deadline:
    """When the clock decides."""

    #: What happens then: "Answer by", "Runs again at", …
    says: str
    iso: str
    text: str
    left: str | None


@dataclass(frozen=True)
class Approvals:
    """How many have approved, and who may."""

    heading: str
    given: list[str]
    sentences: list[str]


@dataclass(frozen=True)
class Page:
    """What the template shows."""

    notebook: str
    step: str
    title: str
    message: Markup | None
    rows: list[tuple[str, str]] = field(default_factory=list)
    data: str | None = None
    evidence: list[Exhibit] = field(default_factory=list)
    deadline: Deadline | None = None
    #: What it means that it waits with its kernel; None if it does not.
    bound: str | None = None
    #: What could not be brought back after earlier pauses.
    losses: list[str] = field(default_factory=list)
    buttons: list[Button] = field(default_factory=list)
    verdict: Verdict | None = None
    note: str | None = None
    draft: str = ""
    problem: str | None = None
    #: The fields of the answer; None: any text may be typed.
    form: Control | None = None
    #: Whether what is typed goes anywhere: a cancel takes no answer that a schema describes.
    takes_answer: bool = True
    approvals: Approvals | None = None


def render_suspension(
    facts: Facts,
    *,
    actions: tuple[str, ...],
    note: str | None = None,
    closed: bool = False,
    draft: str = "",
    problem: str | None = None,
    entries: Entries | None = None,
    errors: list[dict[str, JSON]] | None = None,
    landing: Landing = OURS,
) -> str:
    """Render the page of one suspension.

    Args:
        facts: What `Queue.claim_page` says about it.
        actions: What the link that was opened may do: `("resume", "cancel")`, or one of them.
        note: A sentence above everything: what became of the answer just sent.
        closed: Whether to leave the form out, because an answer was kept.
        draft: What the person has typed so far, if the answer was refused.
        problem: Why it was refused.
        entries: What stands in the form that a schema makes; None: its default values.
        errors: What is wrong with it, `{"path", "message"}` each.
        landing: Whose templates.
    """
    label, _, title = _words(facts)
    labels = {"resume": label, "cancel": "Cancel"}
    rows, data = _shown(facts["data"])
    verdict = _verdict(facts)
    if verdict is None and note is None and facts["suspension"] == "running":
        note = _kept(facts) or "The step has not ended yet. Your answer is kept, and counts when it has."
    if verdict is None and note is None and facts["errors"] and entries is None:
        note = "The notebook refused the last answer. What was wrong stands beside the fields."
        errors = facts["errors"]
    may = [action for action in actions if action not in facts["refusals"] and not closed and not facts["kept"]]
    is_form = facts["schema"] is not None and "resume" in may
    page = Page(
        notebook=PurePath(facts["notebook"]).name,
        step=facts["step"],
        title=facts["title"] or title.format(step=facts["step"]),
        message=as_html(facts["message"]) if facts["message"] else None,
        rows=rows,
        data=data,
        evidence=facts["evidence"],
        deadline=_deadline(facts),
        bound=_bound(facts),
        losses=facts["losses"],
        buttons=[] if verdict else [Button(action, labels[action], _TONES[action]) for action in may],
        verdict=verdict,
        note=note,
        draft=draft,
        problem=problem,
        form=_form(facts["schema"], entries, errors or []) if is_form else None,
        takes_answer=facts["schema"] is None,
        approvals=_approvals(facts),
    )
    return _render("suspension.html", landing, page=page, page_field=PAGE_FIELD)


def render_notice(heading: str, sentence: str, landing: Landing = OURS) -> str:
    """Render a page that only says something."""
    return _render("notice.html", landing, heading=heading, sentence=sentence)


def is_overdue(facts: Facts) -> bool:
    """Whether the clock has decided, though nobody has noted it yet."""
    deadline = facts["deadline"]
    return (
        facts["suspension"] == "open" and deadline is not None and datetime.fromisoformat(deadline) <= datetime.now(UTC)
    )


def is_over(facts: Facts) -> bool:
    """Whether an answer comes too late, whichever it is: the clock decided, or the execution ended otherwise."""
    return facts["suspension"] == "void" or facts["action"] == "timeout" or is_overdue(facts)


def note_on(status: int, body: Mapping[str, Any]) -> str | None:
    """What a person is told above the page about the answer just sent; None if the page says it."""
    if status == 202 and "approvals" in body:
        return "Your approval is noted. More people must approve before it goes on."
    if body.get("already") and "approvals" in body:
        return "This link has been used for one approval already. Nothing changed."
    if body.get("already"):
        return "This had been decided before. Nothing changed."
    return {
        202: "Your answer is kept. The step has not ended yet; your answer counts when it has.",
        409: "The other decision came first. Your answer changed nothing.",
        403: "Your answer changed nothing.",
        410: "Your answer came too late and changed nothing.",
        429: "Many answers are kept already for this step. Wait until it has ended.",
    }.get(status)


@cache
def content_security_policy(landing: Landing = OURS) -> str:
    """Allow the style sheet by its digest, forms to ourselves, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(_style(landing.templates).encode()).digest()).decode()
    # Browsers hold the redirect after a form to the same rule.
    goal = urlsplit(landing.redirect or "")
    ours = f"'self' {goal.scheme}://{goal.netloc}" if goal.netloc else "'self'"
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; form-action {ours}; "
        "base-uri 'none'; frame-ancestors 'none'"
    )


def _render(name: str, landing: Landing, **facts: Any) -> str:
    try:
        return _environment(landing.templates).get_template(name).render(**facts, style=_style(landing.templates))
    except (TemplateError, OSError, UnicodeDecodeError, TypeError) as problem:
        if landing.templates is None:
            raise
        # Somebody waits to answer: the page that we have is better than none.
        log.warning("the template %s in %s cannot be used: %s", name, landing.templates, problem)
        return _environment(None).get_template(name).render(**facts, style=_style(landing.templates))


@cache
def _environment(templates: Path | None) -> Environment:
    ours = PackageLoader("pauseflow_nb.server.public")
    # Templates of a folder may extend ours: `{% extends "pauseflow/suspension.html" %}`.
    named = PrefixLoader({"pauseflow": ours})
    loaders = [ours, named] if templates is None else [FileSystemLoader(templates), ours, named]
    environment = Environment(
        loader=ChoiceLoader(loaders), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["sentence"] = _as_sentence
    return environment


@cache
def _style(templates: Path | None) -> Markup:
    style = files("pauseflow_nb.server.public").joinpath("templates/page.css").read_text(encoding="utf-8")
    if templates is not None and (own := templates / "page.css").is_file():
        style = own.read_text(encoding="utf-8")
    # Not escaped: it comes from whoever runs the server, and its digest stands in the policy.
    return Markup(style)  # noqa: S704


def _shown(data: JSON) -> tuple[list[tuple[str, str]], str | None]:
    """Data as a table if it is flat, otherwise as JSON text."""
    if data is None or data in ({}, []):
        return [], None
    if isinstance(data, str):
        return [], data
    if isinstance(data, dict) and not any(isinstance(value, (dict, list)) for value in data.values()):
        return [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in data.items()], None
    return [], json.dumps(data, indent=2, ensure_ascii=False)


def _verdict(facts: Facts) -> Verdict | None:
    """What was decided; None while an answer is still taken."""
    if facts["suspension"] == "settled":
        heading = _DONE.get(facts["action"]) or _words(facts)[1]
        sentence = f"{heading} by {_who(facts['settled_by'])} at {_moment(facts['settled_at'])}; {_afterwards(facts)}."
        tone = _TONES.get(facts["action"], "over")
        return Verdict(heading, sentence, tone, facts["comment"], goes_on=facts["ended_at"] is None)
    if facts["suspension"] == "void":
        return Verdict("This is over", f"The execution is {facts['state']}; nothing is asked here any more.", "over")
    if is_overdue(facts):
        return Verdict("This is over", f"The time for an answer ended at {_moment(facts['deadline'])}.", "over")
    return None


def _afterwards(facts: Facts) -> str:
    """What became of the run after it was decided, as the end of a sentence."""
    if facts["ended_at"] is None:
        return "the run goes on" if facts["state"] in {"queued", "running"} else "the run waits again"
    return {"completed": "the run has finished", "failed": "the run has failed"}.get(
        facts["state"], "the run has ended"
    )


def _form(schema: dict[str, JSON], entries: Entries | None, errors: list[dict[str, JSON]]) -> Control:
    return controls_of(schema, initial_entries(schema) if entries is None else entries, errors)


def _kept(facts: Facts) -> str | None:
    """What is known of answers that came before the step has ended."""
    said = [
        f"An answer is kept: {_words(facts)[0] if one['action'] == 'resume' else 'Cancel'}, "
        f"by {_who(one['by'])} at {_moment(one['at'])}."
        for one in facts["kept"]
    ]
    return " ".join([*said, "It counts when the step has ended."]) if said else None


def _approvals(facts: Facts) -> Approvals | None:
    told, refusals = facts["approvals"], facts["refusals"]
    if told is None or (told["needed"] == 1 and not refusals):
        return None
    given = [
        f"{_who(one['by'])} at {_moment(one['at'])}" + (f": {one['comment']}" if one["comment"] else "")
        for one in told["given"]
    ]
    sentences = list(dict.fromkeys(refusals.values()))
    if refusals or told["needed"] > 1:
        sentences.append(f"signed in, answer in JupyterLab or with pauseflow resume {facts['execution']}")
    return Approvals(f"{len(given)} of {told['needed']} approvals", given, sentences)


def _words(facts: Facts) -> tuple[str, str, str]:
    return _WORDS.get(facts["kind"] or "suspend", _WORDS["suspend"])


def _who(by: str) -> str:
    return {"clock": "the clock", "link": "someone with the link"}.get(by, by.removeprefix("user:"))


def _deadline(facts: Facts) -> Deadline | None:
    iso = facts["deadline"]
    if iso is None:
        return None
    says = {"rerun": "Runs again at", "delay": "Continues at"}.get(facts["kind"], "Answer by")
    left = datetime.fromisoformat(iso) - datetime.now(UTC)
    return Deadline(says, iso, _moment(iso), spoken(left) if left.total_seconds() > 0 else None)


def _bound(facts: Facts) -> str | None:
    names = ", ".join(facts["kernel_bound"])
    return names and (
        f"While it waits, the notebook stays in memory: it needs {names}, which cannot be saved. "
        "If the computer or the program that keeps it restarts before the answer, it fails."
    )


def _moment(iso: str) -> str:
    # Without JavaScript the reader's zone is unknown, so the zone is said.
    moment = datetime.fromisoformat(iso).astimezone(UTC)
    return f"{moment.day} {moment:%b %Y, %H:%M} UTC"


def _as_sentence(text: str) -> str:
    """Write what an error says as people write it."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")
