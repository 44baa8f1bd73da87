"""One segment in one kernel; knows neither database nor engine, and never imports `kernel`.

nbformat imports jsonschema, which takes a second or two beside Jupyter Server: there it asks `rfc3987_syntax` for one
function, for the formats `iri` and `iri-reference`, and that package builds forty parsers as soon as it is imported.
Each worker and each `pauseflow run` would wait for them. Here they are built when somebody first asks for one of the
two formats. Answers are checked by another library: see `forms.dialect`.
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
