"""Read the steps of a workflow, whichever names their fields have."""

import json
import keyword
import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from pauseflow_nb.cells import RESERVED
from pauseflow_nb.errors import InvalidImport
from pauseflow_nb.json_values import JSON
from pauseflow_nb.pipedream.markdown_text import code_span
from pauseflow_nb.pipedream.read_source import Source, parse_json
from pauseflow_nb.pipedream.workflow import Branch, Step

_KIND_BY_SUFFIX = {
    ".py": "python", ".js": "node", ".mjs": "node", ".cjs": "node", ".ts": "node", ".sh": "bash", ".go": "go",
}  # fmt: skip
_RUNTIMES = (("python", "python"), ("node", "node"), ("javascript", "node"), ("bash", "bash"), ("go", "go"))
#: Where branching steps hold others.
_BRANCHES = ("branches", "paths", "cases", "children", "then", "else", "default", "steps", "rules", "conditions")
_ITS_OWN_NAMES = ("condition", "rule", "expression", "name", "label", "title", "when", "if")
_MOST_LEVELS = 10
_LONGEST_NAME = 100
#: In one workflow.
MOST_STEPS = 1000
#: Of one step. What is looked for in code takes a time that grows faster than the code.
MOST_CHARACTERS = 2**20


def take(mapping: dict[str, Any], *names: str) -> Any:
    """Take the first of these fields that has a value, and all of them out of the mapping."""
    values = [mapping.pop(name) for name in names if name in mapping]
    return next((value for value in values if value is not None), None)


def take_text(mapping: dict[str, Any], *names: str) -> str | None:
    """Take the first of these fields that is a text with something in it; others stay."""
    for name in names:
        value = mapping.get(name)
        if isinstance(value, str) and value.strip():
            del mapping[name]
            return value
    return None


def read_steps(source: Source, path: str, raws: JSON) -> list[Step]:
    """Read a list of steps in order.

    Args:
        source: What the steps' own files are read from.
        path: The definition, for messages; the files are beside it.
        raws: The list; None: no steps.

    Raises:
        InvalidImport: If it is not a list of mappings, or a step names a file outside of the source.
    """
    return _StepReader(source, path).read(raws, 1)


