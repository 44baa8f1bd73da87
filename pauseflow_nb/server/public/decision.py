"""Read the decision and the answer in a request of a program or of our own page."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pauseflow_nb.errors import InvalidBody
from pauseflow_nb.forms.codec import COMMENT, DATA, ROOT, Entries, Reading, read_answer, read_pairs
from pauseflow_nb.json_values import JSON, NOTHING
from pauseflow_nb.server.public.bodies import Body
from pauseflow_nb.server.public.page import PAGE_FIELD, SHOWN_FIELD

Decision: TypeAlias = Literal["resume", "send_back", "cancel"]

#: Most characters of a sender's text that an error repeats.
_LONGEST_REPEATED = 100

#: The possible decisions, if the author allows them.
_DECISIONS: tuple[Decision, ...] = ("resume", "send_back", "cancel")


@dataclass(frozen=True)
class Request:
    """The decision and the answer in one request."""

    action: Decision
    body: Body
    #: The answer if it came as a form, in which all values are text.
    reading: Reading | None = None
    #: The comment beside the fields of a form.
    comment: str | None = None
    #: Digest of the question that the page showed; None if it did not come from our page.
    seen: str | None = None


def read_request(action: str, body: Body, query: dict[str, JSON], schema: dict[str, JSON] | None = None) -> Request:
    """Read the decision and the answer.

    Args:
        action: The link's: `"resume"`, `"send_back"` and `"cancel"` decide by themselves, `"approve"` leaves it to the
            request.
        body: The parsed body.
        query: The parsed query.
        schema: The schema of answers: the page shows a form made from it, and forms of programs are read by it.

    Raises:
        InvalidBody: If a request to an approve link has no decision.
        InvalidAnswer: If a list has more rows than a form may have.
    """
    entries = read_entries(body)
    if entries is not None:
        decided = _decision(action, body.value.get("decision"))
        reading, comment = read_answer(schema, entries)
        # A body of None is no answer, and not null, unless its text is `null`.
        raw = "null" if reading.is_null else body.raw
        value = body.value.get(SHOWN_FIELD)
        seen = value if isinstance(value, str) and value else None
        if decided == "send_back" and schema is not None:
            # The fields belong to an approval, and may be incomplete.
            return Request(decided, Body(None, None), None, comment, seen)
        return Request(decided, Body(reading.value, raw), reading, comment, seen)
    if action != "approve":
        return _by_schema(_decision(action, action), body, query, schema)
    fields = body.value if isinstance(body.value, dict) else {}
    if "decision" in fields:
        raw = "null" if fields.get("data", NOTHING) is None else body.raw
        return Request(_decision(action, fields["decision"]), Body(fields.get("data"), raw))
    rest = {name: value for name, value in query.items() if name != "decision"}
    return _by_schema(_decision(action, query.get("decision")), body, rest, schema)


def read_entries(body: Body) -> Entries | None:
    """Return the contents of the inputs of our page; None if the request is not from our page."""
    if not (isinstance(body.value, dict) and body.value.get(PAGE_FIELD) == "1"):
        return None
    return {
        name: [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
        for name, value in body.value.items()
        if name in (ROOT, COMMENT, DATA) or name.startswith((f"{ROOT}/", f"{ROOT}~"))
    }


def _by_schema(action: Decision, body: Body, query: dict[str, JSON], schema: dict[str, JSON] | None) -> Request:
    """Read the form or the query of a program by the schema, because all its values are text."""
    if schema is None:
        return Request(action, body)
    if body.is_form and isinstance(body.value, dict):
        reading = read_pairs(schema, body.value)
        return Request(action, Body(reading.value, body.raw, is_form=True), reading)
    if body.value is None and not body.raw and query:
        reading = read_pairs(schema, query)
        return Request(action, Body(reading.value, body.raw), reading)
    return Request(action, body)


def _decision(action: str, value: JSON) -> Decision:
    allowed = [decision for decision in _DECISIONS if action in (decision, "approve")]
    if action == value == "approve":
        return "resume"  # the word on the button and in the link
    for decision in allowed:
        if value == decision:
            return decision
    problem = (
        "is missing (send decision=resume, for example)" if value is None else f"is {repr(value)[:_LONGEST_REPEATED]}"
    )
    words = allowed[0] if len(allowed) == 1 else "resume or cancel, and send_back if the question allows it"
    raise InvalidBody("the decision", f"{problem}, and this link takes {words}")
