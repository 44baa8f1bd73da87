"""Make the notebook of one workflow, and list what it needs and how it is started."""

import pprint
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from pauseflow_nb.pipedream.account_props import Accounts, replace_secrets
from pauseflow_nb.pipedream.code_scan import find_environment
from pauseflow_nb.pipedream.markdown_text import code_span, plain
from pauseflow_nb.pipedream.step_cells import make_cells
from pauseflow_nb.pipedream.workflow import Step, Trigger, Workflow

#: Fields that are known, and say nothing about what a workflow does: they are kept, and not listed.
_UNLISTED = frozenset(
    {"name", "auto_deploy", "id", "type", "key", "created_at", "updated_at", "schedule_changed_at", "owner_id"}
    | {"component_id", "component_owner_id", "component", "savedComponent", "_props_cursor", "codeConfigJson"}
    | {"endpoint_url", "email_address", "active", "name_slug"}
)
#: Windows has devices of these names.
_NOT_ON_WINDOWS = {"con", "prn", "aux", "nul", *(f"{name}{n}" for name in ("com", "lpt") for n in range(1, 10))}
# People copy the commands into a shell: nothing in them may mean something there.
_CRON = re.compile(r"[0-9A-Za-z*/,?#-]+(?: +[0-9A-Za-z*/,?#-]+){4,6}", re.ASCII)
_ZONE = re.compile(r"[A-Za-z0-9_+/-]{1,60}", re.ASCII)


@dataclass
class TriggerLine:
    """What starts the notebook."""

    #: None: a person must find one.
    command: str | None
    sentence: str


@dataclass
class Made:
    """A notebook, and what its project needs for it."""

    workflow: Workflow
    #: Name of its folder and file.
    slug: str
    notebook: NotebookNode
    steps: list[str] = field(default_factory=list)
    pip: list[str] = field(default_factory=list)
    npm: dict[str, str] = field(default_factory=dict)
    #: Name of each secret, and what it is.
    secrets: dict[str, str] = field(default_factory=dict)
    #: Environment variables that the code reads.
    environment: list[str] = field(default_factory=list)
    triggers: list[TriggerLine] = field(default_factory=list)
    to_do: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    #: Names of fields without a meaning here; the notebook's metadata keep them.
    unused: list[str] = field(default_factory=list)

    @property
    def has_node(self) -> bool:
        """Whether a step is written in JavaScript."""
        return any(cell.cell_type == "code" and "\n%%node\n" in cell.source[:300] for cell in self.notebook.cells)

    @property
    def path(self) -> str:
        """Where the notebook is in the project."""
        return f"{self.slug}/{self.slug}.ipynb"


def make_notebook(workflow: Workflow, slug: str, accounts: Accounts) -> Made:
    """Make the notebook of a workflow."""
    made = Made(workflow, slug, new_notebook())
    props: dict[str, Any] = {}
    cells: list[NotebookNode] = []
    for step in workflow.steps:
        one = make_cells(step, accounts)
        cells += one.cells
        made.steps.append(step.name)
        made.pip += [line for line in one.pip if line not in made.pip]
        made.npm |= one.npm
        made.secrets |= one.props.secrets
        made.to_do += one.to_do
        made.notes += one.notes
        if step.branches:
            props |= one.props.values
        elif one.props.values:
            props[step.name] = one.props.values
    made.environment = list(dict.fromkeys(_find_all_environment(workflow.steps)))
    responds = any(_responds(step) for step in _list_all_steps(workflow.steps))
    made.triggers = [describe_trigger(each, made.path, responds=responds) for each in workflow.triggers]
    made.unused = list(_list_unused(workflow))
    first = _make_first_cells(props, has_secrets=bool(made.secrets))
    made.notebook.cells = [new_markdown_cell(_write_title(made)), *first, *cells]
    # The title says so of a trigger already.
    made.to_do += [line.sentence for line in made.triggers if line.command is None]
    made.notebook.metadata.update(
        kernelspec={"name": "python3", "display_name": "Python 3", "language": "python"},
        pipedream=_keep(workflow),
    )
    for number, cell in enumerate(made.notebook.cells):
        cell["id"] = f"cell-{number}"
    return made


def _write_title(made: Made) -> str:
    workflow = made.workflow
    identifier = code_span(workflow.identifier) if workflow.identifier else None
    where = f"the Pipedream workflow {identifier}" if identifier else "a Pipedream workflow"
    lines = [f"# {plain(workflow.name)}", "", f"Imported from {where}."]
    if not workflow.is_active:
        lines.append("It was disabled there.")
    for trigger in made.triggers:
        lines += ["", trigger.sentence]
        if trigger.command:
            lines += ["", f"```shell\n{trigger.command}\n```"]
    if made.to_do:
        lines += ["", "**To do by hand:**", "", *(f"- {sentence}" for sentence in made.to_do)]
    return "\n".join(lines)


