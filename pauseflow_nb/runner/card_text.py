"""How the record of a suspension reads, as HTML and as text: the question, then who decided what.

Everything is escaped: titles come from the notebook, answers and comments from anybody who has a link.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

from pauseflow_nb import identity
from pauseflow_nb.forms.markdown import as_html as render_markdown
from pauseflow_nb.forms.schema import in_words
from pauseflow_nb.json_values import JSON
from pauseflow_nb.printable import printable_lines
from pauseflow_nb.protocol import button_labels

__all__ = ["as_html", "as_text", "at_moment", "boxed", "earlier_as_html", "earlier_as_text", "sentence_of"]

# Enough to see what is asked and answered; the metadata and the approval page hold the whole.
_LONGEST_VALUE = 2000
_MOST_ROWS = 20

#: The colour of a card's edge, readable on white and on black.
WAITING, DECIDED, WRONG = "#c77700", "#808080", "#d1443c"
_GAP = "margin:.4em 0 0"
_CELL = "padding:.1em .8em .1em 0;text-align:left;vertical-align:top;border:none"

_DONE = {
    "suspend": "Resumed",
    "pause": "Resumed",
    "operator": "Resumed",
    "delay": "Continued",
    "notebook": "Continued",
    "rerun": "Run again",
}
_PEOPLE = {"clock": "the clock", "notebooks": "the end of its notebooks", "link": "link", "": "unknown"}


def boxed(html: str, colour: str) -> str:
    """Put HTML into the box that all records stand in; formulas in it are not set as such."""
    style = f"border-left:4px solid {colour};padding:.4em .8em;margin:.2em 0;overflow-wrap:anywhere"
    return f'<div class="pauseflow-card mathjax_ignore tex2jax_ignore" style="{style}">{html}</div>'


def as_html(facts: Mapping[str, Any]) -> str:
    """Write the record of a suspension."""
    question, decision = facts["question"], facts.get("decision")
    parts = [f"<strong>{_html(_heading(facts))}</strong>"]
    if question.get("message"):
        parts.append(f"<div>{render_markdown(printable_lines(question['message']))}</div>")
    parts += _value_as_html("", question.get("data")) if question.get("data") is not None else []
    parts += [f"<div>{_html(line)}</div>" for line in _lines(facts)]
    parts += [f'<div style="{_GAP}">{_html(line)}</div>' for line in _refusals(facts)]
    if decision is not None:
        parts.append(f'<div style="{_GAP}">{_decision_as_html(decision, question)}</div>')
    return boxed("".join(parts), DECIDED if decision is not None else WAITING)


def as_text(facts: Mapping[str, Any]) -> str:
    """Write the record of a suspension for terminals and readers of plain text."""
    question, decision = facts["question"], facts.get("decision")
    lines = [_heading(facts), question.get("message"), *_lines(facts)]
    lines += [_shortened(question["data"])] if question.get("data") is not None else []
    lines += _refusals(facts)
    if decision is not None:
        lines.append(_decided(decision, question))
        lines += [f"Answer: {_shortened(decision['answer'])}"] if decision.get("answer") is not None else []
    return printable_lines("\n".join(filter(None, lines)))


def earlier_as_html(all_facts: Iterable[Mapping[str, Any]]) -> str:
    """Fold records of earlier runs into one line that opens."""
    records = list(all_facts)
    cards = "".join(
        f'<div style="{_GAP}"><small>{_html(_run(facts))}</small>{as_html(facts)}</div>' for facts in records
    )
    return f"<details><summary>{_html(_count(len(records)))}</summary>{cards}</details>"


def earlier_as_text(all_facts: Iterable[Mapping[str, Any]]) -> str:
    """Write records of earlier runs one below the other."""
    records = list(all_facts)
    return "\n\n".join([_count(len(records)), *(f"{_run(facts)}\n{as_text(facts)}" for facts in records)])


def sentence_of(kind: str, action: str, approvals: Iterable[Mapping[str, Any]]) -> str:
    """Say who or what ended a suspension, and when.

    Args:
        kind: Of the suspension.
        action: `"resume"`, `"cancel"` or `"timeout"`.
        approvals: `{"by", "at"}` and perhaps `{"known_by", "comment"}` of everybody who had a part in it.
    """
    given = list(approvals)
    is_silence = kind in ("suspend", "pause") and all(each["by"] == "clock" for each in given)
    done = {"cancel": "Cancelled", "timeout": "Timed out"}.get(action) or _DONE.get(kind, "Resumed")
    sentence = f"{done} by {', '.join(map(_part, given))}."
    return f"Nobody answered in time. {sentence}" if is_silence and action != "cancel" else sentence


def _part(approval: Mapping[str, Any]) -> str:
    by = str(approval["by"])
    who = _PEOPLE.get(by) or identity.in_words(by, approval)
    comment = approval.get("comment")
    return f"{who}{at_moment(str(approval.get('at') or ''))}" + (f" (“{comment}”)" if comment else "")


def at_moment(moment: str) -> str:
    """Write a moment as people read it; nothing where there is none."""
    try:
        return f" at {datetime.fromisoformat(moment).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    except ValueError:
        return ""


def _decided(decision: Mapping[str, Any], question: Mapping[str, Any]) -> str:
    """Say what was decided, with the author's word for it if a person chose it."""
    label = (question.get("labels") or {}).get(decision.get("action"))
    sentence = str(decision["sentence"])
    return sentence if label is None or decision.get("by") == "clock" else f"{label}: {sentence}"


