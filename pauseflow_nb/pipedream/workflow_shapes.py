"""Find workflows in a source, and read them: the project's export, the REST API's JSON, GitHub Sync's `workflow.yaml`."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from pauseflow_nb.errors import InvalidImport
from pauseflow_nb.json_values import JSON
from pauseflow_nb.pipedream.read_source import MOST_FILES, Source, parse_json, parse_yaml
from pauseflow_nb.pipedream.read_steps import read_steps, take, take_text
from pauseflow_nb.pipedream.workflow import Trigger, Workflow

_WRAPPERS = ("data", "workflow", "definition")
_LISTS = ("steps", "triggers")
MOST_WORKFLOWS = 2000
_LONGEST_INTERVAL = 366 * 24 * 60 * 60


@dataclass
class Found:
    """What a source holds."""

    workflows: list[Workflow] = field(default_factory=list)
    #: Files and entries that made no workflow, each with the reason.
    left_out: dict[str, str] = field(default_factory=dict)


def find_workflows(source: Source) -> Found:
    """Read every workflow of a source.

    Raises:
        InvalidImport: If there is none, or one cannot be read.
    """
    found = Found(left_out={path: reason for path, reason in source.skipped.items() if _may_define(path)})
    listed: dict[str, str] = {}
    is_alone = len(source.paths) == 1
    for path in source.paths:
        if not (is_alone or _may_define(path)):
            continue
        try:
            _read_definition(source, path, found, listed)
        except InvalidImport as error:
            if is_alone or source.is_exhausted:
                raise
            # Others in an archive or a folder may be in order.
            found.left_out[path] = error.problem
        if len(found.workflows) > MOST_WORKFLOWS:
            raise InvalidImport(source.name, f"it holds more than {MOST_WORKFLOWS:,} workflows: import it in parts")
    _compare_with_manifest(found, listed)
    if not found.workflows:
        reasons = "; ".join(f"{path}: {reason}" for path, reason in list(found.left_out.items())[:3])
        raise InvalidImport(
            source.name,
            "it contains no Pipedream workflow. Pass a project's export (ZIP), the JSON of the REST API, or "
            f"`workflow.yaml` of GitHub Sync{f' ({reasons})' if reasons else ''}",
        )
    return found


def _may_define(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in {".json", ".yaml", ".yml"}


def _read_definition(source: Source, path: str, found: Found, listed: dict[str, str]) -> None:
    """Add the workflows of a file to those found; what a manifest lists, to those listed."""
    name = PurePosixPath(path).name.lower()
    text = source.read(path)
    is_json = name.endswith(".json") or text.lstrip()[:1] in {"{", "["}
    parsed = (parse_json if is_json else parse_yaml)(source.name, path, text)
    if name == "manifest.json":
        listed.update(_read_manifest(parsed))
        return
    raws = list(itertools.islice(_find_definitions(parsed), MOST_WORKFLOWS + 1))
    if not raws and name not in {"package.json", "package-lock.json", "tsconfig.json"}:
        found.left_out[path] = "no workflow: it has neither steps nor triggers"
    found.workflows += [_read_workflow(source, path, raw) for raw in raws]


def _find_definitions(parsed: JSON) -> Iterator[Mapping[str, JSON]]:
    """Find what has steps or triggers, also in lists and below `data` or `workflow`."""
    if isinstance(parsed, list):
        for each in parsed:
            yield from _find_definitions(each)
    elif isinstance(parsed, dict):
        if any(isinstance(parsed.get(name), list) for name in _LISTS):
            yield parsed
            return
        for name in (*_WRAPPERS, "workflows"):
            inside = parsed.get(name)
            if not isinstance(inside, (dict, list)):
                continue
            # What stands around it, such as its name, is part of it: of the first, if there are several.
            around = {key: value for key, value in parsed.items() if key != name}
            for each in _find_definitions(inside):
                yield {**around, **each}
                around = {}


def _read_manifest(parsed: JSON) -> dict[str, str]:
    """Return the workflows that a manifest lists, each with what it says of it."""
    rows = parsed.get("workflows", parsed) if isinstance(parsed, dict) else parsed
    entries = rows.values() if isinstance(rows, dict) else rows if isinstance(rows, list) else []
    listed: dict[str, str] = {}
    for row in entries:
        if isinstance(row, dict):
            rest = dict(row)
            identifier = take_text(rest, "id", "workflow_id", "workflowId")
            title = take_text(rest, "name", "title", "workflow_name")
            reason = take_text(rest, "error", "reason", "message", "status", "state")
            path = take_text(rest, "file", "path", "filename", "file_path")
            key = identifier or path or title
            if key and len(listed) < MOST_FILES:
                listed[key] = f"{title or path or key}: {reason or 'the export has no file of it'}"
    return listed


def _compare_with_manifest(found: Found, listed: Mapping[str, str]) -> None:
    """Say which workflows the manifest lists and the archive does not hold."""
    known = {each.identifier for each in found.workflows} | {each.name for each in found.workflows}
    places = "\n".join(each.place for each in found.workflows)
    for key, sentence in listed.items():
        title = sentence.partition(":")[0]
        if key in known or title in known or key in places:
            continue
        found.left_out[f"manifest.json, {key}"] = f"{sentence}. It is in the manifest only"


def _read_workflow(source: Source, path: str, raw: Mapping[str, JSON]) -> Workflow:
    rest: dict[str, Any] = dict(raw)
    take(rest, "schema", "schema_version", "schemaVersion")
    settings = take(rest, "settings")
    if not isinstance(settings, dict):
        rest |= {"settings": settings} if settings else {}
        settings = {}
    name = take_text(rest, "name", "title", "workflow_name") or take_text(settings, "name")
    identifier = take_text(rest, "id", "workflow_id", "workflowId") or _read_state(source, path)
    inactive = take(rest, "inactive")
    active = take(rest, "active", "is_active", "enabled")
    triggers = take(rest, "triggers", "trigger") or []
    workflow = Workflow(
        name=name or _name_by_place(path),
        place=path,
        identifier=identifier,
        is_active=not inactive and active is not False,
        settings=settings,
        triggers=[_read_trigger(each) for each in (triggers if isinstance(triggers, list) else [triggers])],
    )
    workflow.steps = read_steps(source, path, take(rest, "steps"))
    workflow.other = rest
    return workflow


def _read_state(source: Source, path: str) -> str | None:
    """Return the id that GitHub Sync keeps beside `workflow.yaml`."""
    state = (PurePosixPath(path).parent / ".workflow.state").as_posix()
    if source.find_obstacle(state) is not None:
        return None
    parsed = parse_yaml(source.name, state, source.read(state))
    return take_text(dict(parsed), "id") if isinstance(parsed, dict) else None


def _name_by_place(path: str) -> str:
    place = PurePosixPath(path)
    return place.parent.name if place.stem == "workflow" and place.parent.name else place.stem


_KINDS = {"hi_": "http", "ti_": "schedule", "ei_": "email", "dc_": "source"}
_WORDS = (("http", "http"), ("timer", "schedule"), ("cron", "schedule"), ("schedule", "schedule"), ("email", "email"))


def _read_trigger(raw: JSON) -> Trigger:
    if not isinstance(raw, dict):
        return Trigger("unknown", other={"trigger": raw})
    rest: dict[str, Any] = dict(raw)
    identifier = take_text(rest, "id")
    props = take(rest, "props", "configured_props", "configuredProps") or {}
    props = dict(props) if isinstance(props, dict) else {"props": props}
    nested = [props, *(each for each in props.values() if isinstance(each, dict))]
    cron = take_text(rest, "cron", "schedule") or next((text for at in nested if (text := _peek(at, "cron"))), None)
    zone = take_text(rest, "timezone", "tz") or next((text for at in nested if (text := _peek(at, "timezone"))), None)
    interval = take(rest, "interval_seconds", "intervalSeconds")
    if interval is None:
        interval = next((at["intervalSeconds"] for at in nested if "intervalSeconds" in at), None)
    title = take_text(rest, "name", "component_key", "uses", "key") if "endpoint_url" not in rest else None
    kind = _KINDS.get((identifier or "")[:3])
    if kind is None:
        kind = _guess_kind(rest, title, cron, interval)
    responds = take(rest, "custom_response", "customResponse")
    return Trigger(
        kind=kind,
        identifier=identifier,
        cron=cron,
        interval_seconds=_read_seconds(interval),
        zone=zone,
        has_custom_response=bool(responds),
        title=title,
        props=props,
        other=rest,
    )


def _read_seconds(value: JSON) -> int | None:
    try:
        seconds = 0 if isinstance(value, bool) else round(float(value))
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if 0 < seconds <= _LONGEST_INTERVAL else None


def _guess_kind(rest: Mapping[str, JSON], title: str | None, cron: str | None, interval: JSON) -> str:
    if cron or interval:
        return "schedule"
    if "endpoint_url" in rest:
        return "http"
    if "email_address" in rest:
        return "email"
    spoken = f"{rest.get('type', '')} {title or ''}".lower()
    word = next((kind for part, kind in _WORDS if part in spoken), None)
    return word or ("source" if "component_id" in rest or title else "unknown")


def _peek(mapping: Mapping[str, JSON], name: str) -> str | None:
    value = mapping.get(name)
    return value if isinstance(value, str) and value else None
