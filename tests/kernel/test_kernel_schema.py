"""`schema=`: what crosses to the store, and what the notebook gets back in a kernel of its own."""

from collections.abc import Callable
from typing import Any

import pytest

from pauseflow_nb.errors import InvalidAnswer
from pauseflow_nb.protocol import Briefing, Outcome, StepBriefing, Wake

from .conftest import Kernel, Ran, step_briefing

HeadlessT = Callable[..., Kernel]
BriefingT = Callable[..., Briefing]

MODEL = """
from pydantic import BaseModel, Field, field_validator

class Decision(BaseModel):
    approved: bool
    amount: int = Field(3, ge=1, description="how many")

    @field_validator("amount")
    @classmethod
    def is_even(cls, amount):
        if amount % 2:
            raise ValueError("must be even")
        return amount
"""


def body_of(value: Any, by: str = "link") -> dict[str, Any]:
    return {"method": "POST", "query": {}, "body": value, "by": by}


class Road:
    """A step that asks in one kernel, and its answer in the next."""

    def __init__(self, new_kernel: Callable[[], Kernel], briefing: BriefingT) -> None:
        self._new_kernel, self._briefing = new_kernel, briefing
        self.outcome: Outcome

    def ask(self, call: str, *before: str) -> Outcome:
        kernel = self._new_kernel()
        kernel.begin(self._briefing())
        for source in before:
            assert kernel.run(source).ok
        self.outcome = kernel.run(f"%%step a\n{call}").outcome
        return self.outcome

    def answer(self, envelope: dict[str, Any] | None, *setups: str, **wake: Any) -> tuple[Kernel, Ran]:
        kernel = self._new_kernel()
        exports = {} if envelope is None else {"$resume_data": envelope}
        by = "clock" if envelope is None else str(envelope["by"])
        step_a = step_briefing("a", runs=1, exports=exports)
        steps: dict[str, StepBriefing] = {"a": step_a, "b": step_briefing("b"), "c": step_briefing("c")}
        callback = None if by == "clock" else envelope
        woken = Wake("a", "suspend", callback=callback, by=by, **wake)
        assert (
            kernel.begin(
                self._briefing(segment=1, snapshot=self.outcome.snapshot, steps=steps, wake=woken)
            ).ready.failure
            is None
        )
        for source in setups:
            assert kernel.run(source, silent=True).ok
        return kernel, kernel.run("get_ipython().pauseflow.settle_names()", silent=True)


@pytest.fixture
def road(new_kernel: Callable[[], Kernel], briefing: BriefingT) -> Road:
    return Road(new_kernel, briefing)


def test_a_model_crosses_as_json_schema(road: Road) -> None:
    asked = road.ask("flow.suspend(schema=Decision)", MODEL).suspension

    assert asked is not None
    assert asked.schema is not None
    assert asked.schema["required"] == ["approved"]
    assert asked.schema["properties"]["amount"]["description"] == "how many"


def test_the_answer_is_an_instance_of_the_notebooks_own_class(road: Road) -> None:
    road.ask("flow.suspend(schema=Decision)", MODEL)

    kernel, ran = road.answer(body_of({"approved": True, "amount": 4}))

    assert ran.ready.refused == []
    assert kernel.run("isinstance(steps.a.data, Decision), steps.a.data.amount").value == (True, 4)
    assert kernel.run("steps.a.data is steps.a.data").value is True
    assert kernel.run("steps.a['$resume_data']['body']").value == {"approved": True, "amount": 4}


def test_the_instance_stays_in_later_segments(road: Road) -> None:
    road.ask("flow.suspend(schema=Decision)", MODEL)
    kernel, _ = road.answer(body_of({"approved": True}))
    kernel.run("kept = steps.a.data\nkept.amount = 17")
    road.outcome = kernel.run("%%step b\nflow.suspend()").outcome

    kernel = road._new_kernel()
    steps = {"a": step_briefing("a", runs=1, exports={"$resume_data": body_of({"approved": True})})}
    kernel.begin(road._briefing(segment=2, snapshot=road.outcome.snapshot, steps=steps, wake=Wake("b", "suspend")))
    kernel.run("get_ipython().pauseflow.settle_names()", silent=True)

    assert kernel.run("isinstance(steps.a.data, Decision), steps.a.data is kept, kept.amount").value == (True, True, 17)