def _make_first_cells(props: dict[str, Any], *, has_secrets: bool) -> Iterator[NotebookNode]:
    """Make the cells that steps need: the import, which makes `%%setup` known by hand too, and the props."""
    yield new_code_cell("from pauseflow_nb import flow, steps")
    if props:
        text = pprint.pformat(props, width=110, sort_dicts=False)
        secrets = " Secrets come from the environment: see .env.example." if has_secrets else ""
        yield new_code_cell(f"%%setup\n# The props of the steps.{secrets}\nprops = {text}")


def _responds(step: Step) -> bool:
    return not step.is_disabled and re.search(r"(?:\$|\bpd)\.respond\(", step.code or "") is not None


def _find_all_environment(steps: list[Step]) -> Iterator[str]:
    for step in steps:
        if step.is_disabled:
            continue
        yield from find_environment(step.code or "")
        yield from find_environment(repr(step.props))
        for branch in step.branches:
            yield from _find_all_environment(branch.steps)


def _list_unused(workflow: Workflow) -> Iterator[str]:
    """Name the fields that nothing here is made of."""
    groups = [("settings.", workflow.settings), ("", workflow.other)]
    for number, trigger in enumerate(workflow.triggers):
        groups += [(f"triggers[{number}].props.", trigger.props), (f"triggers[{number}].", trigger.other)]
    groups += [(f"steps.{step.name}.", step.other) for step in _list_all_steps(workflow.steps)]
    for prefix, fields in groups:
        for name, value in fields.items():
            if name not in _UNLISTED and value not in (None, "", [], {}):
                yield f"{prefix}{name}"


def _list_all_steps(steps: list[Step]) -> Iterator[Step]:
    for step in steps:
        yield step
        for branch in step.branches:
            yield from _list_all_steps(branch.steps)


def _keep(workflow: Workflow) -> dict[str, Any]:
    triggers = [
        {"id": each.identifier, "kind": each.kind, "name": each.title, "cron": each.cron, "props": each.props}
        | {"fields": each.other}
        for each in workflow.triggers
    ]
    unused: dict[str, Any] = {
        "id": workflow.identifier,
        "name": workflow.name,
        "place": workflow.place,
        "settings": workflow.settings,
        "triggers": triggers,
        "fields": workflow.other,
    }
    return {name: replace_secrets(value) for name, value in unused.items()}


def make_slug(name: str) -> str:
    """Make the name of a folder: lower case, `-` between words."""
    words = unicodedata.normalize("NFKC", name[:1000]).lower()
    slug = re.sub(r"[^\w]+", "-", words).strip("-_")[:60].strip("-_")
    return f"{slug}-workflow" if slug in _NOT_ON_WINDOWS else slug or "workflow"


class Slugs:
    """Names of folders, no two alike."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, name: str) -> str:
        """Make a slug that is new."""
        base = slug = make_slug(name)
        while slug in self._counts:
            self._counts[base] += 1
            slug = f"{base}-{self._counts[base]}"
        self._counts[slug] = 1
        return slug


def describe_trigger(trigger: Trigger, path: str, *, responds: bool) -> TriggerLine:
    """Describe a trigger.

    Args:
        trigger: What the source says of it.
        path: Of the notebook, in the project.
        responds: Whether a step of the workflow responds to the request.
    """
    add = f"pauseflow trigger add {path}"
    if trigger.kind == "http":
        waits = responds or trigger.has_custom_response
        sentence = "Started by an HTTP request" + (", which waits for the response of a step." if waits else ".")
        return TriggerLine(f"{add} --http{' --wait' if waits else ''}", sentence)
    schedule = _describe_schedule(trigger, add) if trigger.kind == "schedule" else None
    return schedule or TriggerLine(None, _explain(trigger, add))


def _describe_schedule(trigger: Trigger, add: str) -> TriggerLine | None:
    """Describe a schedule; None if the source does not hold its times, or they are none."""
    if trigger.cron and _CRON.fullmatch(trigger.cron):
        zone = f" --tz {trigger.zone}" if trigger.zone and _ZONE.fullmatch(trigger.zone) else ""
        return TriggerLine(f'{add} --cron "{trigger.cron}"{zone}', f"Started by the schedule `{trigger.cron}`.")
    if trigger.interval_seconds and not trigger.cron:
        seconds = trigger.interval_seconds
        return TriggerLine(f"{add} --every {seconds}s", f"Started every {seconds} seconds.")
    return None


def _explain(trigger: Trigger, add: str) -> str:
    name = f" {code_span(trigger.title or trigger.identifier)}" if trigger.title or trigger.identifier else ""
    times = f"times {code_span(trigger.cron)} cannot be read" if trigger.cron else "times are not in the source"
    sentences = {
        "schedule": f'Started by the schedule{name}, whose {times}. Add them: `{add} --cron "0 8 * * *" --tz UTC`',
        "email": f"Started by mail{name}. Let your mail service forward the mail to the URL of `{add} --http`",
        "source": (
            f"Started by the event source{name}, which checked a service for events. Let the service call the URL "
            f"of `{add} --http`, or check for events in a first step, with `{add} --every 15m`"
        ),
    }
    return sentences.get(trigger.kind, f"Started by a trigger{name} of an unknown kind")
