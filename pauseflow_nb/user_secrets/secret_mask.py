"""Mask the values of secrets in texts and JSON, also as base64, hex, and quoted for URLs, JSON, HTML and Python."""

import base64
import html
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from functools import cached_property
from urllib.parse import quote, quote_plus

from pauseflow_nb.json_values import JSON

#: What is shown instead of a secret.
SECRET_MASK = "••••"  # noqa: S105 (it is what stands in place of one)

#: A shorter value is masked only as a separate word: otherwise it would be found in every text.
_SHORTEST = 4
#: Shorter parts and encodings are not secret on their own.
_SHORTEST_PART = 8
#: A value of at least this length is also found where a terminal or a library has wrapped it.
_SHORTEST_WRAPPED = 12
#: Most characters that are held back at the end of a stream; a longer value has lines, which are found separately.
_LONGEST_HELD = 256
# Inserted into a long word by rich, pprint, MIME and terminals: white space, also escaped, and colours.
_GAP = r"(?:\s|\\n|\x1b\[[0-9;]*m)*+"
_GAPS = re.compile(r"(?:\s|\\n|\x1b\[[0-9;]*m)+")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_QUOTED = re.compile(r"%[0-9A-Fa-f]{2}")
#: Characters that no quoting changes.
_UNCHANGED = re.compile(r"[A-Za-z0-9]+")


class SecretMask:
    """Masks the secrets whose values were passed to `add`."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._words: list[re.Pattern[str]] = []
        self._forms: list[_Forms] = []
        self._beginnings: set[str] = set()
        #: Groups of forms of the values; see `_Forms`.
        self._encoded: list[tuple[bytes, list[bytes]]] = []

    def __bool__(self) -> bool:
        return bool(self._values)

    def add(self, value: str) -> bool:
        """Mask a value from now on; returns False if it was masked before."""
        if not value or value in self._values:
            return False
        self._values.add(value)
        if len(value) < _SHORTEST:
            self._words.append(re.compile(rf"(?<!\w){re.escape(value)}(?!\w)"))
            return True
        added = list(_list_forms(value))
        self._forms = sorted([*self._forms, *added], key=lambda forms: -len(forms.written[0]))
        self._beginnings |= {beginning for forms in added for beginning in forms.beginnings()}
        wide = value.encode("utf-32-le", "surrogatepass")
        self._encoded += [(wide, [wide]), *(forms.encoded() for forms in added)]
        return True

    def text(self, text: str) -> str:
        """Return a text with all values masked."""
        for forms in self._forms:
            if forms.needle in text:
                text = forms.mask(text)
        for word in self._words:
            text = word.sub(SECRET_MASK, text)
        joined = _join(text)
        if len(joined) < len(text):
            for forms in self._forms:
                if forms.needle in joined:
                    text = forms.mask_wrapped(text, joined)
        return text

    def value(self, value: JSON) -> JSON:
        """Return a copy of a JSON value with all texts and keys masked."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key) if isinstance(key, str) else key: self.value(each) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(each) for each in value]
        return value

    def is_in(self, value: JSON) -> bool:
        """Whether a JSON value contains a secret as text, at any depth."""
        return bool(self.value(value) != SecretMask().value(value))

    def count_beginning(self, text: str) -> int:
        """Count the characters at the end of a text that may be the beginning of a secret."""
        most = min(len(text), _LONGEST_HELD)
        return next((count for count in range(most, 0, -1) if text[-count:] in self._beginnings), 0)

    def is_in_memory(self, memory: bytes) -> bool:
        """Whether raw memory or a pickle contains a secret: in any form as UTF-8, or unquoted as UTF-32."""
        return any(needle in memory and any(form in memory for form in forms) for needle, forms in self._encoded)

    @property
    def longest(self) -> int:
        """Return the length of the longest byte string that `is_in_memory` looks for."""
        return max((len(form) for _, forms in self._encoded for form in forms), default=0)


