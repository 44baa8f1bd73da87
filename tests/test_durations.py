"""Spans of time: what is understood, what is refused, and what the refusal says."""

import contextlib
import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pauseflow_nb.durations import LONGEST, SHORTEST, format_duration, parse_duration, parse_milliseconds, parse_seconds
from pauseflow_nb.errors import InvalidDuration

spans = st.timedeltas(min_value=SHORTEST, max_value=LONGEST)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("90s", timedelta(seconds=90)),
        ("10m", timedelta(minutes=10)),
        ("10 min", timedelta(minutes=10)),
        ("2h", timedelta(hours=2)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(weeks=2)),
        ("1h30m", timedelta(minutes=90)),
        (" 1 h 30 m ", timedelta(minutes=90)),
        ("1.5H", timedelta(minutes=90)),
        ("2 d 3 h", timedelta(days=2, hours=3)),
    ],
)
def test_text_is_read_as_people_write_it(text: str, span: timedelta) -> None:
    assert parse_duration(text) == span
    assert parse_milliseconds(text) == span


@pytest.mark.parametrize("text", ["", " ", "7", "soon", "-1s", "1s-", "1e3s", "1h later", "1,5h", "s"])
def test_other_text_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InvalidDuration, match="must look like"):
        parse_duration(text)


@pytest.mark.parametrize("number", [1, 1.5, 86_400_000, np.int64(1000), np.float32(2.0)])
def test_plain_numbers_are_milliseconds_where_pipedream_has_them(number: float) -> None:
    assert parse_milliseconds(number) == timedelta(milliseconds=float(number))


@pytest.mark.parametrize("number", [90, 1.5, 0, -1, np.int64(90)])
def test_plain_numbers_are_refused_where_their_unit_cannot_be_seen(number: float) -> None:
    with pytest.raises(InvalidDuration, match=f'has no unit: write "{number}s" or "{number}ms", or a timedelta'):
        parse_duration(number)


@pytest.mark.parametrize(
    "number", [0, -1, 0.5, float("nan"), float("inf"), float("-inf"), 10**12, 10**400, -(10**400), 1e308]
)
def test_numbers_outside_a_year_are_refused(number: float) -> None:
    with pytest.raises(InvalidDuration, match="must be between 1 ms and 1 year"):
        parse_milliseconds(number)


@pytest.mark.parametrize("text", ["0s", "0.4ms", "367d", "53w", "9" * 400 + "d", "9" * 30 + "w"])
def test_text_outside_a_year_is_refused(text: str) -> None:
    with pytest.raises(InvalidDuration, match="must be between 1 ms and 1 year"):
        parse_duration(text)


@pytest.mark.parametrize("span", [timedelta(0), timedelta(seconds=-1), timedelta.max, timedelta.min])
def test_timedeltas_outside_a_year_are_refused(span: timedelta) -> None:
    with pytest.raises(InvalidDuration, match="must be between 1 ms and 1 year"):
        parse_duration(span)


@pytest.mark.parametrize("value", [True, False, None, b"1s", ["1s"], object()])
def test_what_is_no_duration_is_refused_with_examples(value: object) -> None:
    for read in (parse_duration, parse_milliseconds):
        with pytest.raises(InvalidDuration, match='must be text such as "90s", "10m" or "7d", or a timedelta'):
            read(value)


def test_a_year_is_the_longest_and_a_millisecond_the_shortest() -> None:
    assert parse_duration("366d") == LONGEST
    assert parse_milliseconds(1) == SHORTEST


def test_a_pandas_timedelta_is_one() -> None:
    assert parse_duration(pd.Timedelta("90s")) == timedelta(seconds=90)


def test_the_error_names_the_argument() -> None:
    with pytest.raises(InvalidDuration, match="delay='soon' must look like"):
        parse_duration("soon", what="delay")


@given(spans)
def test_a_timedelta_is_itself(span: timedelta) -> None:
    assert parse_duration(span) == span
    assert parse_milliseconds(span) == span


