"""What is JSON and what is not, found where the user hands it over."""

import json
import math
from collections import OrderedDict, namedtuple
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pauseflow_nb.errors import NotJSON, NotStorable
from pauseflow_nb.json_values import dump_compact, dump_json, read_json, require_json
from pauseflow_nb.protocol import Wake

texts = st.text(st.characters(codec="utf-8"))
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


Point = namedtuple("Point", "x y")  # noqa: PYI024 - as notebooks have them


@given(json_values)
def test_json_is_accepted_and_read_back_equal(value: Any) -> None:
    require_json("export 'rows'", value)

    assert json.loads(dump_compact(value)) == value


@given(json_values)
def test_json_text_can_be_stored_anywhere(value: Any) -> None:
    text = dump_compact(value)

    assert text.encode().decode() == text
    assert "\x00" not in text


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ((1, 2), [1, 2]),
        (Point(1, 2), [1, 2]),
        (OrderedDict(a=1), {"a": 1}),
        (np.float64(0.5), 0.5),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        ({Colour.RED: Level.HIGH}, {"red": 3}),
    ],
)
def test_what_json_writes_by_itself_is_accepted(value: object, plain: object) -> None:
    require_json("context", value)

    assert json.loads(dump_compact(value)) == plain


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (datetime(2026, 11, 20, tzinfo=UTC), "context must be JSON, but holds a datetime:"),
        ({"rows": [{"when": datetime(2026, 11, 20, tzinfo=UTC)}]}, "holds a datetime at ['rows'][0]['when']:"),
        ({"n": np.int64(3)}, "holds an int64 at ['n']:"),
        ([np.array([1])], "holds a ndarray at [0]:"),
        ({"frame": pd.DataFrame()}, "holds a DataFrame at ['frame']:"),
        ({1: "one"}, "holds an int as a key at [1]:"),
        ({"a": {None: 1}}, "holds a NoneType as a key at ['a'][None]:"),
        ({True: 1}, "holds a bool as a key at [True]:"),
        ([1.0, math.nan], "holds nan at [1]:"),
        (-math.inf, "holds -inf:"),
        ({"tags": {"a"}}, "holds a set at ['tags']:"),
        ({"raw": b"x"}, "holds a bytes at ['raw']:"),
    ],
)
def test_anything_else_is_refused_with_its_place_and_type(value: object, complaint: str) -> None:
    with pytest.raises(NotJSON) as caught:
        require_json("context", value)

    assert complaint in str(caught.value)
    assert "keep it as a variable" in str(caught.value)


def test_a_list_inside_itself_is_refused() -> None:
    inner: list[object] = []
    inner.append({"again": inner})

    with pytest.raises(NotJSON, match=r"list inside itself at \[0\]\['again'\]"):
        require_json("data", inner)


def test_the_same_list_twice_is_no_loop() -> None:
    shared = [1]

    require_json("data", [shared, shared, {"a": shared}])


def test_lists_that_hold_each_other_many_times_over_are_refused_at_once() -> None:
    value: object = "x"
    for _ in range(40):
        value = [value] * 10

    with pytest.raises(NotStorable, match="data has more than 10000000 values when it is written"):
        require_json("data", value)


def test_what_is_nested_too_deeply_to_be_written_is_refused() -> None:
    value: list[object] = []
    for _ in range(100_000):
        value = [value]

    with pytest.raises(NotJSON, match="nested too deeply at ") as caught:
        require_json("data", value)
    assert len(str(caught.value)) < 300


def test_what_is_accepted_can_be_copied_and_written_however_deep_it_is() -> None:
    value: object = 1
    for _ in range(100):
        value = [value]

    require_json("data", value)
    assert json.loads(dump_compact(value)) == value
    assert Wake.from_json(Wake("ask", "rerun", context=value).to_json()).context == value


def test_a_number_too_long_to_be_written_is_refused() -> None:
    with pytest.raises(NotJSON, match=r"int of more than 4300 digits at \['n'\]"):
        require_json("data", {"n": 10**5000})


def test_text_that_no_encoding_can_hold_is_refused() -> None:
    with pytest.raises(NotJSON, match=r"str with half a character at \['name'\]"):
        require_json("data", {"name": "caf\udce9"})

    with pytest.raises(NotJSON, match="str with half a character"):
        require_json("data", {"caf\udce9": 1})


@given(
    st.recursive(
        st.none() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    )
)
def test_whatever_is_accepted_can_be_written(value: Any) -> None:
    try:
        require_json("data", value)
    except NotJSON:
        return
    dump_compact(value).encode()


def test_compact_has_no_spaces_and_keeps_letters() -> None:
    assert dump_compact({"name": "Zoë", "n": [1, None]}) == '{"name":"Zoë","n":[1,null]}'


def test_compact_refuses_nan() -> None:
    with pytest.raises(ValueError, match="Out of range float values"):
        dump_compact(math.nan)


@given(json_values)
def test_what_is_written_is_read(value: Any) -> None:
    assert read_json(dump_compact(value)) == (value if dump_compact(value).strip() else None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1e999", "holds a number that is too large: at most 1.8e308"),
        ('{"x": [1, -1e400]}', r"holds a number that is too large at \['x'\]\[1\]"),
        ("NaN", "NaN is not a JSON value"),
        ("9" * 4301, "more than 4300 digits"),
        ("-" + "9" * 4301, "more than 4300 digits"),
        ("[" * 101 + "]" * 101, "is nested too deeply: at most 100 levels"),
        ("[" * 100_000, "is nested too deeply"),
        ("[" + "0," * 250_001 + "0]", "has more than 250000 values"),
        ('"\\ud800"', "half of a surrogate pair"),
        ('{"a": 1', "is not JSON .*line 1, column 8"),
    ],
)
def test_text_that_cannot_be_kept_is_refused_with_the_reason(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_json(text)


@pytest.mark.parametrize("text", ['"' + "," * 300_000 + '"', '"' + "9" * 5000 + '"', '"' + '[\\"' * 90_000 + '"'])
def test_what_stands_in_text_counts_as_one_value(text: str) -> None:
    assert isinstance(read_json(text), str)


@given(st.text())
def test_whatever_text_comes_it_is_read_or_refused(text: str) -> None:
    try:
        value = read_json(text)
    except ValueError:
        return
    dump_compact(value).encode()


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"a": [float("inf"), float("-inf"), float("nan"), 1.5]}, '{"a":[null,null,null,1.5]}'),
        ({"half": "a\ud800"}, '{"half":"a\ufffd"}'),
        ({"n": 10**5000, "é": object()}, '{"n":null,"é":null}'),
        ({1: True, "b": None}, '{"1":true,"b":null}'),
    ],
)
def test_what_is_written_out_is_always_json(value: object, written: str) -> None:
    assert dump_json(value) == written
    assert dump_json([[value]]).encode()
