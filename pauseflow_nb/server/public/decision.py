"""What a request wants: its decision and its data, from a program or from our own page."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pauseflow_nb.errors import InvalidBody
from pauseflow_nb.forms.codec import ROOT, Entries, read_form, read_pairs
from pauseflow_nb.json_values import JSON
from pauseflow_nb.server.public.bodies import Body, parse_json
from pauseflow_nb.server.public.page import PAGE_FIELD

__all__ = ["DECISIONS", "Sent", "draft_of", "entries_of", "sent"]

Decision: TypeAlias = Literal["resume", "cancel"]

#: In characters, of what a sender has written.
_LONGEST_REPEATED = 100

#: What may be decided.
DECISIONS: tuple[Decision, ...] = ("resume", "cancel")


@dataclass(frozen=True)
class Sent:
    """One callback as its sender meant it."""

    action: Decision
    body: Body
    #: What a person says beside the fields of a form.
    comment: str | None = None


def sent(action: str, body: Body, query: dict[str, JSON], schema: dict[str, JSON] | None = None) -> Sent:
    """Read what is decided.

    Args:
        action: The link's: `"resume"` and `"cancel"` decide by themselves, `"approve"` leaves it to the request.
        body: The parsed body.
        query: The parsed query.
        schema: What an answer must be: the page has a form made of it, and forms of programs are read by it.

    Raises:
        InvalidBody: If an approve link is not told `resume` or `cancel`, or the page's data is broken JSON.
    """
    if _is_from_page(body.value):
        comment = _text_in(body, "comment").strip() or None
        return Sent(_decision(action, body.value.get("decision")), _from_page(body, schema), comment)
    if action != "approve":
        return Sent(_decision(action, action), _as_asked(body, query, schema))
    fields = body.value if isinstance(body.value, dict) else {}
    if "decision" in fields:
        data = fields.get("data")
        return Sent(_decision(action, fields["decision"]), Body(data, body.raw))
    rest = {name: value for name, value in query.items() if name != "decision"}
    return Sent(_decision(action, query.get("decision")), _as_asked(body, rest, schema))


def draft_of(body: Body) -> str:
    """What a person had typed into our page, to show it again; empty if it was not our page."""
    return _text_in(body, "data") or _text_in(body, "comment")


def entries_of(body: Body) -> Entries | None:
    """What stood in the fields of our page's form; None if it was not our page."""
    if not _is_from_page(body.value):
        return None
    return {
        name: [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
        for name, value in body.value.items()
        if name == ROOT or name.startswith(f"{ROOT}/")
    }


def _text_in(body: Body, name: str) -> str:
    text = body.value.get(name, "") if _is_from_page(body.value) else ""
    return text if isinstance(text, str) else ""


def _from_page(body: Body, schema: dict[str, JSON] | None) -> Body:
    if schema is None:
        return _typed(body.value.get("data", ""))
    return Body(read_form(schema, entries_of(body) or {}), body.raw)


def _as_asked(body: Body, query: dict[str, JSON], schema: dict[str, JSON] | None) -> Body:
    """Read a form by the schema: in one everything is text, `approved=true` too."""
    if schema is None:
        return body
    if body.is_form and isinstance(body.value, dict):
        return Body(read_pairs(schema, body.value), body.raw, is_form=True)
    if body.value is None and query:
        return Body(read_pairs(schema, query), body.raw)
    return body


def _is_from_page(value: JSON) -> bool:
    return isinstance(value, dict) and value.get(PAGE_FIELD) == "1"


def _decision(action: str, said: JSON) -> Decision:
    allowed = [decision for decision in DECISIONS if action in (decision, "approve")]
    for decision in allowed:
        if said == decision:
            return decision
    told = "is missing (send decision=resume, for example)" if said is None else f"is {repr(said)[:_LONGEST_REPEATED]}"
    raise InvalidBody("the decision", f"{told}, and this link takes {' or '.join(allowed)}")


def _typed(text: JSON) -> Body:
    """What a person typed: JSON if it is that, otherwise text; what begins like JSON must be JSON."""
    text = text if isinstance(text, str) else ""
    if not text.strip():
        return Body(None, "")
    try:
        return Body(parse_json("the answer begins like JSON but", text), text)
    except InvalidBody:
        if text.lstrip()[0] in '{["':
            raise
        return Body(text, text)
