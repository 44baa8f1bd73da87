"""Render the approval page: plain HTML and one style sheet. All of it works without JavaScript.

Its contents come from a notebook, so everything is escaped, and the Content-Security-Policy allows only our own
style, and one script that reloads the page when the question is answered.
"""

import base64
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path, PurePath
from typing import Any
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

from pauseflow_nb.forms.codec import COMMENT, DATA, Entries
from pauseflow_nb.forms.controls import Control, draw
from pauseflow_nb.forms.markdown import as_html
from pauseflow_nb.json_values import JSON
from pauseflow_nb.server.public.outputs import Exhibit
from pauseflow_nb.server.public.wording import (
    Approvals,
    Button,
    Facts,
    Silence,
    Verdict,
    depends_on_person,
    describe_early_answers,
    describe_kernel_bound,
    describe_place,
    describe_start,
    find_silence,
    find_verdict,
    find_words,
    list_approvals,
    list_parameters,
    make_button,
)

#: A hidden field that distinguishes our form from forms that programs send.
PAGE_FIELD = "pauseflow_page"
#: Input of our page with the digest of the question that it showed.
SHOWN_FIELD = "pauseflow_shown"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Landing:
    """The pages behind links: the settings `templates` and `redirect`."""

    #: Folder whose templates and style sheet replace ours.
    templates: Path | None = None
    #: URL to which a browser is sent after an answer from our page.
    redirect: str | None = None

    def after(self, facts: Mapping[str, JSON]) -> str | None:
        """Return the URL for this answer, with `{execution}`, `{step}`, `{action}` and `{state}` filled in."""
        address = self.redirect
        for name in ("execution", "step", "action", "state"):
            address = address and address.replace(f"{{{name}}}", quote(str(facts.get(name, "")), safe=""))
        return address


#: Our own pages, without a redirect.
OURS = Landing()


