"""What two values of a fresh cell have in common, and what a person is shown of them."""

import dataclasses
import datetime as dt
import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pydantic
import pytest

from pauseflow_nb.cells import FreshOptions
from pauseflow_nb.errors import NotComparable
from pauseflow_nb.freshness import Comparison, compare, summarize
from pauseflow_nb.kernel.fresh_value import describe_value
from pauseflow_nb.protocol import FreshValue

NAN = float("nan")
LABELLED = pd.DataFrame({"a": [1, 2]}, index=["x", "y"])


def compared(old: Any, new: Any, tolerance: str = "0") -> Comparison:
    # As they reach the runner.
    values = [FreshValue.from_json(describe_value("x", each).to_json()) for each in (old, new)]
    return compare(values[0], values[1], FreshOptions(tolerance))


@dataclasses.dataclass
class Quote:
    price: float


class Model(pydantic.BaseModel):
    price: float


@pytest.mark.every(3)
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (1, 1.0), (NAN, NAN), (NAN, np.float32("nan")), (0.0, -0.0), (10**30, 10**30), (2**5000, 2**5000), (1, np.int8(1)),
        (Decimal("1.10"), 1.1), (Fraction(1, 2), 0.5), (Decimal("nan"), NAN),
        (None, None), ("a", "a"), ("x" * 10_000, "x" * 10_000), (b"a", b"a"), (float("inf"), float("inf")),
        ([], []), ({}, {}), ({"a": [1, {"b": NAN}]}, {"a": [1, {"b": NAN}]}), ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({1, 2, 3}, {3, 2, 1}), ((1, 2), [1, 2]),
        (np.array([1, NAN]), np.array([1, NAN])), (np.array([1, 2]), np.array([1.0, 2.0])), (np.zeros((0, 3)), np.zeros((0, 3))),
        (np.ma.array([1, 2], mask=[False, True]), np.ma.array([1, 9], mask=[False, True])), (np.array(3), 3),
        ({1: "a", "1": "b"}, {1: "a", "1": "b"}),
        (np.array(["a", None], dtype=object), np.array(["a", None], dtype=object)),
        (np.datetime64("2026-01-01"), np.datetime64("2026-01-01")),
        (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [1.0, 2.0]})), (pd.DataFrame(), pd.DataFrame()),
        (pd.DataFrame({"a": [pd.NA, pd.NaT]}), pd.DataFrame({"a": [pd.NA, pd.NaT]})),
        (pd.Series([1, None], dtype="Int64"), pd.Series([1, None], dtype="Int64")),
        (pd.Series(["a"], dtype="category"), pd.Series(["a"])), (pd.Index([1, 2]), pd.Index([1, 2])),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), pd.DataFrame([[1, 2]], columns=["a", "a"])),
        (pd.Timestamp("2026-01-01", tz="UTC"), pd.Timestamp("2026-01-01", tz="UTC")),
        (pl.DataFrame({"a": [1, None], "b": [[1], [2]]}), pl.DataFrame({"a": [1, None], "b": [[1], [2]]})),
        (pl.Series([1.5]), pl.Series([1.5])), (Quote(1), Quote(1.0)), (Model(price=1), Model(price=1)),
        (dt.date(2026, 1, 1), dt.date(2026, 1, 1)), (Path("a"), Path("a")), (1 + 2j, 1 + 2j),
        (np.arange(100_000.0), np.arange(100_000)[:].astype("float32")), (list(range(20_000)), list(range(20_000))),
        (pd.DataFrame({"a": np.r_[np.arange(50_000.0), NAN]}), pd.DataFrame({"a": np.r_[np.arange(50_000.0), -NAN]})),
        (pd.DataFrame({"t": ["x"] * 50_000}), pd.DataFrame({"t": ["x"] * 50_000})),
        (pl.DataFrame({"t": ["x"] * 50_000}), pl.DataFrame({"t": ["x"] * 50_000})),
        (0j, -0j), (np.zeros(20_000, complex), -np.zeros(20_000, complex)), (Fraction(10**400), Fraction(10**400)), (Decimal("sNaN"), NAN),
        ({frozenset("ab"), frozenset("bc")}, {frozenset("cb"), frozenset("ba")}), ({10, 9}, {9.0, 10.0}),
        ({str(n): n for n in range(20_000)}, {str(n): n for n in reversed(range(20_000))}),
        (pd.DataFrame({"a": [{"b": 1, "c": 2}] * 20_000}), pd.DataFrame({"a": [{"c": 2, "b": 1}] * 20_000})),
        (np.arange(20_000, dtype="uint64"), np.arange(20_000)), ({"d": LABELLED}, {"d": LABELLED.astype(float)}),
        (pd.Period("2026-01"), pd.Period("2026-01")), (pd.Series([pd.Interval(0, 1)]), pd.Series([pd.Interval(0, 1)])),
    ],
)  # fmt: skip
def test_equal_values(old: Any, new: Any) -> None:
    found = compared(old, new)

    assert not found.is_drift, found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (dt.datetime(2026, 1, 1, 9, tzinfo=dt.UTC), dt.datetime(2026, 1, 1, 10, tzinfo=dt.timezone(dt.timedelta(hours=1)))),
        (pd.Timestamp("2026-01-01 09:00", tz="UTC"), pd.Timestamp("2026-01-01 10:00", tz="Europe/Berlin")),
        (1, 2), (1, True), (1, "1"), (None, 0), (0, NAN), (NAN, None), ("a", "b"), ("x" * 10_000, "x" * 9_999 + "y"), (2**5000, 2**5000 + 1),
        ([1], [1, 2]), ([1, 2], [2, 1]), ([], {}), ({"a": 1}, {"a": 1, "b": None}), ({"a": 1}, {"b": 1}), ([[1]], [1]), ({1: "a", "1": "b"}, {1: "c", "1": "b"}),
        (pd.DataFrame([[1, 2, 3]], columns=["a", "a", "a (2)"]), pd.DataFrame([[1, 4, 3]], columns=["a", "a", "a (2)"])),
        (float("inf"), float("-inf")), (10**30, 10**30 + 1),
        (np.array([1, 2]), np.array([[1, 2]])), (np.array([1, 2]), [1, 2]), (np.array([1, NAN]), np.array([NAN, 1])),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})), (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1, 2]})),
        (pd.DataFrame({"a": [1], "b": [2]}), pd.DataFrame({"b": [2], "a": [1]})),
        (pd.DataFrame({"a": [1, 2]}, index=["x", "y"]), pd.DataFrame({"a": [1, 2]}, index=["x", "z"])),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), pd.DataFrame([[1, 3]], columns=["a", "a"])),
        (pd.DataFrame({"a": [1]}), 1), (pl.Series([1, None]), pl.Series([1, 2])),
        (np.arange(100_000.0), np.arange(100_000.0)[::-1]), (pd.DataFrame({"t": ["x"] * 50_000}), pd.DataFrame({"t": ["x"] * 49_999 + ["y"]})),
        (pd.Series(range(50_000), index=range(1, 50_001)), pd.Series(range(50_000), index=[0, *range(2, 50_001)])),
        (LABELLED, LABELLED[::-1]), (LABELLED["a"], LABELLED["a"][::-1]), ({"d": LABELLED}, {"d": LABELLED[::-1]}),
        (pd.Series([1, 2], index=["x", "x"]), pd.Series([1, 2], index=["y", "y"])),
        (pd.Series([1] * 20_000, index=["x"] * 20_000), pd.Series([1] * 20_000, index=["y"] * 20_000)),
        ([pd.DataFrame({"a": [1], "b": [2]})], [pd.DataFrame({"b": [2], "a": [1]})]),
        ({"d": pd.DataFrame(), "n": 1}, {"n": 1}), ([pd.DataFrame(columns=["x"])], [pd.DataFrame(columns=["y"])]),
        (np.arange(20_000).astype("m8[s]"), np.arange(20_000).astype("m8[h]")),
        (np.full(20_000, 2**64 - 1, dtype="uint64"), np.full(20_000, -1)), (Fraction(1, 3), Fraction(1, 3) + Fraction(1, 10**25)),
        (Decimal("1e9999999"), Decimal("2e9999999")), (pd.Interval(0, 1), pd.Interval(0, 2)),
    ],
)  # fmt: skip
def test_different_values(old: Any, new: Any) -> None:
    found = compared(old, new)

    assert found.is_drift
    assert found.reason


