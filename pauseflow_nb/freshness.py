"""Compare the value of a fresh cell with the one that was shown, and say what differs."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, InvalidOperation, localcontext
from typing import Any

from pauseflow_nb.cells import FreshOptions
from pauseflow_nb.protocol import FreshValue

#: Most values that are shown side by side; of more values, only those that differ are shown.
_MOST_ROWS = 20
_LONGEST_SUMMARY = 300
_MISSING = "missing"
#: For numbers of any size; what has no result is NaN, and not near to anything.
_ARITHMETIC = Context(prec=60, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])


@dataclass(frozen=True)
class Comparison:
    """What differs between two values of a fresh cell."""

    is_drift: bool
    #: A sentence that says what differs, or that nothing does.
    reason: str
    #: What is shown side by side: `{"place", "old", "new", "changed"}` each.
    rows: list[dict[str, Any]]
    #: How many differing values the rows leave out.
    more: int = 0


def compare(old: FreshValue, new: FreshValue, options: FreshOptions) -> Comparison:
    """Compare two values; NaN equals NaN, and an error equals nothing."""
    if old.is_error or new.is_error:
        row = {"place": "", "old": summarize(old), "new": summarize(new), "changed": True}
        return Comparison(is_drift=True, reason=_describe_error(new), rows=[row])
    before, after = _index_by_place(old), _index_by_place(new)
    places = [*after, *(place for place in before if place not in after)]
    differ = [place for place in places if not _is_near(before.get(place), after.get(place), options.tolerance)]
    listed = places if len(places) <= _MOST_ROWS else differ
    rows = [
        {
            "place": place,
            "old": _format_text(before.get(place)),
            "new": _format_text(after.get(place)),
            "changed": place in differ,
        }
        for place in listed[:_MOST_ROWS]
    ]
    more = sum(place in differ for place in listed[_MOST_ROWS:])
    if old.shape != new.shape:
        rows.insert(0, {"place": "", "old": old.shape, "new": new.shape, "changed": True})
    elif _is_reordered(old, new):
        rows.insert(0, {"place": "", "old": old.shape, "new": f"{new.shape}, in another order", "changed": True})
    reason = _find_reason(old, new, options.tolerance, differ)
    if reason is None:
        return Comparison(is_drift=False, reason=_describe_equal(old, new, options.tolerance), rows=rows)
    return Comparison(is_drift=True, reason=reason, rows=rows, more=more)


def _index_by_place(value: FreshValue) -> dict[str, str]:
    """Index the single values by place; a repeated place gets a number."""
    found: dict[str, str] = {}
    for place, text in value.parts:
        name, number = place, 2
        while name in found:
            name, number = f"{place} ({number})", number + 1
        found[name] = text
    return found


def summarize(value: FreshValue) -> str:
    """Write a value in one line of at most about 300 characters; a large value is described."""
    if len(value.parts) == 1 and not value.parts[0][0]:
        return _format_text(value.parts[0][1])
    if value.digest:
        return value.shape
    parts = ", ".join(f"{place}: {_format_text(text)}" for place, text in value.parts[:_MOST_ROWS])
    return parts if len(value.parts) <= _MOST_ROWS and len(parts) <= _LONGEST_SUMMARY else value.shape


def _describe_error(new: FreshValue) -> str:
    if new.is_error:
        return f"the cell failed when it ran again: {summarize(new)}"
    return "there is no value to compare with: the cell had failed"


def _find_reason(old: FreshValue, new: FreshValue, tolerance: str, differ: list[str]) -> str | None:
    """Explain why two values differ; None if they do not."""
    if old.shape != new.shape:
        return f"it was a {old.shape}, and is a {new.shape}".replace("a array", "an array")
    if old.digest or new.digest:
        changed = "it has changed, and is too large to be compared value by value"
        return None if old.digest == new.digest else changed
    if differ:
        return _describe_difference(_index_by_place(old), _index_by_place(new), tolerance, differ)
    return "its rows are in another order" if _is_reordered(old, new) else None


def _is_reordered(old: FreshValue, new: FreshValue) -> bool:
    """Whether the rows of a table were moved; the order of a dict does not count."""
    before, after = _index_by_place(old), _index_by_place(new)
    is_table = new.shape.startswith(("frame", "series")) and not new.digest
    return is_table and before.keys() == after.keys() and [*before] != [*after]


def _describe_difference(before: Mapping[str, str], after: Mapping[str, str], tolerance: str, differ: list[str]) -> str:
    beyond = "" if Decimal(tolerance.removesuffix("%")) == 0 else f"; the tolerance is {tolerance}"
    place = differ[0]
    if len(differ) == 1 and place in before and place in after:
        where = f"{place}: " if place else ""
        return f"{where}{_format_text(before[place])} has become {_format_text(after[place])}{_format_change(before[place], after[place])}{beyond}"
    return f"{len(differ)} of {len({**before, **after})} values differ{beyond}"


def _describe_equal(old: FreshValue, new: FreshValue, tolerance: str) -> str:
    before, after = _index_by_place(old), _index_by_place(new)
    moved = [] if new.digest else [place for place in after if not _is_near(before[place], after[place], "0")]
    if not moved:
        return "it has not changed"
    if len(moved) > 1:
        return f"{len(moved)} of {len(after)} values have changed, each within the tolerance of {tolerance}"
    (place,) = moved
    change = f"{_format_text(before[place])} has become {_format_text(after[place])}{_format_change(before[place], after[place])}"
    return (
        f"{place}: {change}, within the tolerance of {tolerance}"
        if place
        else f"{change}, within the tolerance of {tolerance}"
    )


def _is_near(old: str | None, new: str | None, tolerance: str) -> bool:
    if old == new:
        return True
    before, after = _parse_number(old), _parse_number(new)
    if before is None or after is None:
        return False
    if before.is_nan() or after.is_nan() or before == after:
        return (before.is_nan() and after.is_nan()) or before == after
    if not before.is_finite() or not after.is_finite():
        return False
    with localcontext(_ARITHMETIC):
        allowed = Decimal(tolerance.removesuffix("%"))
        if tolerance.endswith("%"):
            allowed = allowed / 100 * abs(before)
        return abs(after - before) <= allowed


def _format_change(old: str, new: str) -> str:
    before, after = _parse_number(old), _parse_number(new)
    if before is None or after is None or not before.is_finite() or not after.is_finite() or before == 0:
        return ""
    with localcontext(_ARITHMETIC):
        share = abs((after - before) / before) * 100
    word = "more" if (after > before) == (before > 0) else "less"
    return f" ({float(share):.3g}% {word})" if share < 1000 else ""


def _parse_number(text: str | None) -> Decimal | None:
    if text is None or not text.startswith("n"):
        return None
    try:
        return Decimal(text[1:])
    except InvalidOperation:
        return None


def _format_text(text: str | None) -> str:
    return _MISSING if text is None else text[1:].replace("\n", "\\n")
