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

#: Stands in the place of a secret.
SECRET_MASK = "••••"  # noqa: S105 (it is what stands in place of one)

#: A shorter value is masked only where it stands as a word of its own, or it would be found in every text.
_SHORTEST = 4
#: Parts and encodings that are shorter are no secret by themselves.
_SHORTEST_PART = 8
#: From this length on a value is found also where a terminal or a library has wrapped it.
_SHORTEST_WRAPPED = 12
#: The end of a stream is held back for what is at most this long; a longer value has lines, which are found alone.
_LONGEST_HELD = 256
# What rich, pprint, MIME and terminals insert into a long word: white space, also escaped, and colours.
_GAP = r"(?:\s|\\n|\x1b\[[0-9;]*m)*+"
_GAPS = re.compile(r"(?:\s|\\n|\x1b\[[0-9;]*m)+")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_QUOTED = re.compile(r"%[0-9A-Fa-f]{2}")
#: What no quoting changes.
_UNCHANGED = re.compile(r"[A-Za-z0-9]+")


class SecretMask:
    """Masks the values that were passed to `add`."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._words: list[re.Pattern[str]] = []
        self._forms: list[_Forms] = []
        self._beginnings: set[str] = set()
        #: For each kind of form what is in all of them, and the forms.
        self._encoded: list[tuple[bytes, list[bytes]]] = []

    def __bool__(self) -> bool:
        return bool(self._values)

    def add(self, value: str) -> bool:
        """Mask a value from now on; returns False if it is masked already."""
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
        """Return a copy of a JSON value with all texts masked, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key) if isinstance(key, str) else key: self.value(each) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(each) for each in value]
        return value

    def is_in(self, value: JSON) -> bool:
        """Whether a JSON value holds one of the values as text, at any depth."""
        return bool(self.value(value) != SecretMask().value(value))

    def count_beginning(self, text: str) -> int:
        """Count the characters at the end of a text with which a value may begin: the rest of it may follow."""
        most = min(len(text), _LONGEST_HELD)
        return next((count for count in range(most, 0, -1) if text[-count:] in self._beginnings), 0)

    def is_in_memory(self, memory: bytes) -> bool:
        """Whether raw memory or a pickle holds a value, in UTF-8 in any form, or itself in UTF-32."""
        return any(needle in memory and any(form in memory for form in forms) for needle, forms in self._encoded)

    @property
    def longest(self) -> int:
        """Most bytes that `is_in_memory` looks for."""
        return max((len(form) for _, forms in self._encoded for form in forms), default=0)


class _Forms:
    """Ways to write one value that have a part in common, the longest first."""

    def __init__(self, needle: str, written: Iterable[str]) -> None:
        #: Is in all of them; empty if there is no such part.
        self.needle = needle
        self.written = sorted(set(written), key=lambda form: (-len(form), form))

    def beginnings(self) -> Iterator[str]:
        """Give every text that one of them begins with and that is not all of it."""
        for form in self.written:
            if len(form) <= _LONGEST_HELD:
                yield from (form[:count] for count in range(1, len(form)))

    def encoded(self) -> tuple[bytes, list[bytes]]:
        """Return `needle` and `written` as UTF-8."""
        written = [form.encode("utf-8", "surrogatepass") for form in self.written]
        return self.needle.encode("utf-8", "surrogatepass"), written

    def mask(self, text: str) -> str:
        """Mask what stands in a text in one piece."""
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
        """Mask what is wrapped in a text; `joined` is the text without what wraps it."""
        for form in self.written:
            plain = _join(form)
            if len(plain) >= _SHORTEST_WRAPPED and plain in joined:
                text = re.sub(_GAP.join(map(re.escape, plain)), SECRET_MASK, text)
        return text

    @cached_property
    def _quoted(self) -> list[tuple[str, re.Pattern[str]]]:
        """Those with quoted signs, whose digits may be letters of either case."""
        return [
            (form, re.compile(_QUOTED.sub(lambda found: f"(?i:{found[0]})", re.escape(form))))
            for form in self.written
            if _QUOTED.search(form)
        ]


def _join(text: str) -> str:
    """Remove what wraps long words."""
    joined = "".join(text.split())
    if "\x1b" in joined:
        joined = _COLOUR.sub("", joined)
    return joined.replace("\\n", "") if "\\n" in joined else joined


def _list_forms(value: str) -> Iterator[_Forms]:
    """List the ways in which a value, or a part of it that is a secret by itself, may be written."""
    parts = {part for part in (*_list_key_lines(value), *_list_json_texts(value)) if len(part) >= _SHORTEST_PART}
    for part in {value, *parts}:
        raw = part.encode("utf-8", "surrogatepass")
        unchanged = max(_UNCHANGED.findall(part), key=len, default="")
        yield _Forms(unchanged if len(unchanged) >= _SHORTEST else "", _quote(part, raw))
        for encoded in (*_write_as_numbers(raw), *_write_as_base64(raw)):
            if len(encoded) >= _SHORTEST_PART:
                yield _Forms(encoded, [encoded])


def _list_key_lines(value: str) -> Iterator[str]:
    """Give the lines of a key in PEM's form and the like; those that say what it is are no secret."""
    for line in value.splitlines():
        if not line.startswith("-----"):
            yield line.strip()


def _list_json_texts(value: str) -> Iterator[str]:
    """Give the texts in a value that is JSON, such as the key file of a service account."""
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
    """Write a value as it is, and quoted in the usual ways."""
    quoted = [quote(raw, safe=""), quote(raw), quote(raw, safe="~()*!.'"), quote_plus(raw)]
    escaped = [json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]]
    yield from (value, *quoted, *escaped)
    yield from (quote(each, safe="") for each in quoted)
    yield from (each.replace("/", "\\/") for each in escaped)
    yield from (_escape_for_scripts(each, signs) for each in escaped for signs in ("<>&", "<>&'"))
    yield from (json.dumps(each)[1:-1] for each in escaped)
    yield from (repr(value)[1:-1], ascii(value)[1:-1], repr(raw)[2:-1])
    # As a regular expression and in a command.
    yield from (re.escape(value), shlex.quote(value).strip("'"))
    for apostrophe in ("&#x27;", "&#39;", "'"):
        yield from (html.escape(each).replace("&#x27;", apostrophe) for each in (value, *escaped))
    yield html.escape(value).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
    yield html.escape(value, quote=False)


def _escape_for_scripts(text: str, signs: str) -> str:
    """Escape as JSON inside HTML is written."""
    for sign in signs:
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _write_as_numbers(raw: bytes) -> Iterator[str]:
    """Write the bytes as numbers: in hex, also with what libraries put between them, and as a list."""
    for digits in (raw.hex(), *(raw.hex(sign) for sign in ":- ")):
        yield from (digits, digits.upper())
    yield ", ".join(map(str, raw))


def _write_as_base64(raw: bytes) -> set[str]:
    """Write as base64, at each of the three places where it may begin in longer text, without what its neighbours decide."""
    found = set()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before, first in ((0, 0), (1, 2), (2, 3)):
            whole = encode(b"\0" * before + raw).decode().rstrip("=")
            rest = (before + len(raw)) % 3
            found.add(whole[first : len(whole) - 1 if rest else None])
        found.add(encode(raw).decode())
    return found