@pytest.mark.parametrize(
    ("old", "new", "tolerance", "is_drift"),
    [
        (100, 101, "1%", False), (100, 101.01, "1%", True), (-100, -101, "1%", False), (-100, 100, "1%", True), (0, 0.001, "50%", True),
        (0, 0, "1%", False), (0.1, 0.101, "1%", False), (100, 100.5, "0.5", False), (0.1, 0.3, "0.2", False), (100, 100.6, "0.5", True),
        (NAN, 1, "1000%", True), (1, NAN, "5", True), (float("inf"), 1, "1%", True), (True, False, "5", True), ("a", "b", "5", True),
        (np.array([1.0, NAN, 200]), np.array([1.01, NAN, 199]), "1%", False), (np.array([1.0, 200]), np.array([1.01, 150]), "1%", True),
        (pd.DataFrame({"p": [100]}), pd.DataFrame({"p": [100.5]}), "1%", False), ({"p": [100, "a"]}, {"p": [99.5, "a"]}, "1%", False),
        ({"p": [100, "a"]}, {"p": [99.5, "b"]}, "1%", True),
        (10**30, 10**30 + 1, "1", False), ({9.99, 5}, {10.0, 5}, "1%", False), ({9, 5}, {10, 5}, "1%", True),
        (Decimal("1e9999999"), Decimal("2e9999999"), "1%", True), (Decimal("1e-9999999"), Decimal("2e-9999999"), "1%", True),
        (LABELLED, LABELLED[::-1], "1000%", True),
    ],
)  # fmt: skip
def test_tolerance(old: Any, new: Any, tolerance: str, is_drift: bool) -> None:
    assert compared(old, new, tolerance).is_drift is is_drift


