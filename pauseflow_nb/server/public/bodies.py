"""Parse the body of a request into JSON for the notebook.

JSON and forms are parsed, other text is a string, and other bytes become base64 with a marker. A body that claims to be JSON
and is not is an error, so that it settles nothing. The time is always proportional to the size of the body.
"""

import base64
import re
from dataclasses import dataclass
from encodings.aliases import aliases
from urllib.parse import parse_qsl

from tornado.httputil import HTTPFile, parse_multipart_form_data

from pauseflow_nb.errors import InvalidBody, UnknownCharset
from pauseflow_nb.json_values import JSON, read_json

#: Longest Content-Type that is read, in characters.
_LONGEST_TYPE = 1000
#: Longest part of a type that an error repeats, in characters.
_LONGEST_SHOWN = 100
#: Longest boundary, in bytes, as RFC 2046 limits it.
_LONGEST_BOUNDARY = 70
_MOST_PARTS = 1000
#: Most fields of a form or a query. The form of the page has at most 200 rows in each list.
_MOST_FIELDS = 10_000

# Python has more codecs, and some, such as `punycode`, take minutes for a small body. It also remembers every name
# that it has looked up.
_WEB_CODECS = frozenset(
    {
        *("ascii", "utf_8", "utf_16", "utf_16_le", "utf_16_be"),
        *("latin_1", "mac_roman", "mac_cyrillic", "koi8_r", "koi8_u", "tis_620"),
        *(f"iso8859_{part}" for part in (*range(2, 12), *range(13, 17))),
        *("cp866", "cp874", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258"),
        *("gb2312", "gbk", "gb18030", "big5", "big5hkscs"),
        *("euc_jp", "iso2022_jp", "shift_jis", "cp932", "euc_kr", "cp949"),
    }
)
#: Name on the web that Python does not know → name of the codec.
_WEB_ALIASES = {"windows_31j": "cp932", "windows_874": "cp874", "windows_949": "cp949", "x_sjis": "shift_jis"}

_PARAMETER = re.compile(r';\s*([a-z]+)\s*=\s*(?:"([^"]*)"|([^;,\s"]*))', re.IGNORECASE)


@dataclass(frozen=True)
class Body:
    """A parsed body, for the notebook."""

    #: The parsed value; None for an empty body.
    value: JSON
    #: The text of the body; None for bytes that are not text, and for a body in a file.
    raw: str | None
    #: Whether it was a form, in which every value is text.
    is_form: bool = False


def parse_body(data: bytes, content_type: str | None) -> Body:
    """Parse a body by its Content-Type.

    Args:
        data: The whole body.
        content_type: Value of the header; without one, the body is text if it is UTF-8.

    Raises:
        InvalidBody: If it does not match the header.
        UnknownCharset: If its charset is not used on the web.
    """
    if not data:
        return Body(None, "")
    kind, parameters = _read_type(content_type or "application/octet-stream")
    codec = _find_codec(parameters.get("charset"), kind)
    if kind == "multipart/form-data":
        parts = _parse_multipart(data, parameters.get("boundary", "").encode(errors="replace"), codec or "utf_8")
        return Body(parts, _decode_text(data, "utf_8"), is_form=True)
    text = _decode_text(data, codec or "utf_8")
    if kind == "application/json" or kind.endswith(("+json", "/json")):
        return Body(parse_json(_describe_body(kind), text), text)
    if text is None and codec is not None:
        raise InvalidBody(_describe_body(kind), f"is not {parameters['charset']}")
    if text is None:
        return Body(_encode_bytes(data), None)
    if kind == "application/x-www-form-urlencoded":
        value, is_form = _parse_form(text, codec or "utf_8")
        return Body(value, text, is_form=is_form)
    return Body(text, text)


def parse_json(what: str, text: str | None) -> JSON:
    """Parse JSON; see `read_json`.

    Args:
        what: Name of the text in the error.
        text: The text; None if the bytes were no text.

    Raises:
        InvalidBody: If it is not JSON; says where.
    """
    if text is None:
        raise InvalidBody(what, "is not text")
    try:
        return read_json(text)
    except ValueError as problem:
        raise InvalidBody(what, str(problem)) from None


def parse_pairs(text: str, codec: str = "utf_8") -> dict[str, JSON]:
    """Parse a query or an urlencoded form; a name with several values becomes a list.

    Args:
        text: The text.
        codec: What its percent signs stand for.

    Raises:
        InvalidBody: If it has too many fields.
    """
    try:
        pairs = parse_qsl(text, keep_blank_values=True, encoding=codec, errors="replace", max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise InvalidBody("the form", f"has more than {_MOST_FIELDS} fields") from None
    return _group_values(pairs)


def _read_type(header: str) -> tuple[str, dict[str, str]]:
    header = header[:_LONGEST_TYPE]
    kinds = {each.strip().lower() for each in header.partition(";")[0].split(",")}
    if len(kinds) > 1:
        # Of two headers, one of which a proxy has added, nobody knows which is meant.
        raise InvalidBody("the body", f"has several types, {', '.join(sorted(kinds))[:_LONGEST_SHOWN]}")
    kind = kinds.pop()
    found = {match[1].lower(): match[2] or match[3] or "" for match in _PARAMETER.finditer(header)}
    return kind if "/" in kind else "text/plain", found


def _parse_form(text: str, codec: str) -> tuple[JSON, bool]:
    # `curl -d '{"approved": true}'` sends JSON and calls it a form; no browser writes a bare brace into one.
    stripped = text.strip()
    is_cut_off = stripped[:1] in ("{", "[") and "=" not in stripped
    if stripped[:1] + stripped[-1:] in ("{}", "[]") or is_cut_off:
        return parse_json("the body, which is sent as a form and looks like JSON,", text), False
    return parse_pairs(text, codec), True


def _parse_multipart(data: bytes, boundary: bytes, codec: str) -> JSON:
    what = _describe_body("multipart/form-data")
    if len(boundary) > _LONGEST_BOUNDARY or data.count(b"--" + boundary) > _MOST_PARTS:
        raise InvalidBody(what, f"has a boundary of more than {_LONGEST_BOUNDARY} bytes, or too many parts")
    texts: dict[str, list[bytes]] = {}
    files: dict[str, list[HTTPFile]] = {}
    try:
        parse_multipart_form_data(boundary, data, texts, files)
    except Exception as problem:  # noqa: BLE001 - tornado raises various errors for invalid parts
        raise InvalidBody(what, f"cannot be read ({problem})") from None
    pairs: list[tuple[str, JSON]] = []
    for name, parts in texts.items():
        pairs += [
            (name, value if (value := _decode_text(part, codec)) is not None else _encode_bytes(part)) for part in parts
        ]
    for name, uploads in files.items():
        pairs += [
            (name, {**_encode_bytes(u.body), "filename": u.filename, "content_type": u.content_type}) for u in uploads
        ]
    if not pairs:
        raise InvalidBody(what, "has no parts that can be read")
    return _group_values(pairs)


def _group_values(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    lists: dict[str, list[JSON]] = {}
    for name, value in pairs:
        lists.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in lists.items()}


def _encode_bytes(data: bytes) -> dict[str, JSON]:
    return {"$base64": base64.b64encode(data).decode("ascii"), "size": len(data)}


def _find_codec(charset: str | None, kind: str) -> str | None:
    if charset is None:
        return None
    name = charset.strip().lower().replace("-", "_").replace(" ", "_")
    codec = _WEB_ALIASES.get(name) or aliases.get(name, name)
    if codec not in _WEB_CODECS:
        raise UnknownCharset(_describe_body(kind), charset[:40])
    return codec


def _describe_body(kind: str) -> str:
    return f"the body, whose type is {kind},"


def _decode_text(data: bytes, codec: str) -> str | None:
    try:
        # The byte order mark is not part of the text.
        text = data.decode(codec).removeprefix("\ufeff")
        text.encode()
    except UnicodeError:
        return None
    return None if "\0" in text else text
