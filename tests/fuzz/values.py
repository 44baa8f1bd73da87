"""The values that all targets are fuzzed with: texts, JSON, JSON Schemas, and damage done to good inputs."""

import json
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

__all__ = [
    "bytes_damaged",
    "header_names",
    "header_values",
    "json_texts",
    "json_values",
    "maybe_large",
    "names",
    "schemas",
    "text_damaged",
    "texts",
]

#: Texts that programs have stumbled over, here or elsewhere.
NASTY = (
    "", " ", "\0", "\r\n", "\ufeff", "\u2028", "\u202e\u2066", "\x1b]0;title\x07", "\x1b[2J", "\x9b31m", "\ud7ff\U0010ffff",
    "null", "true", "on", "NaN", "Infinity", "-0", "1e999", "-1e400", "1E+5", "0x10", "1_000", "٣", "²", "½",
    "9" * 5000, "." * 300, "%", "%2E%2e%2f", "%00", "../../etc/passwd", "~/x", "C:\\x", "//host/x", "file:///etc/passwd",
    "{", "[", '"', "'", "\\", "{}", "[]", '{"a"', "[" * 600, '{"a":' * 150, "a: &a [*a]", "!!python/object:os.system x",
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "javascript:alert(1)", "{{7*7}}", "{0.__class__}", "${7*7}",
    "a@b, evil@x", "x\r\nBcc: y@z", "'; DROP TABLE executions --", "__class__", "__proto__", "constructor", "$ref", "#/$defs/A",
    "2026-11-20", "2026-11-20T14:30", "2026-11-20T14:30:00Z", "9999-12-31T23:59:59+14:00", "24:00", "90s", "1h30m", "-1s",
    "a" * 32 + "!", "0" * 40, "decision", "data", "comment", "answer", "answer/", "answer/rows/99/a", "pauseflow_page",
)  # fmt: skip

#: Numbers as JSON text, of which no reader should make infinity or fail.
_NUMBERS = (
    "1e999",
    "-1e999",
    "1e-999",
    "9" * 400,
    "9" * 4500,
    "-0",
    "0.1e1",
    "1.0",
    "01",
    "+1",
    "NaN",
    "-Infinity",
    "0" * 20,
)

_CHARACTERS = st.characters(exclude_categories=["Cs"])


@st.composite
def maybe_large(draw: DrawFn, pieces: SearchStrategy[Any]) -> Any:
    """Repeat a text or bytes, now and then so often that reading it must not cost the square of its length."""
    piece = draw(pieces)
    times = draw(st.sampled_from([1] * 40 + [2, 3, 30, 300, 3000, 60_000]))
    return piece * min(times, 300_000 // (len(piece) or 1) + 1)


texts = st.one_of(
    st.sampled_from(NASTY), st.text(_CHARACTERS, max_size=30), st.text(st.characters(max_codepoint=127), max_size=30)
)

#: Names of fields.
names = st.one_of(st.sampled_from(["a", "b", "rows", "value", "decision", "comment", "data", "~1", "a/b"]), texts)

_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([10**30, -(2**63) - 1, 2**53 + 1, 1e308, 5e-324, -0.0]),
    st.floats(allow_nan=False, allow_infinity=False), texts,
)  # fmt: skip

json_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=4)),
    max_leaves=12,
)


