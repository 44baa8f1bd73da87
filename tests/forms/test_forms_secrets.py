"""Passwords in answers are hidden wherever they stand."""

import json
from typing import Any

import pytest
from forms.table import Row

from pauseflow_nb.forms.secrets import hide_secrets

NESTED = "class Model(BaseModel):\n    word: SecretStr\n    kids: list['Model'] = []"
NAMED = (
    "class Model(BaseModel):\n    model_config = ConfigDict(populate_by_name=True)\n"
    "    word: SecretStr = Field(validation_alias=AliasChoices('Word', AliasPath('words', 0)))"
)


@pytest.mark.parametrize(
    ("python", "answer"),
    [
        ("SecretStr", "hunter2"),
        ("SecretStr", {"value": "hunter2"}),
        ("Union[int, list[SecretStr]]", ["hunter2"]),
        ("dict[str, SecretStr]", {"a": "hunter2"}),
        ("tuple[str, SecretStr]", ["a", "hunter2"]),
        ("Json[SecretStr]", '"hunter2"'),
        (NESTED, {"word": "a", "kids": [{"word": "b", "kids": [{"word": "hunter2"}]}]}),
        (NAMED, {"word": "hunter2"}),
        (NAMED, {"Word": "hunter2"}),
        (NAMED, {"words": ["hunter2"]}),
    ],
)
def test_a_password_is_hidden_wherever_it_stands(python: str, answer: Any) -> None:
    schema = Row(python, {}, python, None, None, []).schema

    assert "hunter2" not in json.dumps(hide_secrets(answer, schema))


def test_what_is_no_password_is_shown() -> None:
    schema: dict[str, Any] = {
        "properties": {"a": {"type": "string"}, "b": {"format": "password"}},
        "patternProperties": {"^x": {"allOf": [{"writeOnly": True}]}},
    }

    hidden = hide_secrets({"a": "1", "b": "2", "x1": "3", "c": [4]}, schema)

    assert hidden == {"a": "1", "b": "***", "x1": "***", "c": [4]}
