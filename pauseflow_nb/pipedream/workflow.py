"""Describe a workflow of Pipedream, whatever it was read from."""

from dataclasses import dataclass, field
from typing import Any

from pauseflow_nb.json_values import JSON


@dataclass
class Branch:
    """One way that a branching step may take."""

    #: Its condition or name, for people.
    title: str
    steps: list["Step"]


@dataclass
class Step:
    """One step of a workflow."""

    #: A Python identifier, unique in its workflow.
    name: str
    #: `"python"`, `"node"`, `"bash"`, `"go"`, `"action"`, `"branch"` or `"unknown"`.
    kind: str
    #: Its name on Pipedream.
    former_name: str
    code: str | None = None
    #: Of an action: its key in the registry, with the version if there is one.
    action: str | None = None
    props: dict[str, JSON] = field(default_factory=dict)
    #: What is known of each prop: `type`, `app`, `secret`.
    definitions: dict[str, dict[str, Any]] = field(default_factory=dict)
    is_disabled: bool = False
    notes: str | None = None
    branches: list[Branch] = field(default_factory=list)
    #: Why the code is missing, for people.
    problem: str | None = None
    #: Fields that mean nothing here.
    other: dict[str, JSON] = field(default_factory=dict)


@dataclass
class Trigger:
    """What started a workflow."""

    #: `"http"`, `"schedule"`, `"email"`, `"source"` or `"unknown"`.
    kind: str
    #: Its id on Pipedream.
    identifier: str | None = None
    cron: str | None = None
    interval_seconds: int | None = None
    zone: str | None = None
    #: Whether the workflow itself responds to the request.
    has_custom_response: bool = False
    #: Of a source: its name.
    title: str | None = None
    props: dict[str, JSON] = field(default_factory=dict)
    other: dict[str, JSON] = field(default_factory=dict)


@dataclass
class Workflow:
    """A workflow with its steps in order."""

    name: str
    #: Where it stands in the source.
    place: str
    identifier: str | None = None
    is_active: bool = True
    steps: list[Step] = field(default_factory=list)
    triggers: list[Trigger] = field(default_factory=list)
    settings: dict[str, JSON] = field(default_factory=dict)
    other: dict[str, JSON] = field(default_factory=dict)
