"""Parse the body of a request into JSON for the notebook.

JSON and forms are parsed, other text is a string, and bytes that are no text become base64 with a
marker. A body that says it is JSON and is not is an error: an answer that was meant differently
must not settle anything.
"""

import base64
import json
from dataclasses import dataclass
from email.message import Message
from typing import NoReturn
from urllib.parse import parse_qsl

from tornado.httputil import HTTPFile, HTTPInputError, parse_multipart_form_data

from pauseflow_nb.errors import InvalidBody
from pauseflow_nb.json_values import JSON

__all__ = ["Body", "parse_body", "parse_json", "parse_pairs"]


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
    """
    if not data:
        return Body(None, "")
    header = Message()
    # Anything may stand in a request's header; a line break would be a second header.
    header["Content-Type"] = " ".join((content_type or "application/octet-stream").split())
    kind = header.get_content_type()
    charset = _charset(header, kind)
    if kind == "multipart/form-data":
        parts = _multipart(data, str(header.get_param("boundary", "")), charset or "utf-8")
        return Body(parts, _text(data, "utf-8"), is_form=True)
    text = _text(data, charset or "utf-8")
    if kind == "application/json" or kind.endswith(("+json", "/json")):
        return Body(parse_json(_named(kind), text), text)
    if text is None and charset is not None:
        raise InvalidBody(_named(kind), f"is not {charset}")
    if text is None:
        return Body(_marked(data), None)
    if kind == "application/x-www-form-urlencoded":
        value, is_form = _form(text)
        return Body(value, text, is_form=is_form)
    return Body(text, text)


def parse_json(what: str, text: str | None) -> JSON:
    """Parse JSON as other languages understand it: no NaN, no half of a surrogate pair.

    Args:
        what: What the text is, for the error.
        text: The text; None if it was bytes that are none.

    Raises:
        InvalidBody: Saying what is wrong, and where.
    """
    if text is None:
        raise InvalidBody(what, "is not text")
    if not text.strip():
        return None
    try:
        value = json.loads(text.removeprefix("\ufeff"), parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise InvalidBody(what, "is nested too deeply") from None
    except UnicodeEncodeError:
        raise InvalidBody(what, "holds half of a surrogate pair") from None
    except json.JSONDecodeError as problem:
        where = f"line {problem.lineno}, column {problem.colno}"
        raise InvalidBody(what, f"is not JSON ({problem.msg.lower()}, at {where})") from None
    except ValueError as problem:
        raise InvalidBody(what, f"is not JSON ({problem})") from None
    return value


def parse_pairs(text: str) -> dict[str, JSON]:
    """Parse a query or an urlencoded form: one value is text, several of one name are a list."""
    return _gathered(parse_qsl(text, keep_blank_values=True, errors="replace"))


def _form(text: str) -> tuple[JSON, bool]:
    # `curl -d '{"approved": true}'` sends JSON and calls it a form; no browser writes a bare brace into one.
    if text.lstrip()[:1] in ("{", "["):
        try:
            return parse_json("a form", text), False
        except InvalidBody:
            pass
    return parse_pairs(text), True


def _multipart(data: bytes, boundary: str, charset: str) -> JSON:
    texts: dict[str, list[bytes]] = {}
    files: dict[str, list[HTTPFile]] = {}
    try:
        parse_multipart_form_data(boundary.encode(), data, texts, files)
    except (HTTPInputError, UnicodeError) as problem:
        raise InvalidBody(_named("multipart/form-data"), f"cannot be read ({problem})") from None
    pairs: list[tuple[str, JSON]] = []
    for name, parts in texts.items():
        pairs += [(name, value if (value := _text(part, charset)) is not None else _marked(part)) for part in parts]
    for name, uploads in files.items():
        pairs += [(name, {**_marked(u.body), "filename": u.filename, "content_type": u.content_type}) for u in uploads]
    if not pairs:
        raise InvalidBody(_named("multipart/form-data"), "has no parts that can be read")
    return _gathered(pairs)


def _gathered(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    lists: dict[str, list[JSON]] = {}
    for name, value in pairs:
        lists.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in lists.items()}


def _marked(data: bytes) -> dict[str, JSON]:
    return {"$base64": base64.b64encode(data).decode("ascii"), "size": len(data)}


def _charset(header: Message, kind: str) -> str | None:
    charset = header.get_content_charset()
    if charset is None:
        return None
    try:
        # Asks for more than lookup() would: "hex" and "zlib" are codecs, but no charsets.
        "".encode(charset)
    except (LookupError, ValueError):
        raise InvalidBody(_named(kind), f"has a charset that is not known here, {charset!r}") from None
    return charset


def _named(kind: str) -> str:
    return f"the body, which says it is {kind},"


def _text(data: bytes, charset: str) -> str | None:
    try:
        text = data.decode(charset)
        text.encode()
    except UnicodeError:
        return None
    return None if "\0" in text else text


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")
