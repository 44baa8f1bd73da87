"""Write the card of a question in test mode: what the step waits for, then how it ended."""

import html
import json
from dataclasses import dataclass

from pauseflow_nb.json_values import JSON, NOTHING
from pauseflow_nb.kernel.display import render_card, render_sentence
from pauseflow_nb.protocol import SuspensionRequest

#: Shown when a step asks to pause; the words are Pipedream's.
STOPPED = "Workflow execution canceled — this may be due to `flow.{call}()` usage (not supported in test)"
FOR_REAL = "`pauseflow run` and `papermill --engine pauseflow` pause for real."

_MOST_ROWS = 20
_LONGEST_VALUE = 2000
_SMALL = "color: var(--jp-ui-font-color2, inherit)"
_CELL = "text-align: left; vertical-align: top; border: none; padding: 1px 12px 1px 0"
_WAITS = {"rerun": "Will run again: {}", "delay": "Waiting for the clock: {}"}
_STEP = "step {!r}"


@dataclass(frozen=True)
class Ending:
    """How a question ended."""

    #: `"approved"`, `"cancelled"`, `"again"` or `"dropped"`, for programs.
    how: str
    #: Who did what, in a few words.
    headline: str
    #: What to do next.
    sentence: str
    #: The answer.
    answer: JSON = NOTHING
    #: The comment, beside the answer.
    comment: str | None = None


def write_question(step: str, call: str, request: SuspensionRequest, hint: str) -> tuple[str, str]:
    """Write what a step waits for, as text and as HTML.

    Pipedream's sentence stands first in the text, as it does there, and last and small where there is more than text.
    """
    stopped, headline = STOPPED.format(call=call), _headline(step, request)
    values = {"data": request.data, "context for the next run": request.context}
    shown = {name: value for name, value in values.items() if value is not None}
    texts = [stopped, headline, request.message, *(f"{name}: {_write_value(value)}" for name, value in shown.items())]
    plain = "\n".join([*filter(None, texts), f"{hint} {FOR_REAL}"])
    parts = [_bold(headline), _prose(request.message)]
    for name, value in shown.items():
        parts += ["" if name == "data" else f"<div>{html.escape(name)}:</div>", _value(value)]
    parts += [_small(stopped), _small(f"{hint} {FOR_REAL}")]
    return plain, render_card(markup="".join(parts))


def write_ending(
    step: str, request: SuspensionRequest, ending: Ending, *, says_what_next: bool = True
) -> tuple[str, str]:
    """Write how a question ended, as text and as HTML; the question is shown below it.

    Args:
        step: The step that asked.
        request: Its question.
        ending: How it ended.
        says_what_next: Whether to add what to do next.
    """
    next_ = ending.sentence if says_what_next else ""
    headline = f"{ending.headline}: {request.title or _STEP.format(step)}"
    from pauseflow_nb.forms.lax import format_spans  # lazily: few questions have a form
    from pauseflow_nb.forms.secrets import hide_secrets

    is_answered = ending.answer is not NOTHING and ending.answer != {}
    value = hide_secrets(ending.answer, request.schema) if is_answered else None
    if is_answered and request.schema is not None:
        value = format_spans(request.schema, value)
    answer = f"Answer: {_write_value(value)}" if is_answered else None
    comment = None if ending.comment is None else f"Comment: {_write_value(ending.comment)}"
    plain = "\n".join(filter(None, [headline, request.message, answer, comment, next_]))
    parts = [_bold(headline), _prose(request.message)]
    if is_answered:
        parts += ["<div>Answer:</div>", _value(value)]
    if ending.comment is not None:
        parts += ["<div>Comment:</div>", _value(ending.comment)]
    return plain, render_card(markup="".join([*parts, _small(next_) if next_ else ""]))


def _headline(step: str, request: SuspensionRequest) -> str:
    about = request.title or _STEP.format(step)
    return _WAITS.get(request.kind, "Waiting for your answer: {}").format(about)


def _bold(text: str) -> str:
    return f'<div style="margin: 2px 0"><strong>{html.escape(text)}</strong></div>'


def _small(text: str) -> str:
    return f'<div><small style="{_SMALL}">{render_sentence(text)}</small></div>'


def _prose(message: str | None) -> str:
    if not message:
        return ""
    from pauseflow_nb.forms.markdown import as_html  # lazily: it takes longer to load than the rest

    return str(as_html(message))


def _value(value: JSON) -> str:
    """Write JSON as HTML: as a table if it has only names and short values."""
    if isinstance(value, dict) and 0 < len(value) <= _MOST_ROWS and not any(map(_is_long, value.values())):
        rows = (
            f'<tr style="background: none"><th scope="row" style="{_CELL}; font-weight: normal">{html.escape(key)}</th>'
            f'<td style="{_CELL}">{html.escape(_write_value(each))}</td></tr>'
            for key, each in value.items()
        )
        return f'<table style="border: none; margin: 2px 0">{"".join(rows)}</table>'
    return f'<pre style="margin: 4px 0; white-space: pre-wrap">{html.escape(_write_value(value))}</pre>'


def _is_long(value: JSON) -> bool:
    return isinstance(value, (dict, list)) or len(str(value)) > _LONGEST_VALUE // 10


def _write_value(value: JSON) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]} …"