@given(st.integers(1, 366 * 86_400))
def test_plain_numbers_are_seconds_where_prefects_are(count: int) -> None:
    assert parse_seconds(count) == parse_duration(f"{count}s") == parse_seconds(timedelta(seconds=count))


@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan, True, None, "soon", LONGEST.total_seconds() + 1])
def test_other_seconds_are_refused(value: object) -> None:
    with pytest.raises(InvalidDuration):
        parse_seconds(value)


@given(st.integers(1, 366 * 86_400_000))
def test_milliseconds_and_text_agree(count: int) -> None:
    assert parse_milliseconds(count) == parse_duration(f"{count}ms")


@given(st.floats() | st.integers())
def test_a_number_is_read_or_refused_and_nothing_else(number: float) -> None:
    with contextlib.suppress(InvalidDuration):
        assert SHORTEST <= parse_milliseconds(number) <= LONGEST


@given(st.text())
def test_text_is_read_or_refused_and_nothing_else(text: str) -> None:
    with contextlib.suppress(InvalidDuration):
        assert SHORTEST <= parse_duration(text) <= LONGEST


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (timedelta(milliseconds=1), "1 ms"),
        (timedelta(milliseconds=999.6), "1 s"),
        (timedelta(seconds=45), "45 s"),
        (timedelta(seconds=59.6), "1 min"),
        (timedelta(minutes=90), "1 h 30 min"),
        (timedelta(days=2, hours=3, minutes=4), "2 d 3 h"),
        (timedelta(days=1, minutes=5), "1 d 5 min"),
        (timedelta(0), "0 s"),
        (timedelta(seconds=-5), "0 s"),
    ],
)
def test_a_span_is_spoken_as_a_person_would(span: timedelta, expected: str) -> None:
    assert format_duration(span) == expected


@given(spans)
def test_what_is_spoken_is_understood_again(span: timedelta) -> None:
    heard = parse_duration(format_duration(span))

    assert abs(heard - span) <= max(span * 0.05, timedelta(milliseconds=1))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2 hours", 7200), ("7 days", 604_800), ("1 hour and 30 minutes", 5400), ("90 sec", 90), ("2 Weeks", 1_209_600)],
)
def test_units_are_words_too(text: str, seconds: int) -> None:
    assert parse_duration(text).total_seconds() == seconds


@pytest.mark.parametrize("unit", ["ns", "us", "ms", "s"])
@pytest.mark.parametrize("read", [parse_milliseconds, parse_seconds, parse_duration])
def test_a_span_of_numpy_is_a_span(read: Callable[..., timedelta], unit: str) -> None:

    assert read(np.timedelta64(10, "s").astype(f"timedelta64[{unit}]")) == timedelta(seconds=10)


@pytest.mark.parametrize("read", [parse_milliseconds, parse_seconds, parse_duration])
def test_a_span_of_pandas_is_a_span(read: Callable[..., timedelta]) -> None:

    assert read(pd.Timedelta("10s")) == timedelta(seconds=10)
    assert read(pd.Timedelta("10s").to_timedelta64()) == timedelta(seconds=10)
    with pytest.raises(InvalidDuration, match="or a timedelta"):
        read(pd.NaT)


@pytest.mark.parametrize(("count", "unit"), [(10, None), ("NaT", "s"), (1, "M"), (1, "Y")])
def test_a_span_of_numpy_without_a_length_is_refused(count: Any, unit: Any) -> None:
    value = np.timedelta64(count) if unit is None else np.timedelta64(count, unit)

    with pytest.raises(InvalidDuration):
        parse_milliseconds(value)


@pytest.mark.parametrize("value", [np.array([1, 2]), np.array([], "timedelta64[s]"), pd.Series([1, 2]), pd.NA])
def test_several_values_are_no_span_and_what_to_write_is_said(value: Any) -> None:
    with pytest.raises(InvalidDuration, match='must be text such as "90s"'):
        parse_milliseconds(value)
