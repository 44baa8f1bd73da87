"""Show the notebook's outputs on the approval page, as evidence for the decision.

Everything is sanitised: no scripts, no styles, nothing fetched from other servers. Of each output, the richest form
that is safe and static is shown; for an output that is too large, a sentence is shown instead.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

import nh3
from markupsafe import Markup

#: Most characters of an output on the page: of text, and of an image's base64.
MOST_TEXT, MOST_IMAGE = 20_000, 3_000_000
#: Most characters of the description of a picture.
MOST_DESCRIBED = 500
#: Most characters of all outputs together.
MOST_OF_ALL = 12_000_000

_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
# Colours and cursor movements, then titles and hyperlinks of a terminal, then incomplete sequences.
_ANSI = re.compile(
    r"(?:\x1b\[|\x9b)[0-9;?]*[ -/]*[@-~]|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)|[\x00\x1b\x80-\x9f]"
)
#: Most levels of nested elements. The time for cleaning grows with the square of it.
_DEEPEST = 400
_TAG = re.compile(r"<(/?)([A-Za-z][^\s/>]*)")
_VOID = frozenset({"area", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"})
_DATA_IMAGE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,", re.IGNORECASE)


def _attribute(tag: str, name: str, value: str) -> str | None:
    if (tag, name) == ("img", "src"):
        # A picture from another server would show that server who reads this page, and when.
        return value if _DATA_IMAGE.match(value) else None
    if name == "href":
        return value if value.lower().startswith(("http://", "https://", "mailto:")) else None
    return value


_SANITISER = nh3.Cleaner(
    # Without the elements that structure a page: the structure is ours.
    tags=(nh3.ALLOWED_TAGS | {"caption", "col", "colgroup", "figure", "figcaption"})
    - {"article", "aside", "area", "footer", "header", "hgroup", "map", "nav"},
    attributes={
        "*": {"title", "lang", "dir"},
        "a": {"href"},
        "img": {"src", "alt", "width", "height"},
        "td": {"colspan", "rowspan", "align"},
        "th": {"colspan", "rowspan", "align", "scope"},
        "col": {"span"},
        "ol": {"start"},
    },
    attribute_filter=_attribute,
    url_schemes={"http", "https", "mailto", "data"},
    link_rel="noopener noreferrer nofollow",
)


@dataclass(frozen=True)
class Exhibit:
    """The outputs of one cell."""

    #: Its index in the notebook.
    cell: int
    #: Name of the step, or an empty string.
    step: str
    parts: list[Markup]


def collect_evidence(document: bytes, last_cell: int, ordinal: int | None = None) -> list[Exhibit]:
    """Collect the outputs of the notebook up to a cell.

    Args:
        document: The executed notebook, links masked.
        last_cell: Index of the cell that waits; later outputs are not shown.
        ordinal: Number of the question of that cell; its card is left out, also when it is answered.
    """
    exhibits, left = [], MOST_OF_ALL
    for index, cell in enumerate(json.loads(document)["cells"][: last_cell + 1]):
        if cell["cell_type"] != "code":
            continue
        parts = []
        for part in show_outputs(cell.get("outputs", []), ordinal if index == last_cell else None):
            left -= len(part)
            parts.append(part if left > 0 else _render_notice("more was shown than this page can hold"))
            if left <= 0:
                break
        if parts:
            exhibits.append(Exhibit(index, _find_step(_convert_to_text(cell["source"])), parts))
        if left <= 0:
            break
    return exhibits


def show_outputs(outputs: list[dict[str, Any]], ordinal: int | None = None) -> Iterator[Markup]:
    """Show the outputs of a cell, except the card of this question, which the page itself shows."""
    for output in outputs:
        kind = output.get("output_type")
        if kind == "stream":
            yield _render_preformatted(_convert_to_text(output.get("text")))
        elif kind == "error":
            traceback = "\n".join(map(_convert_to_text, output.get("traceback") or []))
            yield _render_preformatted(
                traceback or f"{_convert_to_text(output.get('ename'))}: {_convert_to_text(output.get('evalue'))}"
            )
        elif _read_kind(output) == "fresh":
            yield from _render_checks(_convert_to_text((output.get("data") or {}).get("text/plain")))
        elif not _is_ours(output, ordinal) and (part := _choose_richest(output.get("data") or {})):
            yield part


def _choose_richest(data: dict[str, Any]) -> Markup | None:
    for kind in _IMAGES:
        if kind in data:
            return _render_image(
                kind, _convert_to_text(data[kind]).replace("\n", ""), _convert_to_text(data.get("text/plain", ""))
            )
    if "image/svg+xml" in data:
        return _render_svg(_convert_to_text(data["image/svg+xml"]), _convert_to_text(data.get("text/plain", "")))
    if "text/html" in data:
        html = _convert_to_text(data["text/html"])
        if len(html) > MOST_TEXT * 10 or _measure_depth(html) > _DEEPEST:
            return _render_notice("a table or page too large to show here")
        if (clean := _SANITISER.clean(html)).strip():
            return _sanitize(f'<div class="rich" tabindex="0" dir="auto">{clean}</div>')
    for kind in ("text/markdown", "text/latex", "text/plain"):
        if kind in data:
            return _render_preformatted(_convert_to_text(data[kind]))
    return None


def _render_image(kind: str, encoded: str, described: str) -> Markup:
    if len(encoded) > MOST_IMAGE:
        return _render_notice("a picture too large to show here")
    return _sanitize(f'<img alt="{escape(described[:MOST_DESCRIBED])}" src="data:{kind};base64,{escape(encoded)}">')


def _render_svg(source: str, described: str) -> Markup:
    """Show a drawing as a picture: inside `<img>` a browser runs no script and fetches nothing."""
    from base64 import b64encode

    return _render_image("image/svg+xml", b64encode(source.encode()).decode(), described)


def _measure_depth(html: str) -> int:
    """Return the deepest nesting of elements."""
    depth = deepest = 0
    for closes, name in _TAG.findall(html):
        if name.lower() not in _VOID:
            depth = max(depth - 1, 0) if closes else depth + 1
            deepest = max(deepest, depth)
    return deepest


def _render_preformatted(text: str) -> Markup:
    text = _ANSI.sub("", text)
    if len(text) > MOST_TEXT:
        text = f"{text[: MOST_TEXT // 2]}\n… {len(text) - MOST_TEXT} characters left out …\n{text[-MOST_TEXT // 2 :]}"
    return _sanitize(f'<pre tabindex="0">{escape(text)}</pre>')


def _render_notice(sentence: str) -> Markup:
    return _sanitize(f'<p class="hint">({escape(sentence)})</p>')


def _sanitize(html: str) -> Markup:
    # Every caller escapes or sanitises; this is the only place that trusts it.
    return Markup(html)  # noqa: S704


def _is_ours(output: dict[str, Any], ordinal: int | None) -> bool:
    """Whether it is a card with facts that the page itself shows: the question, or what could not be restored."""
    noted = output.get("metadata", {}).get("pauseflow") or {}
    is_open = not noted.get("decision") or (ordinal is not None and noted.get("ordinal") == ordinal)
    return _read_kind(output) in ("losses", "ending") or (noted.get("kind") == "suspension" and is_open)


def _read_kind(output: dict[str, Any]) -> Any:
    return (output.get("metadata", {}).get("pauseflow") or {}).get("kind")


def _render_checks(text: str) -> Iterator[Markup]:
    """Describe the checks of a fresh cell; the page itself shows the tables of changes."""
    for line in text.splitlines():
        if not line.startswith(" "):
            yield _sanitize(f'<p class="hint" dir="auto">{escape(line)}</p>')


def _find_step(source: str) -> str:
    match = re.match(r"\s*%%step\s+(\w+)", source)
    return match[1] if match else ""


def _convert_to_text(value: Any) -> str:
    """Convert a value in a notebook to text: cells may show any data, which must not break the page."""
    if isinstance(value, list):
        value = "".join(each for each in value if isinstance(each, str))
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()  # half a character, which a page cannot contain