@pytest.mark.parametrize(
    "value",
    [object(), lambda: 1, [object()], {"a": {"b": print}}, (n for n in "ab"), type, pytest, LABELLED.groupby("a")],
)
def test_what_cannot_be_compared(value: Any) -> None:
    with pytest.raises(NotComparable, match="fresh cell 'x'"):
        describe_value("x", value)


def test_a_value_that_holds_itself_cannot_be_compared() -> None:
    own: list[Any] = []
    own.append(own)
    with pytest.raises(NotComparable):
        describe_value("x", own)


def test_the_places_of_what_changed_are_named() -> None:
    book = pd.DataFrame({"bid": [1, 2], "ask": [3, 4]}, index=["A", "B"])
    nested = {"bids": [{"price": 1}], "odd key": 2}

    assert [row["place"] for row in compared(book, book.replace(3, 4)).rows if row["changed"]] == ["ask, row A"]
    assert [row["place"] for row in compared(nested, {"bids": [{"price": 2}], "odd key": 3}).rows] == [
        "bids[0].price",
        "['odd key']",
    ]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (100, 100.5, "100 has become 100.5 (0.5% more), within the tolerance of 1%"),
        ({"a": 1, "b": 100}, {"a": 1, "b": 99}, "b: 100 has become 99 (1% less), within the tolerance of 1%"),
        ([100, 100, NAN], [100.5, 99.5, NAN], "2 of 3 values have changed, each within the tolerance of 1%"),
        (1, 1.0, "it has not changed"), (NAN, NAN, "it has not changed"), ("a", "a", "it has not changed"),
        (np.arange(100_000.0), np.arange(100_000, dtype="float32"), "it has not changed"),
    ],
)  # fmt: skip
def test_what_is_within_the_tolerance_is_said(old: Any, new: Any, reason: str) -> None:
    assert compared(old, new, "1%").reason == reason