def _decision_as_html(decision: Mapping[str, Any], question: Mapping[str, Any]) -> str:
    kind, approvals = question["kind"], decision.get("approvals") or []
    html = f"<strong>{_html(_decided(decision, question))}</strong>"
    if len(approvals) > 1 and decision["action"] == "resume":
        people = "".join(f"<li>{_html(_part(each))}</li>" for each in approvals)
        done = _DONE.get(kind, "Resumed")
        html = f'<strong>{done} by {len(approvals)} people</strong><ul style="margin:.2em 0">{people}</ul>'
    answer = decision.get("answer")
    return html if answer is None else html + "".join(_value_as_html("Answer", answer))


def _lines(facts: Mapping[str, Any]) -> list[str]:
    """What is said of the waiting itself; once it is over, only what is lost with it."""
    if facts.get("decision"):
        return list(facts["unsaved"])
    question = facts["question"]
    waits = f"{_waits(facts).capitalize()}." if question["title"] else None
    return [*filter(None, [waits, _choice(question), question["until"]]), *facts["unsaved"]]


def _choice(question: Mapping[str, Any]) -> str | None:
    """Name the two answers, if the author did."""
    if not question.get("labels"):
        return None
    has_schema = question.get("schema") is not None
    labels = button_labels(question["kind"], has_schema=has_schema, own=question["labels"])
    return f"To choose: {labels['resume']}, or {labels['cancel']}."


def _heading(facts: Mapping[str, Any]) -> str:
    """The title that the step gave it, or what the step does or did."""
    title = facts["question"]["title"]
    if title:
        return str(title)
    return f"Step {facts['step']} {_waits(facts)}" if facts["step"] else _waits(facts).capitalize()


def _waits(facts: Mapping[str, Any]) -> str:
    question, is_over = facts["question"], facts.get("decision") is not None
    kind, waits = question["kind"], "waited" if is_over else "waits"
    if kind == "rerun":
        return "was to run again" if is_over else "will run again"
    if kind == "delay":
        return f"{waits} for the clock"
    if kind == "notebook":
        return f"{waits} for {', '.join(question['notebooks'])}"
    return "asked for an answer" if is_over else "waits for an answer"


def _refusals(facts: Mapping[str, Any]) -> list[str]:
    which = "An earlier answer" if facts.get("decision") else "The answer"
    return [
        f"{which} was refused: {in_words(refused['errors'])}. It came from {_part(refused)}: {_shortened(refused['answer'])}"
        for refused in facts.get("refused") or []
    ]


def _run(facts: Mapping[str, Any]) -> str:
    return f"Run {facts['run']}"


def _count(number: int) -> str:
    return "1 earlier decision" if number == 1 else f"{number} earlier decisions"


def _value_as_html(label: str, value: JSON) -> list[str]:
    heading = f"<div>{_html(label)}:</div>" if label else ""
    if isinstance(value, dict) and 0 < len(value) <= _MOST_ROWS and all(map(_is_short, value.values())):
        rows = "".join(
            f'<tr style="background:none"><th scope="row" style="{_CELL};font-weight:normal;opacity:.75">{_html(str(key))}</th>'
            f'<td style="{_CELL};white-space:pre-wrap">{_html(_word(each))}</td></tr>'
            for key, each in value.items()
        )
        return [heading, f'<table style="border:none;margin:.2em 0">{rows}</table>']
    if _is_short(value):
        return [f"<div>{_html(f'{label}: ' if label else '')}{_html(_word(value))}</div>"]
    return [heading, f'<pre style="margin:.2em 0;white-space:pre-wrap">{_html(_shortened(value))}</pre>']


def _is_short(value: JSON) -> bool:
    return not isinstance(value, (dict, list)) and len(str(value)) <= _LONGEST_VALUE // 10


def _word(value: JSON) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shortened(value: JSON) -> str:
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + " …"


def _html(text: str) -> str:
    return escape(printable_lines(text))
