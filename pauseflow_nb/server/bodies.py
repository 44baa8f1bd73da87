"""Parse the body of a request into JSON for the notebook.

JSON and forms are parsed, other text is a string, and bytes that are no text become base64 with a
marker. A body that says it is JSON and is not is an error: an answer that was meant differently
must not settle anything. Whatever a sender chooses, the time that it takes is in proportion to the body.
"""

import base64
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

from tornado.httputil import HTTPFile, parse_multipart_form_data

from pauseflow_nb.errors import InvalidBody, UnknownCharset
from pauseflow_nb.json_values import JSON, read_json
from pauseflow_nb.server.charsets import codec_of

__all__ = ["Body", "parse_body", "parse_json", "parse_pairs"]

#: In characters.
_LONGEST_TYPE = 1000
#: In bytes, as RFC 2046 says.
_LONGEST_BOUNDARY = 70
_MOST_PARTS = 1000
#: Of a form or a query. The page's form has at most 200 rows in each list.
_MOST_FIELDS = 10_000

_PARAMETER = re.compile(r';\s*([a-z]+)\s*=\s*(?:"([^"]*)"|([^;\s"]*))', re.IGNORECASE)


@dataclass(frozen=True)
class Body:
    """A body as the notebook gets it."""

    #: The parsed value; None for an empty body.
    value: JSON
    #: The text as it came; None for bytes that are no text, and for what was streamed to a file.
    raw: str | None
    #: Whether it was a form, in which every value is text.
    is_form: bool = False


def parse_body(data: bytes, content_type: str | None) -> Body:
    """Parse a body by its Content-Type.

    Args:
        data: The whole body.
        content_type: The header's value; None if there was none, then text if it is UTF-8.

    Raises:
        InvalidBody: If it is not what the header says.
        UnknownCharset: If its charset is not one of the web's.
    """
    if not data:
        return Body(None, "")
    kind, parameters = _read_type(content_type or "application/octet-stream")
    codec = _codec(parameters.get("charset"), kind)
    if kind == "multipart/form-data":
        parts = _multipart(data, parameters.get("boundary", "").encode(errors="replace"), codec or "utf_8")
        return Body(parts, _text(data, "utf_8"), is_form=True)
    text = _text(data, codec or "utf_8")
    if kind == "application/json" or kind.endswith(("+json", "/json")):
        return Body(parse_json(_named(kind), text), text)
    if text is None and codec is not None:
        raise InvalidBody(_named(kind), f"is not {parameters['charset']}")
    if text is None:
        return Body(_marked(data), None)
    if kind == "application/x-www-form-urlencoded":
        value, is_form = _form(text)
        return Body(value, text, is_form=is_form)
    return Body(text, text)


def parse_json(what: str, text: str | None) -> JSON:
    """Parse JSON; see `read_json`.

    Args:
        what: What the text is, for the error.
        text: The text; None if it was bytes that are none.

    Raises:
        InvalidBody: Saying what is wrong, and where.
    """
    if text is None:
        raise InvalidBody(what, "is not text")
    try:
        return read_json(text)
    except ValueError as problem:
        raise InvalidBody(what, str(problem)) from None


def parse_pairs(text: str) -> dict[str, JSON]:
    """Parse a query or an urlencoded form: one value is text, several of one name are a list.

    Raises:
        InvalidBody: If it has too many fields.
    """
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise InvalidBody("the form", f"has more than {_MOST_FIELDS} fields") from None
    return _gathered(pairs)


def _read_type(header: str) -> tuple[str, dict[str, str]]:
    header = header[:_LONGEST_TYPE]
    kind = header.partition(";")[0].strip().lower()
    found = {match[1].lower(): match[2] or match[3] or "" for match in _PARAMETER.finditer(header)}
    return kind if "/" in kind else "text/plain", found


def _form(text: str) -> tuple[JSON, bool]:
    # `curl -d '{"approved": true}'` sends JSON and calls it a form; no browser writes a bare brace into one.
    if (stripped := text.strip())[:1] + stripped[-1:] in ("{}", "[]"):
        return parse_json("the body, which is sent as a form and looks like JSON,", text), False
    return parse_pairs(text), True


def _multipart(data: bytes, boundary: bytes, codec: str) -> JSON:
    what = _named("multipart/form-data")
    if len(boundary) > _LONGEST_BOUNDARY or data.count(b"--" + boundary) > _MOST_PARTS:
        raise InvalidBody(what, f"has a boundary of more than {_LONGEST_BOUNDARY} bytes, or too many parts")
    texts: dict[str, list[bytes]] = {}
    files: dict[str, list[HTTPFile]] = {}
    try:
        parse_multipart_form_data(boundary, data, texts, files)
    except Exception as problem:  # noqa: BLE001 - whatever an odd part makes of it, its sender wrote it
        raise InvalidBody(what, f"cannot be read ({problem})") from None
    pairs: list[tuple[str, JSON]] = []
    for name, parts in texts.items():
        pairs += [(name, value if (value := _text(part, codec)) is not None else _marked(part)) for part in parts]
    for name, uploads in files.items():
        pairs += [(name, {**_marked(u.body), "filename": u.filename, "content_type": u.content_type}) for u in uploads]
    if not pairs:
        raise InvalidBody(what, "has no parts that can be read")
    return _gathered(pairs)


def _gathered(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    lists: dict[str, list[JSON]] = {}
    for name, value in pairs:
        lists.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in lists.items()}


def _marked(data: bytes) -> dict[str, JSON]:
    return {"$base64": base64.b64encode(data).decode("ascii"), "size": len(data)}


def _codec(charset: str | None, kind: str) -> str | None:
    if charset is None:
        return None
    codec = codec_of(charset)
    if codec is None:
        raise UnknownCharset(_named(kind), charset[:40])
    return codec


def _named(kind: str) -> str:
    return f"the body, which says it is {kind},"


def _text(data: bytes, codec: str) -> str | None:
    try:
        # The mark that Windows puts before a text is not a part of it.
        text = data.decode(codec).removeprefix("\ufeff")
        text.encode()
    except UnicodeError:
        return None
    return None if "\0" in text else text
