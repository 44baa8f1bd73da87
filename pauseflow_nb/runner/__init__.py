"""Run one segment of a notebook in one kernel, without database or engine.

`runner` never imports `kernel`: `protocol` is the contract between them.

nbformat imports jsonschema, which takes a second or two where Jupyter Server is installed: jsonschema then imports
`rfc3987_syntax` for the formats `iri` and `iri-reference`, and that package builds forty parsers when it is imported.
Each worker and each `pauseflow run` would wait for them. So this package builds them only when one of the two formats is
first checked. Another library checks answers: see `forms.dialect`.
"""

import importlib.util
import sys
from types import ModuleType

__all__: list[str] = []

_PARSERS = "rfc3987_syntax"


def _is_valid_syntax(term: str, value: str) -> bool:
    from rfc3987_syntax import is_valid_syntax

    return bool(is_valid_syntax(term, value))


def _import_jsonschema() -> None:
    if "jsonschema" in sys.modules or _PARSERS in sys.modules or importlib.util.find_spec(_PARSERS) is None:
        return
    stand_in = ModuleType(_PARSERS)
    stand_in.is_valid_syntax = _is_valid_syntax  # type: ignore[attr-defined]
    sys.modules[_PARSERS] = stand_in
    try:
        import jsonschema  # noqa: F401
    finally:
        del sys.modules[_PARSERS]


_import_jsonschema()
