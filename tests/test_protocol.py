"""What crosses the kernel boundary comes out as it went in, also between versions."""

import dataclasses
import json
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pauseflow_nb import protocol
from pauseflow_nb.protocol import Briefing, Failure, Message, Outcome, SnapshotRef, SuspensionRequest, Unsaved, Wake

texts = st.text(st.characters(codec="utf-8"), max_size=8)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
messages = [
    cls for cls in vars(protocol).values() if isinstance(cls, type) and issubclass(cls, Message) and cls is not Message
]


#: They are large: making them anew for each example takes longer than the examples.
_built: dict[str, st.SearchStrategy[Any]] = {}


def built(cls: type[Message]) -> st.SearchStrategy[Message]:
    """Make a message with every field filled, from the types of its fields."""
    if cls.__name__ not in _built:
        hints = get_type_hints(cls)
        fields = {f.name: filled(hints[f.name]) for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        _built[cls.__name__] = st.builds(cls, **fields)
    return _built[cls.__name__]


def filled(hint: Any) -> st.SearchStrategy[Any]:
    simple = {str: texts, int: st.integers(), bool: st.booleans(), type(None): st.none(), Any: json_values}
    if hint in simple:
        return simple[hint]
    if hint is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    if isinstance(hint, type) and issubclass(hint, Message):
        return built(hint)
    inner = [filled(argument) for argument in hint.__args__]
    if hint.__class__.__name__ == "UnionType":
        return st.one_of(inner)
    if hint.__origin__ is list:
        return st.lists(inner[0], max_size=2)
    assert hint.__origin__ is dict
    return st.dictionaries(inner[0], inner[1], max_size=2)


@pytest.mark.every(4)
@pytest.mark.parametrize("cls", messages, ids=lambda cls: cls.__name__)
@given(data=st.data())
def test_every_message_comes_back_equal(cls: type[Message], data: st.DataObject) -> None:
    message = data.draw(built(cls))

    assert cls.from_json(message.to_json()) == message


@pytest.mark.parametrize("cls", messages, ids=lambda cls: cls.__name__)
def test_every_message_is_frozen_and_public(cls: type[Message]) -> None:
    assert cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert cls.__name__ in protocol.__all__


@given(data=st.data())
def test_what_a_later_version_adds_is_ignored(data: st.DataObject) -> None:
    message = data.draw(built(Briefing))
    later = {**json.loads(message.to_json()), "colour": "blue"}

    assert Briefing.from_dict(later) == message


def test_what_an_earlier_version_did_not_say_has_its_default() -> None:
    assert Outcome.from_json('{"kind": "finished", "step": "train"}') == Outcome("finished", "train")


def test_nested_messages_are_messages_again() -> None:
    outcome = Outcome(
        "suspended",
        "approve",
        suspension=SuspensionRequest("suspend", seconds=86_400.0, data={"accuracy": 0.97}),
        snapshot=SnapshotRef("m", "d"),
        unsaved=[Unsaved("connection", "Connection", "it is open")],
        failure=Failure("ValueError", "no"),
    )

    back = Outcome.from_json(outcome.to_json())
    assert isinstance(back.suspension, SuspensionRequest)
    assert isinstance(back.snapshot, SnapshotRef)
    assert isinstance(back.unsaved[0], Unsaved)
    assert isinstance(back.failure, Failure)


def test_users_values_that_look_like_messages_stay_as_they_are() -> None:
    wake = Wake("ask", "suspend", callback={"name": "m", "digest": "d"}, context=[{"type": "x", "message": "y"}])

    assert Wake.from_json(wake.to_json()) == wake


def test_nan_is_refused() -> None:
    """Inside a Jupyter message it would arrive as the string "nan"."""
    with pytest.raises(ValueError, match="JSON"):
        Wake("ask", "rerun", context=float("nan")).to_json()