def test_of_a_failure_one_row_is_shown_whatever_the_value_was() -> None:
    old, failed = (
        describe_value("x", pd.DataFrame({"a": [1, 2]})),
        FreshValue("x", "error", [["", "tNo"]], is_error=True),
    )

    assert compare(old, failed, FreshOptions()).rows == [
        {"place": "", "old": "a, row 0: 1, a, row 1: 2", "new": "No", "changed": True}
    ]
    assert compare(failed, old, FreshOptions()).is_drift


def test_a_value_is_shown_in_one_line() -> None:
    (row,) = compared("a\nb", "a b").rows

    assert (row["old"], row["new"]) == ("a\\nb", "a b")


def test_of_many_values_those_that_changed_are_shown_and_the_rest_counted() -> None:
    found = compared(list(range(1000)), [n + (n >= 900) for n in range(1000)])

    assert (len(found.rows), found.more, found.reason) == (20, 80, "100 of 1000 values differ")
    assert all(row["changed"] for row in found.rows)


@pytest.mark.parametrize(
    "value",
    [
        np.zeros(3_000_000), np.zeros((2000, 2000), dtype="int32"), list(range(100_000)), {str(n): "x" * 100 for n in range(20_000)},
        pd.DataFrame({f"column {n}": range(30_000) for n in range(50)}), "x" * 10_000_000, ["x" * 1_000_000] * 100,
        pd.DataFrame([range(5000)]), [[["deep" * 100] * 100] * 100] * 3,
    ],
)  # fmt: skip
def test_what_is_kept_is_bounded(value: Any) -> None:
    described = describe_value("x", value)

    assert len(described.to_json()) < 700_000
    assert len(summarize(described)) < 500
    changed = compare(
        described, dataclasses.replace(described, digest="other", parts=described.parts[1:]), FreshOptions()
    )
    assert len(json.dumps(dataclasses.asdict(changed))) < 20_000


def test_a_small_change_in_a_huge_array_is_found_and_its_figures_shown() -> None:
    old, new = np.arange(1_000_000.0), np.arange(1_000_000.0)
    new[5] = 7_000_000

    found = compared(old, new, "50%")

    assert found.reason == "it has changed, and is too large to be compared value by value"
    assert {"place": "greatest", "old": "999999.0", "new": "7000000.0", "changed": True} in found.rows


def test_by_hand_it_says_what_would_be_compared(kernel: Any) -> None:
    first = kernel.run("%%fresh price --tolerance 1%\nprice = 100\nprice")
    second = kernel.run("%%fresh price --tolerance 1%\nprice = 120\nprice")

    assert (first.value, kernel.run("price").value) == (100, 120)
    assert first.shown.endswith(
        "Fresh cell price: in a headless run this cell runs again after an answer, and its value is compared with the one "
        "that was shown (100). If it differs by more than 1%, the question is asked again."
    )
    assert "Compared with the previous run: 100 has become 120 (20% more); the tolerance is 1%." in second.shown


def test_the_cell_is_ordinary_otherwise(kernel: Any) -> None:
    assert kernel.run("%%fresh a\nimport asyncio\nawait asyncio.sleep(0, 5)").value == 5
    assert kernel.run("%%fresh b\n%%time\n3").value == 3
    assert "compared with the one that was shown (7)" in kernel.run("%%fresh c\n7;").shown
    assert isinstance(kernel.run("%%fresh d\n1 / 0").error, ZeroDivisionError)


def test_a_cell_without_a_value_says_what_is_missing(kernel: Any) -> None:
    for source in ("%%fresh a\nx = 1", "%%fresh a\n", "%%fresh a\nx = !echo 1"):
        assert "there is nothing to compare: end the cell with its value" in str(kernel.run(source).error)


def test_lint_knows_fresh_cells(kernel: Any) -> None:
    kernel.run("%%fresh price\n1")
    assert "fresh cell 'price' is never compared" in kernel.run("%pauseflow lint").text
    kernel.run("%%step ask\nflow.suspend('2h');")
    assert "never compared" not in kernel.run("%pauseflow lint").text


def test_help_tells_the_options(kernel: Any) -> None:
    kernel.run("%%fresh?")
    assert "--on-drift" in (kernel.shell.find_cell_magic("fresh").__doc__ or "")
