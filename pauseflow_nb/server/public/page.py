"""Render the approval page: plain HTML and one style sheet. All of it works without JavaScript.

What stands on it comes from a notebook, so everything is escaped and the Content-Security-Policy
allows nothing but our own style, and one script that looks again once the question is answered.
"""

import base64
import hashlib
import logging
import re
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
from pauseflow_nb.forms.codec import COMMENT, DATA, ROOT, Entries
from pauseflow_nb.forms.controls import Control, draw
from pauseflow_nb.forms.markdown import as_html
from pauseflow_nb.json_values import JSON, json_text
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

# What is said depends on what waits: (what is said after it was resumed, title without one, what resuming does).
_WORDS = {
    "suspend": ("Approved", "Approve step {step}?", "the run goes on with the next cell"),
    "pause": ("Approved", "Approve step {step}?", "the cell that waits goes on"),
    "rerun": ("Run again", "Step {step} waits to run again", "the step runs again at once"),
    "delay": ("Continued", "Step {step} waits", "the run goes on at once"),
    "operator": ("Resumed", "Suspended from outside", "the run goes on"),
    "notebook": ("Continued", "Step {step} waits for its notebooks", "the run goes on"),
}
_DONE = {"cancel": "Cancelled", "timeout": "Timed out"}
_TONES = {"resume": "go", "cancel": "stop"}
_HIDDEN = "••••"
_SECRET = re.compile(r"key|passphrase|passw|pwd|secret|token|credential", re.IGNORECASE)


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
    #: What happens then.
    effect: str
    #: Why it cannot be pressed; None: it can.
    refusal: str | None = None


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
class Silence:
    """What happens if nobody answers."""

    #: The sentence before the moment, and after it.
    before: str
    after: str
    #: None: there is no deadline, and `before` says all.
    iso: str | None = None
    text: str = ""
    left: str | None = None


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
    silence: Silence | None = None
    #: Who started the run, when, and with what.
    started: str = ""
    parameters: list[tuple[str, str]] = field(default_factory=list)
    #: What it means that it waits with its kernel; None if it does not.
    bound: str | None = None
    #: What could not be brought back after earlier pauses.
    losses: list[str] = field(default_factory=list)
    buttons: list[Button] = field(default_factory=list)
    verdict: Verdict | None = None
    note: str | None = None
    #: What is typed into the inputs beside the form.
    comment: str = ""
    json: str = ""
    #: What is wrong with the answer as a whole.
    problem: str | None = None
    #: What is wrong, with the id of the control that it is wrong with: (id, label, sentence).
    problems: list[tuple[str, str, str]] = field(default_factory=list)
    #: Which fields are marked, so that the exceptions are: `"required"` or `"optional"`.
    marks: str = "required"
    #: The fields of the answer; None: any text may be typed.
    form: Control | None = None
    #: Whether any JSON may be the answer.
    takes_answer: bool = True
    #: Whether there is anything that whoever looks may press.
    may_answer: bool = True
    approvals: Approvals | None = None
    #: The name of whoever looks, if it is known.
    signed_in_as: str | None = None
    #: Where to sign in, if that would help.
    sign_in_url: str | None = None
    #: Where JupyterLab shows the notebook.
    notebook_url: str | None = None
    xsrf: str = ""