@st.composite
def _odd_json(draw: DrawFn) -> str:
    """Write JSON that most writers would not: numbers out of range, names twice, deep, half a character, long."""
    kind = draw(st.sampled_from(["number", "deep", "twice", "surrogate", "many", "spaced"]))
    if kind == "number":
        return draw(st.sampled_from(["{}", "[{}]", '{{"x": {}}}', '{{"a": [{{"b": {}}}]}}'])).format(
            draw(st.sampled_from(_NUMBERS))
        )
    if kind == "deep":
        depth = draw(st.sampled_from([50, 99, 100, 101, 500, 700, 950, 1200, 5000, 100_000]))
        return draw(st.sampled_from(["[", '{"a":', '[{"a":'])) * depth + draw(st.sampled_from(["", "1", "]" * depth]))
    if kind == "twice":
        return '{"a": 1, "a": ' + json.dumps(draw(json_values)) + ', "\\u0061": 3}'
    if kind == "surrogate":
        name = draw(st.sampled_from(["a", "\\ud800"]))
        value = draw(st.sampled_from(["\\ud800", "\\udc00\\ud800", "\\u0000"]))
        return f'{{"{name}": "{value}"}}'
    if kind == "many":
        item = json.dumps(draw(json_values))
        return "[" + ",".join([item] * draw(st.sampled_from([10, 1000, 20_000]))) + "]"
    return " \t\n" * draw(st.integers(0, 500)) + json.dumps(draw(json_values), indent=2) + draw(texts)


@st.composite
def text_damaged(draw: DrawFn, originals: SearchStrategy[str]) -> str:
    """Damage a good text: cut, repeat, swap, insert."""
    text = draw(originals)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        end = min(len(text), at + draw(st.integers(0, 20)))
        how = draw(st.sampled_from(["cut", "repeat", "insert", "end", "replace"]))
        if how == "cut":
            text = text[:at] + text[end:]
        elif how == "repeat":
            text = text[:at] + text[at:end] * draw(st.integers(2, 20)) + text[end:]
        elif how == "insert":
            text = text[:at] + draw(texts) + text[at:]
        elif how == "replace":
            text = text[:at] + draw(texts) + text[end:]
        else:
            text = text[:at]
    return text


@st.composite
def bytes_damaged(draw: DrawFn, originals: SearchStrategy[bytes]) -> bytes:
    """Damage good bytes: flip, cut, repeat, insert."""
    data = draw(originals)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 40)))
        how = draw(st.sampled_from(["cut", "repeat", "insert", "end", "flip"]))
        if how == "cut":
            data = data[:at] + data[end:]
        elif how == "repeat":
            data = data[:at] + data[at:end] * draw(st.integers(2, 9)) + data[end:]
        elif how == "insert":
            data = data[:at] + draw(st.binary(max_size=12)) + data[at:]
        elif how == "flip":
            data = data[:at] + bytes(byte ^ draw(st.integers(1, 255)) for byte in data[at : at + 1]) + data[at + 1 :]
        else:
            data = data[:at]
    return data


json_texts = st.one_of(json_values.map(json.dumps), text_damaged(json_values.map(json.dumps)), _odd_json(), texts)

header_names = st.sampled_from(
    ["Accept", "Accept-Language", "Cookie", "Content-Encoding", "Content-Type", "Expect", "Forwarded", "Host", "Origin",
     "Purpose", "Referer", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Purpose", "Transfer-Encoding", "User-Agent", "X-Api-Key",
     "X-Forwarded-For", "X-Forwarded-Proto", "X-HTTP-Method-Override", "X-Real-IP", "Authorization", "Idempotency-Key"]
)  # fmt: skip

_GOOD_HEADER_VALUES = (
    "text/html,application/xhtml+xml,*/*;q=0.8", "application/json", "*/*", "text/html;q=0", "text/html;q=nan", "text/html;q=1e999",
    "application/json;q=0.5, text/html;q=0.50001", "curl/8.5.0", "python-requests/2.32", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://x)",
    "Slackbot-LinkExpanding 1.0", "node-fetch", "Go-http-client/1.1", "navigate", "prefetch;prerender", "gzip", "chunked", "identity",
    "100-continue", "for=1.2.3.4", "1.2.3.4, 5.6.7.8", "https", "evil.example", "null", "Bearer x", "GET", "DELETE",
)  # fmt: skip

header_values = st.one_of(
    st.sampled_from(_GOOD_HEADER_VALUES),
    text_damaged(st.sampled_from(_GOOD_HEADER_VALUES)),
    texts,
    maybe_large(st.just("a,;q=")),
)

