"""What steps publish, and how other cells read it."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from pauseflow_nb.errors import NotJSON
from pauseflow_nb.kernel.exports import StepExports, as_json
from pauseflow_nb.protocol import Wake

from .conftest import step_briefing

HeadlessT = Callable[..., Any]


def envelope(**values: Any) -> dict[str, Any]:
    return {"method": "POST", "query": {}, "body": None, "by": "link", **values}


def test_the_return_value_is_the_last_expression(headless: HeadlessT) -> None:
    assert headless().run("%%step a\n{'rows': 3}").outcome.exports == {"$return_value": {"rows": 3}}


def test_a_return_value_that_is_not_json_stays_a_variable_and_is_noted(headless: HeadlessT) -> None:
    kernel = headless()
    ran = kernel.run("%%step a\nmodel = object()\nmodel")

    assert ran.outcome.kind == "finished"
    assert "$return_value" not in ran.outcome.exports
    assert "$return_value of step 'a' is not exported" in ran.outcome.notes[0]
    assert "holds an object" in ran.outcome.notes[0]
    assert "model" in kernel.names


def test_exports_are_items_and_attributes(headless: HeadlessT) -> None:
    kernel = headless()
    kernel.run("%%step a\nflow.export('rows', [1, 2])\nflow.export('deep', {'x': {'y': 1}})")

    assert kernel.run("steps.a.rows, steps['a']['rows'], steps.a.deep.x.y").value == ([1, 2], [1, 2], 1)


def test_the_keys_of_a_returned_dict_are_exports_unless_a_named_one_shadows_them(kernel: Any) -> None:
    kernel.run("%%step a\nflow.export('x', 'named')\n{'x': 'returned', 'y': 2}")

    assert kernel.run("steps.a.x, steps.a.y, steps.a['$return_value'].x").value == ("named", 2, "returned")


def test_what_is_published_does_not_change_afterwards(kernel: Any) -> None:
    kernel.run("%%step a\nrows = [1]\nflow.export('rows', rows)\nrows.append(2)")

    assert kernel.run("steps.a.rows").value == [1]


def test_a_step_that_has_not_run_says_so(kernel: Any) -> None:
    kernel.run("%%step a\n1")

    ran = kernel.run("steps.b")

    assert isinstance(ran.error, AttributeError)
    assert str(ran.error) == "step 'b' has not run; those that have: a"
    assert isinstance(kernel.run("steps['b']").error, KeyError)
    assert kernel.run("'a' in steps, 'b' in steps, list(steps)").value == (True, False, ["a"])


def test_an_export_that_a_step_does_not_have_is_named(kernel: Any) -> None:
    kernel.run("%%step a\nflow.export('x', 1)")

    assert str(kernel.run("steps.a.z").error) == "step 'a' has no export 'z', only: x, $return_value"
    assert isinstance(kernel.run("steps.a['z']").error, KeyError)


def test_steps_of_earlier_segments_come_from_the_briefing(headless: HeadlessT) -> None:
    kernel = headless(steps={"a": step_briefing("a", runs=1, exports={"x": 1}), "b": step_briefing("b")})

    assert kernel.run("steps.a.x, list(steps)").value == (1, ["a"])
    kernel.run("%%step b\nflow.export('y', 2)")
    assert kernel.run("steps.b.y, list(steps)").value == (2, ["a", "b"])


@pytest.mark.parametrize(
    ("resume_data", "data"),
    [
        (envelope(body={"ok": True}, query={"q": "1"}), {"ok": True}),
        (envelope(body="text"), "text"),
        (envelope(body=False), False),
        (envelope(query={"q": "1"}), {"q": "1"}),
        (envelope(), {}),
        (envelope(by="clock", body={"ok": False}), {"ok": False}),
        (envelope(by="clock"), None),
    ],
)
def test_data_is_the_body_or_the_query_where_there_is_no_body(resume_data: dict[str, Any], data: Any) -> None:
    exports = StepExports("a", {"$resume_data": resume_data})

    assert exports.data == data
    assert exports["$resume_data"] == resume_data


def test_data_can_be_read_by_attribute(headless: HeadlessT) -> None:
    answered = {"$resume_data": envelope(body={"ok": True})}
    kernel = headless(steps={"a": step_briefing("a", runs=1, exports=answered)})

    assert kernel.run("steps.a.data.ok").value is True


def test_a_step_that_was_not_answered_has_no_data(kernel: Any) -> None:
    kernel.run("%%step a\n1")

    assert (
        str(kernel.run("steps.a.data").error)
        == "step 'a' has no data: it has not asked anything, or has not been answered"
    )


def test_an_export_named_data_is_there_until_somebody_answers() -> None:
    assert StepExports("a", {"data": 1}).data == 1
    assert StepExports("a", {"data": 1, "$resume_data": envelope(body=2)}).data == 2


def test_suspend_data_is_exported(headless: HeadlessT) -> None:
    assert headless().run("%%step a\nflow.suspend(data={'n': 1})").outcome.exports["$suspend_data"] == {"n": 1}


def test_a_rerun_publishes_the_answer_that_caused_it_and_nothing_of_the_run_before(headless: HeadlessT) -> None:
    wake = Wake("a", "suspend", then="rerun", callback=envelope(body=1), suspend_data="asked")
    kernel = headless(steps={"a": step_briefing("a", runs=1, exports={"old": 1})}, wake=wake)

    exports = kernel.run("%%step a\nflow.export('new', flow.data)").outcome.exports

    assert exports == {"new": 1, "$return_value": None, "$resume_data": envelope(body=1), "$suspend_data": "asked"}


def test_exports_survive_pickle_and_copy() -> None:
    exports = StepExports("a", {"x": {"y": 1}})

    assert pickle.loads(pickle.dumps(exports)).x.y == 1
    assert copy.deepcopy(exports).x.y == 1
    assert dict(exports) == {"x": {"y": 1}}


def test_a_structure_inside_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)

    with pytest.raises(NotJSON, match="inside itself"):
        as_json("export 'loop'", loop)


def test_completion_offers_steps_and_exports(kernel: Any) -> None:
    kernel.run("%%step a\nflow.export('rows', 1)")

    assert "a" in dir(kernel.names["steps"])
    assert "rows" in dir(kernel.names["steps"].a)