def render_suspension(
    facts: Facts,
    *,
    actions: tuple[str, ...],
    note: str | None = None,
    closed: bool = False,
    problem: str | None = None,
    entries: Entries | None = None,
    errors: list[dict[str, JSON]] | None = None,
    landing: Landing = OURS,
    xsrf: str = "",
) -> str:
    """Render the page of one suspension.

    Args:
        facts: What `Queue.claim_page` says about it.
        actions: What the link that was opened may do: `("resume", "cancel")`, or one of them.
        note: A sentence above everything: what became of the answer just sent.
        closed: Whether to leave the form out, because an answer was kept.
        problem: Why the answer was refused.
        entries: What stands in the inputs; None: the default values.
        errors: What is wrong with it, `{"path", "message"}` each.
        landing: Whose templates.
        xsrf: What the form of somebody who has signed in brings back, so that no other site can send it.
    """
    verdict = _verdict(facts)
    if verdict is None and note is None and facts["suspension"] == "running":
        note = _kept(facts) or "The step has not ended yet. Your answer is kept, and counts when it has."
    if verdict is None and note is None and facts["errors"] and entries is None:
        problem, errors = "The notebook refused the last answer", facts["errors"]
    is_closed = verdict is not None or closed or bool(facts["kept"])
    buttons = [] if is_closed else [_button(facts, action) for action in actions]
    may = [button.action for button in buttons if button.refusal is None]
    is_form = facts["schema"] is not None and "resume" in may
    form = draw(facts["schema"], entries and _of_form(entries), errors or []) if is_form else None
    step = _step(facts)
    page = Page(
        notebook=PurePath(facts["notebook"]).name,
        step=step,
        title=facts["title"] or _words(facts)[1].format(step=facts["step"]),
        message=as_html(facts["message"]) if facts["message"] else None,
        rows=[(name, text) for name, text in facts["shown"]["rows"]],
        data=facts["shown"]["text"],
        evidence=facts["evidence"],
        silence=_silence(facts) if not is_closed else None,
        started=_started(facts),
        parameters=_parameters(facts["parameters"]),
        bound=_bound(facts),
        losses=facts["losses"],
        buttons=buttons,
        verdict=verdict,
        note=note,
        comment=_typed(entries, COMMENT),
        json=_typed(entries, DATA),
        problem=problem,
        problems=_problems(form, errors or []),
        form=form,
        marks=_marks(form),
        takes_answer=facts["schema"] is None and "resume" in may,
        may_answer=bool(may),
        approvals=_approvals(facts),
        signed_in_as=facts["signed_in_as"],
        sign_in_url=facts["sign_in_url"] if _asks_who(facts) and not is_closed else None,
        notebook_url=facts["notebook_url"],
        xsrf=xsrf,
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
    """Allow the style sheet and our one script by their digests, forms to ourselves, and nothing else."""
    digest = _digest(_style(landing.templates))
    # Browsers hold the redirect after a form to the same rule.
    goal = urlsplit(landing.redirect or "")
    ours = f"'self' {goal.scheme}://{goal.netloc}" if goal.netloc else "'self'"
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; script-src 'sha256-{_digest(_script())}'; connect-src 'self'; "
        f"img-src data:; form-action {ours}; "
        "base-uri 'none'; frame-ancestors 'none'"
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _render(name: str, landing: Landing, **facts: Any) -> str:
    try:
        return _environment(landing.templates).get_template(name).render(**facts, **_parts(landing.templates))
    except (TemplateError, OSError, UnicodeDecodeError, TypeError) as problem:
        if landing.templates is None:
            raise
        # Somebody waits to answer: the page that we have is better than none.
        log.warning("the template %s in %s cannot be used: %s", name, landing.templates, problem)
        return _environment(None).get_template(name).render(**facts, **_parts(landing.templates))


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


def _parts(templates: Path | None) -> dict[str, Markup]:
    return {"style": _style(templates), "script": _script()}


@cache
def _script() -> Markup:
    """Give the script that looks again; the page does all that it does without it."""
    return Markup(files("pauseflow_nb.server.public").joinpath("templates/page.js").read_text(encoding="utf-8"))  # noqa: S704


@cache
def _style(templates: Path | None) -> Markup:
    style = files("pauseflow_nb.server.public").joinpath("templates/page.css").read_text(encoding="utf-8")
    if templates is not None and (own := templates / "page.css").is_file():
        style = own.read_text(encoding="utf-8")
    # Not escaped: it comes from whoever runs the server, and its digest stands in the policy.
    return Markup(style)  # noqa: S704


def _verdict(facts: Facts) -> Verdict | None:
    """What was decided; None while an answer is still taken."""
    if facts["suspension"] == "settled":
        heading = _DONE.get(facts["action"]) or _words(facts)[0]
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


def _asks_who(facts: Facts) -> bool:
    """Whether it matters who answers."""
    approvals = facts["approvals"]
    return bool(facts["refusals"]) or (approvals is not None and approvals["needed"] > 1)


def _of_form(entries: Entries) -> Entries:
    return {name: texts for name, texts in entries.items() if name not in (COMMENT, DATA)}


def _typed(entries: Entries | None, name: str) -> str:
    return (entries or {}).get(name, [""])[-1]


def _button(facts: Facts, action: str) -> Button:
    effect = _resumes(facts) if action == "resume" else _cancels(facts)
    return Button(action, facts["labels"][action], _TONES[action], effect, facts["refusals"].get(action))


def _resumes(facts: Facts) -> str:
    approvals = facts["approvals"]
    if approvals is not None and approvals["needed"] - len(approvals["given"]) > 1:
        return f"your approval is counted; {approvals['needed']} are needed before the run goes on"
    if facts["kind"] == "suspend" and facts["then"] == "rerun":
        return "the step runs again and gets the answer"
    return _words(facts)[2]


def _cancels(facts: Facts) -> str:
    if facts["kind"] == "pause":
        return "the cell that waits gets an error; unless it catches that, the run ends"
    return "ends the run; no later cell runs"


def _problems(form: Control | None, errors: list[dict[str, JSON]]) -> list[tuple[str, str, str]]:
    """List what is wrong in the order of the form, with the control to go to."""
    if form is None:
        return [(DATA, "Data as JSON", str(each["message"])) for each in errors]
    return [
        (each.id, "" if each.name == ROOT else each.label, each.problem or "") for each in form.walk() if each.problem
    ]


def _marks(form: Control | None) -> str:
    """Say which fields are the exception, and so are marked."""
    if form is None:
        return "required"
    single = [each for each in form.walk() if each.kind not in ("object", "boolean")]
    needed = sum(each.is_required for each in single)
    return "optional" if needed * 2 >= len(single) else "required"


def _step(facts: Facts) -> str:
    """Name the place in words: `cell 3, step train`."""
    cell = facts["cell"]
    where = [] if cell is None else [f"cell {cell + 1}"]
    return ", ".join([*where, *([f"step {facts['step']}"] if facts["step"] else [])])


def _started(facts: Facts) -> str:
    return f"Started by {_who(facts['created_by'])} on {_moment(facts['created_at'])}"


def _parameters(parameters: Mapping[str, JSON]) -> list[tuple[str, str]]:
    """List the parameters; what is called a secret is not for everybody who has the link."""
    return [
        (name, _HIDDEN if _SECRET.search(name) else each if isinstance(each, str) else json_text(each))
        for name, each in (parameters or {}).items()
    ]


def _kept(facts: Facts) -> str | None:
    """What is known of answers that came before the step has ended."""
    said = [
        f"An answer is kept: {facts['labels'][one['action']]}, by {_who(one['by'])} at {_moment(one['at'])}."
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
    if (refusals or told["needed"] > 1) and not facts["signed_in_as"]:
        sentences.append(f"signed in, answer here, in JupyterLab or with pauseflow resume {facts['execution']}")
    return Approvals(f"{len(given)} of {told['needed']} approvals", given, sentences)


def _words(facts: Facts) -> tuple[str, str, str]:
    return _WORDS.get(facts["kind"] or "suspend", _WORDS["suspend"])


def _who(by: str) -> str:
    return {"clock": "the clock", "link": "someone with the link"}.get(by, by.removeprefix("user:"))


def _silence(facts: Facts) -> Silence | None:
    """Say what the clock does, and when."""
    if facts["suspension"] != "open" or facts["kind"] == "notebook":
        return None
    iso = facts["deadline"]
    if iso is None:
        return Silence("There is no deadline: the run waits until somebody answers", "")
    before = {"rerun": "Runs again at", "delay": "Goes on at"}.get(facts["kind"], "If nobody answers by")
    left = datetime.fromisoformat(iso) - datetime.now(UTC)
    return Silence(before, _when_silent(facts), iso, _moment(iso), spoken(left) if left.total_seconds() > 0 else None)


def _when_silent(facts: Facts) -> str:
    if facts["kind"] in ("rerun", "delay"):
        return "unless somebody answers before"
    if facts["kind"] == "pause":
        return "the cell that waits gets an error"
    if facts["on_timeout"] == "resume":
        default = "" if facts["default"] is None else f", with {json_text(facts['default'])} as the answer"
        return f"the run goes on{default}"
    return {"fail": "the run fails"}.get(facts["on_timeout"], "the run is cancelled")


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