class _Forms:
    """Ways to write one value that share a part, the longest first."""

    def __init__(self, needle: str, written: Iterable[str]) -> None:
        #: The part that all of them share; may be empty.
        self.needle = needle
        self.written = sorted(set(written), key=lambda form: (-len(form), form))

    def beginnings(self) -> Iterator[str]:
        """Return every proper prefix of the forms."""
        for form in self.written:
            if len(form) <= _LONGEST_HELD:
                yield from (form[:count] for count in range(1, len(form)))

    def encoded(self) -> tuple[bytes, list[bytes]]:
        """Return `needle` and `written` as UTF-8."""
        written = [form.encode("utf-8", "surrogatepass") for form in self.written]
        return self.needle.encode("utf-8", "surrogatepass"), written

    def mask(self, text: str) -> str:
        """Mask the forms that a text contains unwrapped."""
        for form in self.written:
            if form in text:
                text = text.replace(form, SECRET_MASK)
        if self._quoted and "%" in text:
            capitals = _QUOTED.sub(lambda found: found[0].upper(), text)
            for form, pattern in self._quoted:
                if form in capitals:
                    text = pattern.sub(SECRET_MASK, text)
        return text

    def mask_wrapped(self, text: str, joined: str) -> str:
        """Mask the forms that a text contains wrapped; `joined` is the text without the wrapping."""
        for form in self.written:
            plain = _join(form)
            if len(plain) >= _SHORTEST_WRAPPED and plain in joined:
                text = re.sub(_GAP.join(map(re.escape, plain)), SECRET_MASK, text)
        return text

    @cached_property
    def _quoted(self) -> list[tuple[str, re.Pattern[str]]]:
        """Return the forms with escaped characters, whose hexadecimal digits may be in either case."""
        return [
            (form, re.compile(_QUOTED.sub(lambda found: f"(?i:{found[0]})", re.escape(form))))
            for form in self.written
            if _QUOTED.search(form)
        ]


def _join(text: str) -> str:
    """Remove the characters that wrap long words."""
    joined = "".join(text.split())
    if "\x1b" in joined:
        joined = _COLOUR.sub("", joined)
    return joined.replace("\\n", "") if "\\n" in joined else joined


def _list_forms(value: str) -> Iterator[_Forms]:
    """List the ways to write a value, or a part of it that is itself secret."""
    parts = {part for part in (*_list_key_lines(value), *_list_json_texts(value)) if len(part) >= _SHORTEST_PART}
    for part in {value, *parts}:
        raw = part.encode("utf-8", "surrogatepass")
        unchanged = max(_UNCHANGED.findall(part), key=len, default="")
        yield _Forms(unchanged if len(unchanged) >= _SHORTEST else "", _quote(part, raw))
        for encoded in (*_write_as_numbers(raw), *_write_as_base64(raw)):
            if len(encoded) >= _SHORTEST_PART:
                yield _Forms(encoded, [encoded])


def _list_key_lines(value: str) -> Iterator[str]:
    """List the lines of a key in PEM or a similar format, without the lines that only name its type."""
    for line in value.splitlines():
        if not line.startswith("-----"):
            yield line.strip()


def _list_json_texts(value: str) -> Iterator[str]:
    """List the texts in a value that is JSON, such as the key file of a service account."""
    if value[:1] not in "{[":
        return
    try:
        todo = [json.loads(value)]
    except (ValueError, RecursionError):
        return
    while todo:
        each = todo.pop()
        if isinstance(each, str):
            yield each
            yield from _list_key_lines(each)
        elif isinstance(each, (dict, list)):
            todo.extend(each.values() if isinstance(each, dict) else each)


def _quote(value: str, raw: bytes) -> Iterator[str]:
    """Write a value unchanged, and quoted in the usual ways."""
    quoted = [quote(raw, safe=""), quote(raw), quote(raw, safe="~()*!.'"), quote_plus(raw)]
    escaped = [json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]]
    yield from (value, *quoted, *escaped)
    yield from (quote(each, safe="") for each in quoted)
    yield from (each.replace("/", "\\/") for each in escaped)
    yield from (_escape_for_scripts(each, signs) for each in escaped for signs in ("<>&", "<>&'"))
    yield from (json.dumps(each)[1:-1] for each in escaped)
    yield from (repr(value)[1:-1], ascii(value)[1:-1], repr(raw)[2:-1])
    # In a regular expression, and in a shell command.
    yield from (re.escape(value), shlex.quote(value).strip("'"))
    for apostrophe in ("&#x27;", "&#39;", "'"):
        yield from (html.escape(each).replace("&#x27;", apostrophe) for each in (value, *escaped))
    yield html.escape(value).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
    yield html.escape(value, quote=False)


def _escape_for_scripts(text: str, signs: str) -> str:
    """Escape a text like JSON inside HTML."""
    for sign in signs:
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _write_as_numbers(raw: bytes) -> Iterator[str]:
    """Write the bytes as numbers: in hex, with the usual separators, and as a list."""
    for digits in (raw.hex(), *(raw.hex(sign) for sign in ":- ")):
        yield from (digits, digits.upper())
    yield ", ".join(map(str, raw))


def _write_as_base64(raw: bytes) -> set[str]:
    """Write in base64 at each of the three offsets within longer data, without characters that neighbours change."""
    found = set()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before, first in ((0, 0), (1, 2), (2, 3)):
            whole = encode(b"\0" * before + raw).decode().rstrip("=")
            rest = (before + len(raw)) % 3
            found.add(whole[first : len(whole) - 1 if rest else None])
        found.add(encode(raw).decode())
    return found