_PATTERNS = (
    "^[a-z]+$",
    "^([a-z]+)+$",
    "^(a|a)*b$",
    "(",
    "[",
    "\\p{L}+",
    "(?<n>x)",
    "(?i)x",
    "^\\d{1,3}$",
    "x{1,99999}",
    "\\1",
    "",
)
_FORMATS = (
    "date",
    "date-time",
    "time",
    "email",
    "uuid",
    "uri",
    "regex",
    "iri",
    "ipv6",
    "json-pointer",
    "textarea",
    "idn-email",
    "x",
)
_TYPES: tuple[Any, ...] = (
    "string",
    "integer",
    "number",
    "boolean",
    "array",
    "object",
    "null",
    "any",
    ["string", "null"],
    ["integer", "string"],
    [],
)


_leaves = st.one_of(
    st.sampled_from([{"type": kind} for kind in _TYPES] + [{}]),
    st.sampled_from([{"type": "string", "pattern": pattern} for pattern in _PATTERNS]),
    st.sampled_from([{"type": "string", "format": name} for name in _FORMATS]),
    st.sampled_from([{"$ref": "#"}, {"$ref": "#/$defs/A"}, True, False]),
)


@st.composite
def _models(draw: DrawFn) -> dict[str, Any]:
    """An object with fields, as a question mostly asks for one."""
    kinds = st.recursive(
        _leaves,
        lambda inner: st.one_of(st.builds(lambda i: {"type": "array", "items": i}, inner), _keyworded(inner)),
        max_leaves=4,
    )
    fields = draw(st.dictionaries(names, kinds, max_size=4))
    made: dict[str, Any] = {
        "type": "object",
        "properties": fields,
        "required": draw(st.lists(st.sampled_from(sorted(fields) or ["a"]), unique=True, max_size=3)),
    }
    if draw(st.booleans()):
        made["$defs"] = {"A": draw(kinds), "B": {"type": "object", "properties": {"a": {"$ref": "#/$defs/B"}}}}
    return made


def _keyworded(inner: SearchStrategy[Any]) -> SearchStrategy[Any]:
    keywords = {
        "anyOf": st.lists(inner, min_size=1, max_size=3), "oneOf": st.lists(inner, min_size=1, max_size=3),
        "allOf": st.lists(inner, min_size=1, max_size=2), "not": inner, "items": inner, "contains": inner,
        "properties": st.dictionaries(names, inner, max_size=3), "additionalProperties": inner,
        "enum": st.lists(json_values, min_size=1, max_size=4), "const": json_values, "default": json_values, "title": texts,
        "uniqueItems": st.just(True), "minItems": st.sampled_from([0, 1, 3]), "maxLength": st.sampled_from([0, 3, 300]),
        "minimum": st.sampled_from([0, -1.5, 10**20]), "multipleOf": st.sampled_from([1, 0.1, 1e-300, 10**30]),
        "unevaluatedProperties": st.just(False), "required": st.lists(names, max_size=2, unique=True),
        "patternProperties": st.dictionaries(st.sampled_from(_PATTERNS), inner, max_size=1),
        "propertyNames": inner, "dependentSchemas": st.dictionaries(names, inner, max_size=1),
        "$ref": st.sampled_from(["#", "#/$defs/A", "#/$defs/B", "#/properties/a", "#a", "http://127.0.0.1:9/x", "#/%", ""]),
        "$dynamicRef": st.just("#"), "$anchor": st.just("a"), "$id": st.sampled_from(["http://x/y", "#", "urn:x"]),
        "type": st.sampled_from(_TYPES), "format": st.sampled_from(_FORMATS), "minLength": st.sampled_from([-1, 1.0, 10**20]),
    }  # fmt: skip
    one = st.sampled_from(sorted(keywords)).flatmap(lambda key: keywords[key].map(lambda value: {key: value}))
    return st.lists(one, min_size=1, max_size=3).map(
        lambda parts: {key: value for part in parts for key, value in part.items()}
    )


#: JSON Schemas, many of them good ones; some are none.
schemas = st.one_of(
    _models(), _keyworded(_leaves), _keyworded(_keyworded(_leaves)), st.dictionaries(names, json_values, max_size=3)
)
