"""Render the card of a suspension as HTML and as text: the question, and who decided what.

Everything is escaped, because titles come from the notebook, and answers and comments from everybody who has a link.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

from pauseflow_nb import identity
from pauseflow_nb.actions import USUAL_ACTIONS, button_labels, name_decision
from pauseflow_nb.forms.markdown import as_html as render_markdown
from pauseflow_nb.forms.schema import join_errors
from pauseflow_nb.json_values import JSON
from pauseflow_nb.printable import printable_lines

# Enough to recognise the question and the answer; the metadata and the approval page have the complete values.
_LONGEST_VALUE = 2000
_MOST_ROWS = 20

#: The colour of a card's edge, readable on white and on black.
WAITING, DECIDED, WRONG = "#c77700", "#808080", "#d1443c"
_GAP = "margin:.4em 0 0"
_CELL = "padding:.1em .8em .1em 0;text-align:left;vertical-align:top;border:none"


def render_box(html: str, colour: str) -> str:
    """Put HTML into the box of all records; formulas in it are not rendered."""
    style = f"border-left:4px solid {colour};padding:.4em .8em;margin:.2em 0;overflow-wrap:anywhere"
    return f'<div class="pauseflow-card mathjax_ignore tex2jax_ignore" style="{style}">{html}</div>'


def render_html(facts: Mapping[str, Any]) -> str:
    """Render a card as HTML."""
    question, decision = facts["question"], facts.get("decision")
    parts = [f"<strong>{_escape(_write_heading(facts))}</strong>"]
    if question.get("message"):
        parts.append(f"<div>{render_markdown(printable_lines(question['message']))}</div>")
    parts += _render_value("", question.get("data")) if question.get("data") is not None else []
    parts += [_render_check(check) for check in question.get("drift") or []]
    parts += [f"<div>{_escape(line)}</div>" for line in _list_lines(facts)]
    parts += [f'<div style="{_GAP}">{_escape(line)}</div>' for line in _list_refusals(facts)]
    if decision is not None:
        parts.append(f'<div style="{_GAP}">{_render_decision(decision, question)}</div>')
    return render_box("".join(parts), DECIDED if decision is not None else WAITING)


def render_text(facts: Mapping[str, Any]) -> str:
    """Render a card as plain text."""
    question, decision = facts["question"], facts.get("decision")
    lines = [_write_heading(facts), question.get("message"), *_list_lines(facts)]
    lines += [_shorten(question["data"])] if question.get("data") is not None else []
    lines += [line for check in question.get("drift") or [] for line in write_check(check)]
    lines += _list_refusals(facts)
    if decision is not None:
        lines.append(str(decision["sentence"]))
        lines += [f"Answer: {_shorten(decision['answer'])}"] if _has_answer(decision) else []
    return printable_lines("\n".join(filter(None, lines)))


def render_checks_html(checks: Iterable[Mapping[str, Any]]) -> str:
    """Render the checks of a fresh cell as HTML."""
    found = list(checks)
    return render_box("".join(map(_render_check, found)), WRONG if found[-1]["is_drift"] else DECIDED)


def render_checks_text(checks: Iterable[Mapping[str, Any]]) -> str:
    """Render the checks of a fresh cell as plain text."""
    return printable_lines("\n".join(line for check in checks for line in write_check(check)))


def write_check(check: Mapping[str, Any]) -> list[str]:
    """Write a check of a fresh cell in lines, each of which begins with whether its value has changed."""
    lines = [f"{check['name']}, checked again{format_moment(check['at'])}: {check['reason']}."]
    lines += [
        f"  {'changed' if row['changed'] else 'same   '}  {row['place'] or check['name']}: {row['old']} → {row['new']}"
        for row in check["rows"]
        if check["is_drift"]
    ]
    return lines + ([f"  and {check['more']} more that have changed"] if check["more"] else [])


def _render_check(check: Mapping[str, Any]) -> str:
    title = f"<strong>{_escape(check['name'])}</strong>, checked again{format_moment(check['at'])}: "
    html = f'<div style="{_GAP}">{title}{_escape(check["reason"])}.</div>'
    if not check["is_drift"] or not check["rows"]:
        return html
    rows = "".join(_render_row(check, row) for row in check["rows"])
    heads = "".join(f'<th scope="col" style="{_CELL}">{word}</th>' for word in ("", "shown", "now", ""))
    more = f"<div>and {check['more']} more that have changed</div>" if check["more"] else ""
    table = f'<table style="border:none;margin:.2em 0"><tr style="background:none">{heads}</tr>{rows}</table>'
    return f"{html}{table}{more}"


def _render_row(check: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    tag, word = ("mark", "changed") if row["changed"] else ("span", "")
    head = (
        f'<th scope="row" style="{_CELL};font-weight:normal;opacity:.75">{_escape(row["place"] or check["name"])}</th>'
    )
    old, new = _escape(row["old"]), f"<{tag}>{_escape(row['new'])}</{tag}>"
    columns = f'<td style="{_CELL}">{old}</td><td style="{_CELL}">{new}</td><td style="{_CELL};white-space:nowrap">{word}</td>'
    return f'<tr style="background:none">{head}{columns}</tr>'


def render_earlier_html(all_facts: Iterable[Mapping[str, Any]]) -> str:
    """Render the cards of earlier runs as one line that can be opened."""
    records = list(all_facts)
    cards = "".join(
        f'<div style="{_GAP}"><small>{_escape(_name_run(facts))}</small>{render_html(facts)}</div>' for facts in records
    )
    return f"<details><summary>{_escape(_count_decisions(len(records)))}</summary>{cards}</details>"


def render_earlier_text(all_facts: Iterable[Mapping[str, Any]]) -> str:
    """Render the cards of earlier runs as plain text, one below the other."""
    records = list(all_facts)
    return "\n\n".join(
        [_count_decisions(len(records)), *(f"{_name_run(facts)}\n{render_text(facts)}" for facts in records)]
    )


def name_decision_on(question: Mapping[str, Any], action: str, by: str) -> str:
    """Name the decision on a question; see `name_decision`."""
    has_schema = question.get("schema") is not None
    return name_decision(question["kind"], action, by=by, has_schema=has_schema, own=question.get("labels"))


def describe_approval(approval: Mapping[str, Any]) -> str:
    """Say who approved, how that is known, when, and with which comment."""
    comment = approval.get("comment")
    who = identity.describe_actor(str(approval["by"]), approval)
    return f"{who}{format_moment(str(approval.get('at') or ''))}" + (f" (“{comment}”)" if comment else "")


def format_moment(moment: str) -> str:
    """Format a time for people; empty if there is none."""
    try:
        return f" at {datetime.fromisoformat(moment).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    except ValueError:
        return ""


def _has_answer(decision: Mapping[str, Any]) -> bool:
    # Earlier versions noted only answers that are not null.
    return bool(decision.get("has_answer", decision.get("answer") is not None))


def _render_decision(decision: Mapping[str, Any], question: Mapping[str, Any]) -> str:
    approvals = decision.get("approvals") or []
    html = f"<strong>{_escape(str(decision['sentence']))}</strong>"
    if len(approvals) > 1 and decision["action"] == "resume":
        people = "".join(f"<li>{_escape(describe_approval(each))}</li>" for each in approvals)
        done = name_decision_on(question, "resume", decision["by"])
        html = f'<strong>{_escape(done)} by {len(approvals)} people</strong><ul style="margin:.2em 0">{people}</ul>'
    return html + "".join(_render_value("Answer", decision["answer"])) if _has_answer(decision) else html


def _list_lines(facts: Mapping[str, Any]) -> list[str]:
    """List what the suspension waits for and until when; once it is decided, only the variables that were not saved."""
    if facts.get("decision"):
        return list(facts["unsaved"])
    question = facts["question"]
    waits = f"{_describe_wait(facts).capitalize()}." if question["title"] else None
    return [*filter(None, [waits, _describe_buttons(question), question["until"]]), *facts["unsaved"]]


def _describe_buttons(question: Mapping[str, Any]) -> str | None:
    """Name the answers, if the author chose them or their names."""
    allow = question.get("allow") or USUAL_ACTIONS
    if not question.get("labels") and tuple(allow) == USUAL_ACTIONS:
        return None
    has_schema = question.get("schema") is not None
    labels = button_labels(question["kind"], has_schema=has_schema, own=question["labels"], allow=allow)
    *others, last = (labels[action] for action in allow)
    return f"To choose: {', '.join(others)}{', or ' * bool(others)}{last}."


def _write_heading(facts: Mapping[str, Any]) -> str:
    """Return the title of the question; without one, a sentence about the step."""
    title = facts["question"]["title"]
    if title:
        return str(title)
    waits = _describe_wait(facts)
    return f"Step {facts['step']} {waits}" if facts["step"] else waits.removeprefix("was ").capitalize()


def _describe_wait(facts: Mapping[str, Any]) -> str:
    question, is_over = facts["question"], facts.get("decision") is not None
    kind, waits = question["kind"], "waited" if is_over else "waits"
    if kind == "rerun":
        return "was to run again" if is_over else "will run again"
    if kind == "delay":
        return f"{waits} for the clock"
    if kind == "operator":
        return "was suspended from outside"
    if kind == "notebook":
        return f"{waits} for {', '.join(question['notebooks'])}"
    return "asked for an answer" if is_over else "waits for an answer"


def _list_refusals(facts: Mapping[str, Any]) -> list[str]:
    which = "An earlier answer" if facts.get("decision") else "The answer"
    return [f"{which} {_describe_refusal(refused)}" for refused in facts.get("refused") or []]


def _describe_refusal(refused: Mapping[str, Any]) -> str:
    came = f"It came from {describe_approval(refused)}"
    if refused.get("is_drift"):
        return f"did not count: {join_errors(refused['errors'])}. {came}."
    return f"was refused: {join_errors(refused['errors'])}. {came}: {_shorten(refused['answer'])}"


def _name_run(facts: Mapping[str, Any]) -> str:
    return f"Run {facts['run']}"


def _count_decisions(number: int) -> str:
    return "1 earlier decision" if number == 1 else f"{number} earlier decisions"


def _render_value(label: str, value: JSON) -> list[str]:
    heading = f"<div>{_escape(label)}:</div>" if label else ""
    if isinstance(value, dict) and 0 < len(value) <= _MOST_ROWS and all(map(_is_short, value.values())):
        rows = "".join(
            f'<tr style="background:none"><th scope="row" style="{_CELL};font-weight:normal;opacity:.75">{_escape(str(key))}</th>'
            f'<td style="{_CELL};white-space:pre-wrap">{_escape(_format_value(each))}</td></tr>'
            for key, each in value.items()
        )
        return [heading, f'<table style="border:none;margin:.2em 0">{rows}</table>']
    if _is_short(value):
        return [f"<div>{_escape(f'{label}: ' if label else '')}{_escape(_format_value(value))}</div>"]
    return [heading, f'<pre style="margin:.2em 0;white-space:pre-wrap">{_escape(_shorten(value))}</pre>']


def _is_short(value: JSON) -> bool:
    return not isinstance(value, (dict, list)) and len(str(value)) <= _LONGEST_VALUE // 10


def _format_value(value: JSON) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _shorten(value: JSON) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value, indent=2, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + " …"


def _escape(text: str) -> str:
    return escape(printable_lines(text))
