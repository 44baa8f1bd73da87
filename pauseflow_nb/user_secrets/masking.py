"""Mask the values of secrets in texts and JSON, also as base64, hex, and quoted for URLs, JSON, HTML and Python."""

import base64
import html
import json
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

from pauseflow_nb.json_values import JSON

__all__ = ["SECRET_MASK", "SecretMask"]

#: Stands in the place of a secret.
SECRET_MASK = "••••"  # noqa: S105 (it is what stands in place of one)

#: A shorter value is masked only where it stands as a word of its own, or it would be found in every text.
_SHORTEST = 4
#: Parts and encodings that are shorter are no secret by themselves.
_SHORTEST_PART = 8
#: From this length on a value is found also where a terminal or a library has wrapped it.
_SHORTEST_WRAPPED = 12
# What rich, pprint, MIME and terminals insert into a long word: white space, also escaped, quotes of Python, and colours.
_GAP = r"(?:\s|\\n|\x1b\[[0-9;]*m)*+"
_GAPS = re.compile(r"(?:\s|\\n|\x1b\[[0-9;]*m)+")


class SecretMask:
    """Masks the values that were passed to `add`."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        #: Every way in which a value may be written, the longest first.
        self._forms: list[str] = []
        self._words: list[re.Pattern[str]] = []
        self._wrapped: list[tuple[str, re.Pattern[str]]] = []

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
        self._forms = sorted({*self._forms, *_forms_of(value)}, key=lambda form: (-len(form), form))
        self._wrapped = [
            (_GAPS.sub("", form), re.compile(_GAP.join(map(re.escape, _GAPS.sub("", form)))))
            for form in self._forms
            if len(_GAPS.sub("", form)) >= _SHORTEST_WRAPPED
        ]
        return True

    def text(self, text: str) -> str:
        """Return a text with all values masked."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, SECRET_MASK)
        for word in self._words:
            text = word.sub(SECRET_MASK, text)
        if self._wrapped and _GAPS.search(text):
            joined = _GAPS.sub("", text)
            for form, pattern in self._wrapped:
                if form in joined:
                    text = pattern.sub(SECRET_MASK, text)
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

    def count_beginning(self, text: str) -> int:
        """Count the characters at the end of a text with which a value may begin: the rest of it may follow."""
        longest = len(self._forms[0]) if self._forms else 0
        for count in range(min(len(text), longest - 1), 0, -1):
            end = text[-count:]
            if any(len(form) > count and form.startswith(end) for form in self._forms):
                return count
        return 0

    def encoded(self) -> list[bytes]:
        """List what raw memory and pickles hold if they hold a value: every form in UTF-8, each value also in UTF-32."""
        values = [value for value in self._values if len(value) >= _SHORTEST]
        wide = [value.encode("utf-32-le", "surrogatepass") for value in values]
        return [*(form.encode("utf-8", "surrogatepass") for form in self._forms), *wide]


def _forms_of(value: str) -> Iterator[str]:
    """List the ways in which a value, or a part of it that is a secret by itself, may be written."""
    yield from _written(value)
    for part in {*_lines_of(value), *_leaves_of(value)}:
        if len(part) >= _SHORTEST_PART and part != value:
            yield from _written(part)


def _lines_of(value: str) -> Iterator[str]:
    """Give the lines of a key in PEM's form and the like; those that say what it is are no secret."""
    for line in value.splitlines():
        if not line.startswith("-----"):
            yield line.strip()


def _leaves_of(value: str) -> Iterator[str]:
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
            yield from _lines_of(each)
        elif isinstance(each, (dict, list)):
            todo.extend(each.values() if isinstance(each, dict) else each)


def _written(value: str) -> Iterator[str]:
    """Write a value in the usual encodings."""
    raw = value.encode("utf-8", "surrogatepass")
    quoted = [quote(raw, safe=""), quote(raw), quote(raw, safe="~()*!.'"), quote_plus(raw)]
    escaped = [json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]]
    plain = {
        value,
        *quoted,
        *(re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), each) for each in quoted),
        *(quote(each, safe="") for each in quoted),
        *escaped,
        *(each.replace("/", "\\/") for each in escaped),
        *(_escape_for_scripts(each) for each in escaped),
        *(json.dumps(each)[1:-1] for each in escaped),
        repr(value)[1:-1],
        ascii(value)[1:-1],
        repr(raw)[2:-1],
        *(html.escape(each).replace("&#x27;", sign) for each in (value, *escaped) for sign in ("&#x27;", "&#39;", "'")),
        html.escape(value).replace("&quot;", "&#34;").replace("&#x27;", "&#39;"),
        html.escape(value, quote=False),
    }
    yield from (each for each in plain if len(each) >= _SHORTEST)
    yield from (each for each in {raw.hex(), raw.hex().upper()} if len(each) >= _SHORTEST_PART)
    yield from (each for each in _base64_of(raw) if len(each) >= _SHORTEST_PART)


def _escape_for_scripts(text: str) -> str:
    """Escape as JSON inside HTML is written."""
    for sign, code in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("'", "\\u0027")):
        text = text.replace(sign, code)
    return text


def _base64_of(raw: bytes) -> Iterator[str]:
    """Write as base64, at each of the three places where it may begin in longer text, without what its neighbours decide."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before, first in ((0, 0), (1, 2), (2, 3)):
            whole = encode(b"\0" * before + raw).decode().rstrip("=")
            rest = (before + len(raw)) % 3
            yield whole[first : len(whole) - 1 if rest else None]
        yield encode(raw).decode()