def test_no_name_of_ours_stays(road: Road) -> None:
    road.ask("flow.suspend(schema=Decision)", MODEL)
    kernel, _ = road.answer(body_of({"approved": True}))

    assert [name for name in kernel.names if "pauseflow" in name] == []


def test_a_class_that_a_setup_makes_again_is_the_new_one(road: Road) -> None:
    setup = f"%%setup\n{MODEL}"
    road.ask("flow.suspend(schema=Decision)", setup)

    kernel, _ = road.answer(body_of({"approved": True}), setup)

    assert kernel.run("type(steps.a.data) is Decision").value is True


def test_what_the_validators_refuse_is_told_with_its_place(road: Road) -> None:
    road.ask("flow.suspend(schema=Decision)", MODEL)

    _, ran = road.answer(body_of({"approved": True, "amount": 5}))

    assert ran.ready.failure is None
    assert ran.ready.refused == [{"path": ["amount"], "message": "must be even"}]
    assert ran.shown == ""


@pytest.mark.parametrize(
    ("schema", "body", "value"),
    [
        ("bool", {"value": True}, True),
        ("int", {"value": 3}, 3),
        ("list[str]", {"value": ["a"]}, ["a"]),
        ("dict[str, int]", {"value": {"a": 1}}, {"a": 1}),
        ("__import__('datetime').date", {"value": "2026-11-20"}, __import__("datetime").date(2026, 11, 20)),
        ("__import__('typing').Literal['a', 'b']", {"value": "b"}, "b"),
        ("__import__('typing').Annotated[int, __import__('pydantic').Field(gt=2)]", {"value": 3}, 3),
    ],
)
def test_a_type_is_a_form_with_the_one_field_value(road: Road, schema: str, body: Any, value: Any) -> None:
    asked = road.ask(f"flow.suspend(schema={schema})").suspension
    kernel, _ = road.answer(body_of(body))

    assert asked is not None
    assert asked.schema is not None
    assert list(asked.schema["properties"]) == asked.schema["required"] == ["value"]
    assert kernel.run("steps.a.data").value == value


def test_a_json_schema_stays_what_it_is(road: Road) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    asked = road.ask(f"flow.suspend(schema={schema})").suspension
    kernel, _ = road.answer(body_of({"n": 3}))

    assert asked is not None
    assert asked.schema == schema
    assert kernel.run("steps.a.data.n").value == 3


def test_a_dataclass_is_a_schema_too(road: Road) -> None:
    road.ask(
        "flow.suspend(schema=Order)",
        "from dataclasses import dataclass\n@dataclass\nclass Order:\n    what: str\n    many: int = 1",
    )
    kernel, _ = road.answer(body_of({"what": "tea"}))

    assert kernel.run("steps.a.data == Order('tea', 1)").value is True


def test_an_answer_by_the_clock_without_data_is_none(road: Road) -> None:
    road.ask("flow.suspend('1h', schema=Decision, on_timeout='resume')", MODEL)
    kernel, ran = road.answer({**body_of(None, by="clock")})

    assert ran.ready.refused == []
    assert kernel.run("steps.a.data").value is None


def test_a_default_becomes_an_instance(road: Road) -> None:
    asked = road.ask("flow.suspend('1h', schema=int, on_timeout='resume', default=7)").suspension
    assert asked is not None
    assert asked.default == {"value": 7}
    kernel, _ = road.answer(body_of(asked.default, by="clock"))

    assert kernel.run("steps.a.data").value == 7