class _StepReader:
    """Reads the steps of one workflow; no two have one name."""

    def __init__(self, source: Source, path: str) -> None:
        self._source, self._path = source, path
        self._names: set[str] = set()

    def read(self, raws: JSON, level: int) -> list[Step]:
        if raws is None:
            return []
        if isinstance(raws, dict):  # by name
            raws = [{"namespace": name, **each} if isinstance(each, dict) else each for name, each in raws.items()]
        if not isinstance(raws, list) or not all(isinstance(each, dict) for each in raws):
            raise InvalidImport(self._source.name, f"the steps in {self._path} are not a list of steps")
        if level > _MOST_LEVELS:
            raise InvalidImport(self._source.name, f"{self._path} has branches in more than {_MOST_LEVELS} levels")
        return [self._read_step(dict(each), level) for each in raws if isinstance(each, dict)]

    def _read_step(self, rest: dict[str, Any], level: int) -> Step:
        former = take_text(rest, "namespace", "name", "key", "slug", "id") or "step"
        component = take(rest, "savedComponent", "saved_component", "component")
        inside: dict[str, Any] = dict(component) if isinstance(component, dict) else {}
        runtime = take_text(rest, "runtime", "lang", "language") or take_text(inside, "runtime", "lang")
        code = take_text(rest, "code", "codeRaw", "code_raw", "text_raw", "source_code") or take_text(inside, "code")
        uses = take_text(rest, "uses") or self._read_key(rest, inside)
        step = Step(name=self._new_name(former), kind="unknown", former_name=former, code=code)
        step.is_disabled = bool(take(rest, "disabled", "is_disabled"))
        step.notes = take_text(rest, "notes", "note", "comment")
        step.props = self._read_props(rest)
        definitions = take(rest, "configurableProps", "configurable_props") or take(inside, "configurableProps")
        step.definitions = _by_name(step.props.pop("__configurableProps", None)) | _by_name(definitions)
        step.kind = next((kind for word, kind in _RUNTIMES if word in (runtime or "").lower()), "unknown")
        if uses is not None and uses.startswith(("./", "../", "/")):
            self._read_file(step, uses)
        elif uses is not None:
            step.action = uses
        if step.code is None and step.problem is None:
            step.branches = self._read_branches(rest, level)
            step.kind = "branch" if step.branches else "action" if step.action else step.kind
        elif step.kind == "unknown":
            step.kind = (
                "python" if re.search(r"^[ \t]*(?:async )?def handler\(", step.code or "", re.MULTILINE) else "node"
            )
        if len(step.code or "") > MOST_CHARACTERS:
            raise InvalidImport(self._source.name, f"the code of step {former!r} in {self._path} is larger than 1 MB")
        step.other = {**{name: value for name, value in rest.items() if value not in (None, "", [], {})}}
        if component := {name: value for name, value in inside.items() if value not in (None, "", [], {})}:
            step.other["savedComponent"] = component
        return step

    @staticmethod
    def _read_key(rest: dict[str, Any], inside: dict[str, Any]) -> str | None:
        key = take_text(rest, "component_key", "componentKey", "action") or take_text(inside, "key")
        inside.pop("key", None)
        version = take_text(inside, "version")
        return f"{key}@{version}" if key and version and "@" not in key[1:] else key

    def _read_props(self, rest: dict[str, Any]) -> dict[str, JSON]:
        found: dict[str, JSON] = {}
        for name in ("params_json", "params", "configured_props_json", "configured_props", "configuredProps", "props"):
            value = rest.pop(name, None)
            if isinstance(value, str) and value.strip():
                value = parse_json(self._source.name, f"{name} in {self._path}", value)
            if isinstance(value, dict):
                found.update(value)
            elif value:
                found[name] = value
        return found

    def _read_file(self, step: Step, uses: str) -> None:
        """Read the code of a step from the file that it names."""
        parent = PurePosixPath(self._path).parent
        parts: list[str] = list(parent.parts)
        for part in PurePosixPath(uses).parts:
            if part.startswith("/") or (part == ".." and not parts):
                raise InvalidImport(
                    self._source.name, f"{self._path} names the file {uses!r}, which lies outside of it"
                )
            if part == "..":
                parts.pop()
            else:
                parts.append(part)
        path = "/".join(parts)
        obstacle = self._source.find_obstacle(path)
        if obstacle is not None:
            step.problem = f"its code, {code_span(uses)}, is {obstacle}"
            return
        step.code = self._source.read(path)
        if step.kind == "unknown":
            step.kind = _KIND_BY_SUFFIX.get(PurePosixPath(path).suffix.lower(), "unknown")

    def _read_branches(self, rest: dict[str, Any], level: int) -> list[Branch]:
        branches: list[Branch] = []
        for name in [name for name in _BRANCHES if isinstance(rest.get(name), (list, dict))]:
            ways = list(_find_ways(name, rest[name]))
            if not ways:
                continue
            del rest[name]
            branches += [Branch(title, self.read(steps, level + 1)) for title, steps in ways]
        return branches

    def _new_name(self, former: str) -> str:
        if len(self._names) >= MOST_STEPS:
            raise InvalidImport(self._source.name, f"a workflow in {self._path} has more than {MOST_STEPS:,} steps")
        name = re.sub(r"\W", "_", unicodedata.normalize("NFKC", former[:_LONGEST_NAME]))
        name = f"step_{name}" if not name.isidentifier() or keyword.iskeyword(name) or name in RESERVED else name
        if name.startswith("__"):
            name = f"step{name}"
        number, base = 2, name
        while name in self._names:
            name, number = f"{base}_{number}", number + 1
        self._names.add(name)
        return name


def _find_ways(name: str, value: JSON) -> Iterator[tuple[str, JSON]]:
    """Find the steps below a field of a branching step, with what chooses them."""
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        rows: list[Any] = value
        if any(isinstance(row.get(inner), (list, dict)) for row in rows for inner in ("steps", "then", "children")):
            for number, row in enumerate(rows, start=1):
                steps: JSON = next((row[inner] for inner in ("steps", "then", "children") if inner in row), [])
                yield _describe_way(row, f"{name} {number}"), steps
        elif all(_is_step(row) for row in rows):
            yield name, rows
    elif isinstance(value, dict):
        steps = value.get("steps")
        if isinstance(steps, list):
            yield _describe_way(value, name), steps
        elif value and all(isinstance(each, dict) and isinstance(each.get("steps"), list) for each in value.values()):
            for key, each in value.items():
                yield from _find_ways(key, each)


def _is_step(row: Mapping[str, JSON]) -> bool:
    return any(name in row for name in ("namespace", "uses", "code", "component_key", "savedComponent", "runtime"))


def _describe_way(row: Mapping[str, JSON], otherwise: str) -> str:
    found = [row[name] for name in _ITS_OWN_NAMES if row.get(name) not in (None, "", [], {})]
    texts = [each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in found]
    return ": ".join(texts) or otherwise


def _by_name(rows: JSON) -> dict[str, dict[str, Any]]:
    if isinstance(rows, dict):
        return {name: each for name, each in rows.items() if isinstance(each, dict)}
    if not isinstance(rows, list):
        return {}
    return {row["name"]: row for row in rows if isinstance(row, dict) and isinstance(row.get("name"), str)}