@dataclass(frozen=True)
class Page:
    """The values for the template."""

    notebook: str
    step: str
    title: str
    message: Markup | None
    rows: list[tuple[str, str]] = field(default_factory=list)
    data: str | None = None
    #: What has changed since an earlier answer, one fresh cell each.
    drift: list[dict[str, Any]] = field(default_factory=list)
    evidence: list[Exhibit] = field(default_factory=list)
    silence: Silence | None = None
    #: Who started the run, when, and with which parameters.
    started: str = ""
    parameters: list[tuple[str, str]] = field(default_factory=list)
    #: Explains that the run waits with its kernel; None if it does not.
    kernel_bound: str | None = None
    #: What could not be restored after earlier pauses.
    losses: list[str] = field(default_factory=list)
    buttons: list[Button] = field(default_factory=list)
    verdict: Verdict | None = None
    note: str | None = None
    #: The contents of the inputs beside the form.
    comment: str = ""
    json: str = ""
    #: The error in the answer as a whole.
    problem: str | None = None
    #: Errors in controls: (id of the control, label, sentence).
    problems: list[tuple[str, str, str]] = field(default_factory=list)
    #: The rarer kind of fields, which is marked: `"required"` or `"optional"`.
    marks: str = "required"
    #: The fields of the answer; None if any text may be typed.
    form: Control | None = None
    #: Whether the answer may be any JSON.
    takes_answer: bool = True
    #: Whether there is a button that this person may press.
    may_answer: bool = True
    approvals: Approvals | None = None
    #: The name of the person, if it is known.
    signed_in_as: str | None = None
    #: URL to sign in, if that would help.
    sign_in_url: str | None = None
    #: URL of the notebook in JupyterLab.
    notebook_url: str | None = None
    xsrf: str = ""
    #: Digest of the question; empty if an earlier version made the suspension.
    shown: str = ""


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
        facts: The result of `Queue.claim_page`.
        actions: The actions that the opened link allows.
        note: A sentence at the top: the result of the answer just sent.
        closed: Whether to leave the form out, because an answer was stored.
        problem: Why the answer was refused.
        entries: The contents of the inputs; None: the default values.
        errors: The errors in the answer, `{"path", "message"}` each.
        landing: The templates.
        xsrf: Token in the form of a person who has signed in, so that no other site can send the form.
    """
    verdict = find_verdict(facts)
    if verdict is None and note is None and facts["suspension"] == "running":
        note = (
            describe_early_answers(facts) or "The step has not ended yet. Your answer is kept, and counts when it has."
        )
    if verdict is None and note is None and facts["errors"] and entries is None:
        problem, errors = "The notebook refused the last answer", facts["errors"]
    if verdict is None and note is None and facts["drift"] and entries is None:
        note = "What you are asked about has changed since it was last answered: look at it, then decide again."
    is_closed = verdict is not None or closed or bool(facts["kept"])
    buttons = [] if is_closed else [make_button(facts, action) for action in actions]
    may = [button.action for button in buttons if button.refusal is None]
    is_form = facts["schema"] is not None and "resume" in may
    form = draw(facts["schema"], entries and _of_form(entries), errors or []) if is_form else None
    step = describe_place(facts)
    page = Page(
        notebook=PurePath(facts["notebook"]).name,
        step=step,
        title=facts["title"] or find_words(facts)[0].format(step=facts["step"]),
        message=as_html(facts["message"]) if facts["message"] else None,
        rows=[(name, text) for name, text in facts["data_as_text"]["rows"]],
        data=facts["data_as_text"]["text"],
        drift=[] if is_closed else facts["drift"],
        evidence=facts["evidence"],
        silence=find_silence(facts) if not is_closed else None,
        started=describe_start(facts),
        parameters=list_parameters(facts["parameters"]),
        kernel_bound=describe_kernel_bound(facts),
        losses=facts["losses"],
        buttons=buttons,
        verdict=verdict,
        note=note,
        comment=_typed(entries, COMMENT),
        json=_typed(entries, DATA),
        problem=problem,
        problems=_list_problems(form, errors or []),
        form=form,
        marks=_marks(form),
        takes_answer=facts["schema"] is None and "resume" in may,
        may_answer=bool(may),
        approvals=list_approvals(facts),
        signed_in_as=facts.get("signed_in_as"),
        sign_in_url=facts.get("sign_in_url") if depends_on_person(facts) and not is_closed else None,
        notebook_url=facts.get("notebook_url"),
        xsrf=xsrf,
        shown=facts["shown"] or "",
    )
    return render("suspension.html", landing, page=page, page_field=PAGE_FIELD)


def render_notice(heading: str, sentence: str, landing: Landing = OURS) -> str:
    """Render a page with only a title and sentences."""
    return render("notice.html", landing, heading=heading, sentence=sentence)


@cache
def content_security_policy(landing: Landing = OURS) -> str:
    """Allow the style sheet and our one script by their digests, forms to ourselves, and nothing else."""
    digest = _digest(_render_style(landing.templates))
    # Browsers apply this rule also to the redirect after a form.
    goal = urlsplit(landing.redirect or "")
    ours = f"'self' {goal.scheme}://{goal.netloc}" if goal.netloc else "'self'"
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; script-src 'sha256-{_digest(_render_script())}'; connect-src 'self'; "
        f"img-src data:; form-action {ours}; "
        "base-uri 'none'; frame-ancestors 'none'"
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def render(name: str, landing: Landing = OURS, **facts: Any) -> str:
    """Render a template with the style of the pages."""
    try:
        return _make_environment(landing.templates).get_template(name).render(**facts, **_parts(landing.templates))
    except (TemplateError, OSError, UnicodeDecodeError, TypeError) as problem:
        if landing.templates is None:
            raise
        # A person wants to answer: our page is better than none.
        log.warning("the template %s in %s cannot be used: %s", name, landing.templates, problem)
        return _make_environment(None).get_template(name).render(**facts, **_parts(landing.templates))


@cache
def _make_environment(templates: Path | None) -> Environment:
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
    return {"style": _render_style(templates), "script": _render_script()}


@cache
def _render_script() -> Markup:
    """Return the script that checks for the decision; the page works completely without it."""
    return Markup(files("pauseflow_nb.server.public").joinpath("templates/page.js").read_text(encoding="utf-8"))  # noqa: S704


@cache
def _render_style(templates: Path | None) -> Markup:
    style = files("pauseflow_nb.server.public").joinpath("templates/page.css").read_text(encoding="utf-8")
    if templates is not None and (own := templates / "page.css").is_file():
        style = own.read_text(encoding="utf-8")
    # Not escaped: it comes from the operator of the server, and its digest is in the policy.
    return Markup(style)  # noqa: S704


def _of_form(entries: Entries) -> Entries:
    return {name: texts for name, texts in entries.items() if name not in (COMMENT, DATA)}


def _typed(entries: Entries | None, name: str) -> str:
    return (entries or {}).get(name, [""])[-1]


def _list_problems(form: Control | None, errors: list[dict[str, JSON]]) -> list[tuple[str, str, str]]:
    """List the errors in the order of the form, each with its control."""
    if form is None:
        return [(DATA, "Data as JSON", str(each["message"])) for each in errors]
    names = form.full_names()
    return [(each.id, names[each.name], each.problem or "") for each in form.walk() if each.problem]


def _marks(form: Control | None) -> str:
    """Return the rarer kind of fields, `"required"` or `"optional"`, which is marked."""
    if form is None:
        return "required"
    single = [each for each in form.walk() if each.kind not in ("object", "boolean")]
    needed = sum(each.is_required for each in single)
    return "optional" if needed * 2 >= len(single) else "required"


def _as_sentence(text: str) -> str:
    """Write an error as a sentence."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")