def test_flow_data_of_a_rerun_is_the_instance(road: Road) -> None:
    road.ask("flow.suspend(schema=Decision, then='rerun')", MODEL)
    kernel, _ = road.answer(body_of({"approved": True}), then="rerun")

    ran = kernel.run("%%step a\nassert flow.data is steps.a.data and type(flow.data) is Decision, flow.data\n1")
    assert ran.ok, ran.error


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            "flow.suspend(schema=5)",
            "InvalidValue: schema=5 must be a pydantic model, a type such as int, or a JSON Schema",
        ),
        (
            "flow.suspend(schema={'type': 'objekt'})",
            "InvalidValue: schema={'type': 'objekt'} is not a JSON Schema: type must be one of",
        ),
        (
            "flow.suspend(schema={'approved': bool})",
            "is not a JSON Schema: 'approved' is a Python type; write a pydantic model that has this field",
        ),
        (
            "flow.suspend(schema={'approved': 'boolean'})",
            "has no keyword of JSON Schema: write {'type': 'object', 'properties': {'approved': 'boolean'}}, or a pydantic",
        ),
        (
            "flow.suspend(schema={'approved': {'type': 'boolean'}})",
            "has no keyword of JSON Schema: write {'type': 'obj",
        ),
        ("flow.suspend(schema={'$ref': 'https://example.com'})", "refers to something outside of it"),
        ("flow.suspend(schema=type('X', (), {}))", "cannot be written as JSON Schema"),
        (
            "flow.suspend(schema=int, on_timeout='resume', default='x')",
            "InvalidAnswer: the answer does not fit what is asked for: value must be a whole number",
        ),
        ("flow.suspend(approvals=0)", "InvalidValue: approvals=0 must be a whole number, 1 or more"),
        ("flow.suspend(approvers='ann')", "InvalidValue: approvers='ann' must be a list of users' names, or None"),
        ("flow.suspend(approvers=['ann'], approvals=2)", "are fewer than approvals=2: nobody could ever continue"),
        ("flow.suspend(self_approval='no')", "InvalidValue: self_approval='no' must be True or False"),
        ("flow.suspend(labels={'approve': 'Go'})", "has the key 'approve', and there are only: resume, cancel"),
        ("flow.pause(labels={'resume': ' '})", "InvalidValue: labels['resume']=' ' must be text that is not empty"),
        ("flow.suspend(schema=int, labels={'cancel': 'Submit'})", "makes two buttons say 'Submit'"),
    ],
)
def test_what_cannot_be_asked_is_refused_at_the_call(headless: HeadlessT, call: str, message: str) -> None:
    ran = headless().run(f"%%step a\n{call}")

    assert ran.outcome.failure is not None
    assert message in f"{ran.outcome.failure.type}: {ran.outcome.failure.message}"


def test_rules_cross_as_they_are(road: Road) -> None:
    asked = road.ask("flow.suspend(approvals=2, approvers=['ann', 'user:bob'], self_approval=False)").suspension

    assert asked is not None
    assert (asked.approvals, asked.approvers, asked.self_approval) == (2, ["ann", "bob"], False)


class TestByHand:
    def test_approve_gives_the_instance(self, kernel: Kernel) -> None:
        kernel.run(MODEL)
        kernel.run("%%step a\nflow.suspend(schema=Decision)")
        kernel.run('%pauseflow approve {"approved": true}')

        assert kernel.run("type(steps.a.data) is Decision").value is True

    def test_approve_takes_a_bare_value_for_a_type(self, kernel: Kernel) -> None:
        kernel.run("%%step a\nflow.suspend(schema=int)")
        kernel.run("%pauseflow approve 5")

        assert kernel.run("steps.a.data").value == 5

    def test_an_answer_that_does_not_fit_leaves_it_open(self, kernel: Kernel) -> None:
        kernel.run(MODEL)
        kernel.run("%%step a\nflow.suspend(schema=Decision)")

        ran = kernel.run('%pauseflow approve {"approved": true, "amount": 5}')

        assert isinstance(ran.error, InvalidAnswer)
        assert ran.error.errors == [{"path": ["amount"], "message": "must be even"}]
        assert "is suspended" in kernel.run("%pauseflow").text
