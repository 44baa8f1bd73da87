"""The table of forms, `tests/data/forms.json`: what is typed, and what the notebook gets or is refused.

Each row is tried through every way that an answer comes by: see the tests that import this. A row holds

* `name`: what it shows;
* `python`: a type as its author writes it, or lines that define `Model`; or `schema`: a JSON Schema;
* `typed`: input name → texts, as typed into a form that otherwise stays as it is drawn;
* `value`: the answer in JSON; or `errors`: input names beside which something must be said;
* `stricter`: why a form refuses what pydantic would take.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pauseflow_nb.forms.codec import Entries, initial_entries
from pauseflow_nb.kernel.answer_types import Form, make_form

__all__ = ["PATH", "Row", "rows"]

PATH = Path(__file__).parents[1] / "data" / "forms.json"

_IMPORTS = """
import dataclasses, enum, ipaddress, pathlib, uuid
from collections import *
from dataclasses import dataclass
from datetime import *
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import *
from uuid import UUID
from pydantic import *
from pydantic.types import *
from annotated_types import Ge, Gt, Le, Lt, Len
from typing_extensions import TypedDict
"""


@dataclass(frozen=True)
class Row:
    """One row."""

    name: str
    #: What is typed.
    typed: dict[str, list[str]]
    python: str | None
    json_schema: dict[str, Any] | None
    #: What comes of it; absent where it is refused.
    value: Any
    errors: list[str]
    stricter: str | None = None

    @cached_property
    def kind(self) -> Any:
        """The type, or the JSON Schema."""
        if self.python is None:
            return self.json_schema
        names: dict[str, Any] = {"__name__": "table"}
        exec(_IMPORTS, names)
        if "\n" in self.python or self.python.startswith(("class ", "@")):
            exec(self.python, names)
            return names["Model"]
        return eval(self.python, names)

    @cached_property
    def form(self) -> Form:
        """What `flow.suspend(schema=…)` makes of it."""
        return make_form(self.kind)

    @property
    def schema(self) -> dict[str, Any]:
        """What crosses to the store."""
        return self.form.json_schema

    @property
    def is_taken(self) -> bool:
        """Whether what is typed is an answer."""
        return not self.errors

    @property
    def source(self) -> str:
        """The lines of a notebook cell that bind `schema`."""
        if self.python is None:
            return f"import json\nschema = json.loads({json.dumps(self.json_schema)!r})"
        is_lines = "\n" in self.python or self.python.startswith(("class ", "@"))
        return f"{_IMPORTS}\n{self.python}\nschema = Model" if is_lines else f"{_IMPORTS}\nschema = {self.python}"

    @property
    def entries(self) -> Entries:
        """All that stands in the form when it is sent."""
        return {**initial_entries(self.schema), **self.typed}


def rows() -> Iterator[Row]:
    """Read the table."""
    for each in json.loads(PATH.read_text(encoding="utf-8")):
        yield Row(
            each["name"],
            each["typed"],
            each.get("python"),
            each.get("schema"),
            each.get("value"),
            each.get("errors", []),
            each.get("stricter"),
        )
