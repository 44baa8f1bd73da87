"""Mask links, so that readers of a saved notebook or a log cannot use them.

Outputs are masked when they are written, as whole texts: a link that arrived in two chunks of a stream is one text by then.
Tokens are URL-safe, so that quoting for HTML, JSON or URLs does not change them; line wrapping does, and is recognised.
"""

import os
import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from pauseflow_nb.json_values import JSON
from pauseflow_nb.user_secrets.secret_mask import SecretMask

#: Replaces a token.
MASK = "***"

_SLASH = r"(?:/|\\/|%2[Ff]|%252[Ff]|&#x2[Ff];|&#47;|&sol;|\\u002[Ff])"
_ANY_LINK = re.compile(rf"(pauseflow{_SLASH}(?:resume|cancel|send_back|approve|start){_SLASH})[A-Za-z0-9_.~%-]{{12,}}")

# Characters of a URL, at least as many as in the shortest token.
_RUN = re.compile(r"[A-Za-z0-9_.~%-]{60,}")
# Base64 of a JSON list whose first item is text, in older tokens also compressed, and the signature of an HMAC with SHA-256,
# also with letters after it. Text that begins like a token and has no signature matches too, with an empty group, so that the
# expression never backtracks: otherwise the time would grow with the square of a length that the sender of the text chooses.
_TOKEN = re.compile(r"(?:Wy[IJ]|\.eJ)[A-Za-z0-9_-]++((?:\.[A-Za-z0-9_-]{43,}+)*+)")
#: How many times a proxy or a log may have quoted a link again.
_QUOTED_AT_MOST = 4

# Inserted into a long word by rich, pprint and terminals: white space, also escaped, and colours.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_GAP = rf"(?:\s|\\n|{_COLOUR.pattern})*"
# A token that begins like this may begin within what looks like a gap.
_ENDS_OF_GAPS = tuple("nm;0123456789")


class Mask:
    """Masks the tokens passed to `hide`, and everything that looks like one of our links."""

    def __init__(self) -> None:
        self._tokens: list[str] = []
        self._start = ""
        self._patterns: dict[str, re.Pattern[str]] = {}
        #: Masks the values of secrets, too.
        self.secrets = SecretMask()

    def hide(self, links: Iterable[str]) -> None:
        """Mask the tokens of these links from now on, wherever they appear and however they are wrapped."""
        tokens = {*self._tokens, *(link.rstrip("/").rpartition("/")[2] for link in links)} - {""}
        self._tokens = sorted(tokens, reverse=True)
        start = os.path.commonprefix(self._tokens)  # noqa: RUF071 - of texts, not of paths
        self._start = "" if start.startswith(_ENDS_OF_GAPS) else start

    def text(self, text: str) -> str:
        """Return a text with its links and secrets masked."""
        text = self.secrets.text(text) if self.secrets else text
        for issued in self._find_issued(text):
            text = issued.sub(MASK, text)
        if "pauseflow" in text:
            text = _ANY_LINK.sub(rf"\1{MASK}", text)
        return _RUN.sub(_remove_token, text) if _may_hold_token(text) else text

    def _find_issued(self, text: str) -> Iterator[re.Pattern[str]]:
        """Return the patterns of tokens that the text may contain: compiling all of them would take too long."""
        joined = _COLOUR.sub("", "".join(text.split()).replace("\\n", ""))
        if self._start not in joined:
            return
        for token in self._tokens:
            if token in joined or token.startswith(_ENDS_OF_GAPS):
                if token not in self._patterns:
                    self._patterns[token] = re.compile(_GAP.join(map(re.escape, token)))
                yield self._patterns[token]

    def value(self, value: JSON) -> JSON:
        """Return a copy of a JSON value with the links in all texts masked, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self.value(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(item) for item in value]
        return value


def _may_hold_token(text: str) -> bool:
    """Whether a search could find a token: pictures in base64, which are slow to search, contain no dot."""
    return "%" in text or ("." in text and ("Wy" in text or ".eJ" in text))


def _remove_token(run: re.Match[str]) -> str:
    text = read = run[0]
    for _ in range(_QUOTED_AT_MOST):
        if any(found[1] for found in _TOKEN.finditer(read)):
            # A quoted token is masked with all text around it.
            return _TOKEN.sub(lambda found: MASK if found[1] else found[0], text) if read == text else MASK
        read, before = unquote(read), read
        if read == before:
            break
    return text
