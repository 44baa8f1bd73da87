"""Describe the value of a fresh cell, as single values or a digest, so that it can be compared later."""

import dataclasses
import datetime as dt
import enum
import hashlib
import itertools
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from decimal import Context, Decimal
from fractions import Fraction
from itertools import islice
from pathlib import PurePath
from typing import Any
from uuid import UUID

from pauseflow_nb.cells import Header
from pauseflow_nb.errors import NotComparable
from pauseflow_nb.freshness import compare, summarize
from pauseflow_nb.protocol import FreshValue

#: Most single values that are stored; of more, only a digest.
_MOST_VALUES = 10_000
#: Most characters of single values that are stored, likewise.
_MOST_CHARACTERS = 500_000
_LONGEST_TEXT = 200
_LONGEST_PLACE = 120
_LONGEST_COLUMNS = 300
_MOST_FIGURES = 20
_DEEPEST = 50
#: An integer with more bits is shown by its digest.
_MOST_BITS = 1000
#: For fractions: enough digits that a fraction and a float differ only if they do.
_DIVISION = Context(prec=30)

#: Types of single values: most values of long lists have one of these.
_SINGLE = frozenset({bool, int, float, str, type(None)})

#: Kind and text of a single value; see `protocol.FreshValue`.
_Part = tuple[str, str]


def describe_value(name: str, value: Any) -> FreshValue:
    """Describe a value.

    Args:
        name: Name of the fresh cell.
        value: JSON, a number, an array, a frame, or lists and dicts of them.

    Raises:
        NotComparable: If it is, or holds, anything else.
    """
    value = _opened(value)
    shape = _describe_shape(value)
    found = _parts(name, value, "", 0)
    listed = list(islice(found, _MOST_VALUES + 1)) if _count(value) <= _MOST_VALUES else None
    if (
        listed is not None
        and len(listed) <= _MOST_VALUES
        and sum(map(len, itertools.chain(*listed))) <= _MOST_CHARACTERS
    ):
        return FreshValue(name, shape, [list(part) for part in listed])
    figures = [list(figure) for figure in islice(_list_figures(value), _MOST_FIGURES)]
    return FreshValue(name, shape, figures, digest=_digest(name, value))


def describe_by_hand(header: Header, old: FreshValue | None, new: FreshValue) -> str:
    """Describe what a headless run would compare, with the result for the last two runs by hand."""
    options = header.fresh
    then = {
        "ask": "the question is asked again",
        "fail": "the run fails",
        "go": "the run continues with the new value",
    }[options.on_drift]
    within = f" by more than {options.tolerance}" if options.tolerance.strip("0.%") else ""
    sentence = (
        f"Fresh cell {header.name}: in a headless run this cell runs again after an answer, and its value is compared "
        f"with the one that was shown ({summarize(new)}). If it differs{within}, {then}."
    )
    sentences = [sentence]
    if new.digest:
        sentences.append("It is too large to be compared value by value: any change counts.")
    if old is not None:
        found = compare(old, new, options)
        sentences.append(f"Compared with the previous run: {found.reason}.")
    return " ".join(sentences)


def _opened(value: Any) -> Any:
    """Convert array-like, frame-like and mapping-like values to arrays, frames and dicts."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if callable(getattr(type(value), "model_dump", None)):
        return value.model_dump()
    if _is_frame(value) or _is_series(value) or isinstance(value, (list, tuple, dict, str, bytes)):
        return value
    numpy = sys.modules.get("numpy")
    if numpy is None or isinstance(value, (numpy.generic, type)):
        return value
    if isinstance(value, numpy.ma.MaskedArray):
        return value.astype(object).filled(None)
    if callable(getattr(value, "detach", None)):
        value = value.detach().cpu()
    return numpy.asarray(value) if hasattr(value, "__array__") else value


def _is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray) and value.ndim > 0


def _is_frame(value: Any) -> bool:
    """Whether it is a data frame or series of pandas or polars."""
    return any(isinstance(value, each) for each in _classes("DataFrame"))


def _is_series(value: Any) -> bool:
    return any(isinstance(value, each) for each in (*_classes("Series"), *_classes("Index")))


def _classes(name: str) -> Iterator[type]:
    for library in ("pandas", "polars"):
        found = getattr(sys.modules.get(library), name, None)
        if isinstance(found, type):
            yield found


def _describe_shape(value: Any) -> str:
    if _is_frame(value):
        rows, columns = value.shape
        names = ", ".join(map(str, value.columns))
        return f"frame, {rows:,} rows by {columns} columns ({_shorten(names, _LONGEST_COLUMNS)})"
    if _is_series(value):
        return f"series, {len(value):,} rows"
    if _is_array(value):
        return f"array, {' by '.join(f'{size:,}' for size in value.shape)}"
    if isinstance(value, (Mapping, list, tuple, set, frozenset)):
        return "JSON object" if isinstance(value, Mapping) else f"list of {len(value):,}"
    return {"n": "number", "t": "text", "b": "truth value"}.get((_write(value) or "o")[0], "value")


def _count(value: Any) -> int:
    """Count the single values of an array or frame from its shape; 1 for anything else."""
    if _is_frame(value):
        return int(value.shape[0]) * int(value.shape[1])
    if _is_array(value):
        return int(value.size)
    return len(value) if _is_series(value) else 1


def _parts(name: str, value: Any, place: str, depth: int) -> Iterator[_Part]:
    """List place and text of each single value."""
    if type(value) in _SINGLE:
        yield _shorten(place, _LONGEST_PLACE), _write(value) or ""
        return
    value = _opened(value) if depth else value
    if depth > _DEEPEST:
        raise NotComparable(name, f"values nested more than {_DEEPEST} levels deep")
    if _is_frame(value) or _is_series(value):
        yield from _parts_of_frame(name, value, place, depth)
    elif _is_array(value):
        yield from _parts_of_array(name, value, place, depth)
    elif isinstance(value, (Mapping, list, tuple, set, frozenset)):
        yield from _parts_of_container(name, value, place, depth)
    else:
        text = _write(value)
        if text is None:
            raise NotComparable(name, f"{type(value).__module__}.{type(value).__qualname__}")
        yield _shorten(place, _LONGEST_PLACE), text


def _parts_of_container(name: str, value: Any, place: str, depth: int) -> Iterator[_Part]:
    if not value:
        yield place, "o{}" if isinstance(value, Mapping) else "o[]"
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _parts(name, each, _join(place, key), depth + 1)
    else:
        is_set = isinstance(value, (set, frozenset))
        ordered = sorted(value, key=lambda each: _rank(name, each, depth + 1)) if is_set else value
        for index, each in enumerate(ordered):
            yield from _parts(name, each, f"{place}[{index}]", depth + 1)


def _rank(name: str, element: Any, depth: int) -> tuple[str, Decimal, list[_Part]]:
    """Order elements of a set by value: the order of `repr` may differ between processes."""
    parts = list(_parts(name, element, "", depth))
    kind, text = parts[0][1][0], parts[0][1][1:]
    return kind, Decimal(text if kind == "n" and text != "NaN" else 0), parts


def _parts_of_array(name: str, array: Any, place: str, depth: int) -> Iterator[_Part]:
    import numpy as np

    if array.size == 0:
        yield place, "o[]"
    for index in np.ndindex(array.shape):
        yield from _parts(name, array[index], f"{place}[{', '.join(map(str, index))}]", depth + 1)


def _parts_of_frame(name: str, frame: Any, place: str, depth: int) -> Iterator[_Part]:
    labels = _list_labels(frame)
    if depth:
        # In a dict or list, the values alone do not say which columns an empty frame has, and how its rows are ordered.
        rows = "" if _has_plain_rows(frame) else f", rows {_shorten(', '.join(map(str, labels)), _LONGEST_COLUMNS)}"
        yield _shorten(place, _LONGEST_PLACE), f"o{_describe_shape(frame)}{rows}"
    beginning = f"{place}: " if place else ""
    for column, values in _columns(frame):
        where = f"{beginning}{column}, " if column else beginning
        for label, value in zip(labels, values, strict=True):
            yield from _parts(name, value, f"{where}row {label}", depth + 1)


def _list_labels(frame: Any) -> list[Any]:
    """Name the rows by their index, with a number after a repeated label, or by number if there is no index."""
    index = getattr(frame, "index", None)
    if index is None or callable(index):
        return list(range(len(frame)))
    return list(index if index.is_unique else _number_repeated(index))


def _number_repeated(labels: Iterable[Any]) -> Iterator[str]:
    seen: dict[str, int] = {}
    for label in map(str, labels):
        seen[label] = seen.get(label, 0) + 1
        yield f"{label} ({seen[label]})" if seen[label] > 1 else label


def _columns(frame: Any) -> Iterator[tuple[str, Iterable[Any]]]:
    """List the columns, with a number after a repeated name."""
    if _is_series(frame):
        yield "", frame
        return
    for number, column in enumerate(_number_repeated(frame.columns)):
        yield column, frame.iloc[:, number] if hasattr(frame, "iloc") else frame[column]


def _join(place: str, key: Any) -> str:
    if not isinstance(key, str) or not key.isidentifier():
        return f"{place}[{key!r}]"
    return f"{place}.{key}" if place else key


def _write(value: Any) -> str | None:
    """Write a single value with its kind; None if it cannot be compared."""
    if (
        type(value) not in _SINGLE
        and hasattr(value, "dtype")
        and hasattr(value, "item")
        and getattr(value, "shape", None) == ()
    ):
        # A scalar of numpy. Times are written as text: their `item` may be a bare number.
        value = value if value.dtype.kind in "mM" else value.item()
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return "onull"
    if isinstance(value, bool):
        return "btrue" if value else "bfalse"
    if isinstance(value, (int, float, Fraction, Decimal)) and not isinstance(value, enum.Enum):
        return _write_number(value)
    if isinstance(value, str) and not isinstance(value, enum.Enum):
        return "t" + _shorten(str(value))
    return _write_other(value)


def _write_number(value: Any) -> str:
    if isinstance(value, int):
        is_long = value.bit_length() > _MOST_BITS
        return f"ointeger of {value.bit_length()} bits, {_sha256(hex(value))}" if is_long else f"n{int(value)}"
    if isinstance(value, Fraction):
        value = _DIVISION.divide(Decimal(value.numerator), Decimal(value.denominator))
    if isinstance(value, Decimal):
        return "nNaN" if value.is_nan() else f"n{value}"
    return "nNaN" if math.isnan(value) else f"n{float(value) + 0.0!r}"


def _write_other(value: Any) -> str | None:
    if isinstance(value, (bytes, bytearray)):
        return f"o{len(value):,} bytes, {hashlib.sha256(value).hexdigest()[:16]}"
    if isinstance(value, complex):
        return f"o{value + complex(0, 0)}"  # without the sign of zero
    known = (dt.date, dt.time, dt.timedelta, enum.Enum, UUID, PurePath)
    is_time = getattr(getattr(value, "dtype", None), "kind", "") in ("m", "M")
    return f"o{value}" if is_time or isinstance(value, (*known, *_times_of_pandas())) else None


def _times_of_pandas() -> Iterator[type]:
    for name in ("Period", "Interval", "DateOffset"):
        yield from _classes(name)


def _shorten(text: str, longest: int = _LONGEST_TEXT) -> str:
    """Shorten a text so that different texts stay different."""
    return text if len(text) <= longest else f"{text[: longest - 60]}… ({len(text):,} characters, {_sha256(text)})"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _digest(name: str, value: Any) -> str:
    """Digest a large value: arrays of numbers by their bytes, anything else value by value."""
    found = hashlib.sha256()
    if _is_frame(value) or _is_series(value):
        found.update(repr(_list_labels(value) if not _has_plain_rows(value) else len(value)).encode())
        arrays: Iterable[tuple[str, Any]] = ((column, _as_array(values)) for column, values in _columns(value))
    elif _is_array(value):
        arrays = [("", value)]
    else:
        _add_parts(found, _parts(name, value, "", 0))
        return found.hexdigest()
    for column, array in arrays:
        found.update(repr(column).encode("utf-8", "surrogatepass"))
        _add_array(found, name, array)
    return found.hexdigest()


def _has_plain_rows(frame: Any) -> bool:
    index = getattr(frame, "index", None)
    return index is None or callable(index) or type(index).__name__ == "RangeIndex"


def _as_array(values: Any) -> Any:
    import numpy as np

    return np.asarray(values)


def _add_array(found: Any, name: str, array: Any) -> None:
    import numpy as np

    kind, flat = array.dtype.kind, np.ravel(array)
    if kind in "mM":
        # With its unit: an hour is not a second.
        found.update(array.dtype.str.encode() + np.ascontiguousarray(flat).tobytes())
    elif kind in "iubf":
        # So that the width of numbers, the kind of NaN and the sign of zero make no difference.
        if kind == "f":
            flat = np.where(np.isnan(flat), np.nan, flat.astype(np.float64) + 0.0)
        elif kind != "u" or flat.max() < 2**63:
            kind, flat = kind.replace("u", "i"), flat.astype(np.int64)
        found.update(kind.encode() + np.ascontiguousarray(flat).tobytes())
    else:
        for each in flat.tolist():
            _add_parts(found, [("", _write(each))] if type(each) in _SINGLE else _parts(name, each, "", 1))


def _add_parts(found: Any, parts: Iterable[Any]) -> None:
    # Sorted, because the order of dicts does not count.
    for part in sorted(map(repr, parts)):
        found.update(part.encode("utf-8", "surrogatepass"))


def _list_figures(value: Any) -> Iterator[_Part]:
    """List some statistics of a large value, for people."""
    import numpy as np

    columns = _columns(value) if _is_frame(value) or _is_series(value) else [("", value)]
    for column, values in columns:
        array = _as_array(values) if not isinstance(values, (list, tuple, set, Mapping)) else None
        if array is None or array.dtype.kind not in "iuf" or array.size == 0:
            continue
        missing = int(np.isnan(array).sum()) if array.dtype.kind == "f" else 0
        named = [("missing", missing)]
        if missing < array.size:
            named += [("least", np.nanmin(array)), ("greatest", np.nanmax(array)), ("mean", np.nanmean(array))]
        for figure, number in named:
            yield f"{column}, {figure}" if column else figure, _write(number) or "o"
