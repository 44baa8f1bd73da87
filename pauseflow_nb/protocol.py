"""Define the messages between runner and kernel, as JSON text: a `Briefing` in, an `Outcome` out for each step.

The runner sends the briefing before the first cell. The kernel answers at the end of each step with
an outcome, in the payload of the cell's reply: it survives errors, reaches every
client, and needs no file that both can see. Both sides know these messages and nothing else about each other.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass

# Imported as names of ours: a cell may replace attributes of `json`.
from json import dumps, loads
from types import NoneType, UnionType
from typing import Any, Self, TypeAlias, Union, get_args, get_origin, get_type_hints

from pauseflow_nb.actions import USUAL_ACTIONS
from pauseflow_nb.json_values import JSON

__all__ = [
    "ASKED",
    "RETURN_VALUE",
    "SOURCE",
    "Briefing",
    "ChildRequest",
    "Failure",
    "FreshValue",
    "Links",
    "Loss",
    "Message",
    "MessageRequest",
    "Outcome",
    "PauseAnswer",
    "PauseQuestion",
    "Ready",
    "SnapshotRef",
    "StepBriefing",
    "SuspensionRequest",
    "Unsaved",
    "Wake",
    "extract_answer",
    "has_answer",
    "merge_exports",
    "waiting_state",
]

#: Key of our payload in an `execute_reply`.
SOURCE = "pauseflow"
#: Key in an `execute_reply` whose cell stopped because the storage failed, which is no error of the notebook.
STORAGE_FAILED = "pauseflow.storage-failed"

#: The iopub message that a question leaves among a cell's outputs; its content is `{"question": TEXT}`.
#: Questions arrive on another channel, and may overtake earlier outputs.
ASKED = "pauseflow_asked"

#: The links of one suspension, by the names in `LINK_NAMES`.
Links: TypeAlias = dict[str, str]


#: The export that holds what a step returned.
RETURN_VALUE = "$return_value"


def merge_exports(exports: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return everything that a step published: its exports, and the keys of a returned dict without such an export."""
    returned = exports.get(RETURN_VALUE)
    return {**(returned if isinstance(returned, dict) else {}), **exports}


def extract_answer(envelope: Mapping[str, JSON]) -> JSON:
    """Return the answer in a request's envelope: the body, or the query if there is no body.

    The clock sends no request: its answer is the default, or None.
    """
    body, written = envelope.get("body"), envelope.get("body_raw")
    is_body = body is not None or (isinstance(written, str) and written.strip() == "null")
    return body if is_body or envelope.get("by") == "clock" else envelope.get("query") or {}


def has_answer(envelope: Mapping[str, JSON]) -> bool:
    """Whether a request's envelope holds an answer: an empty form does not, a body of `null` does."""
    answer = extract_answer(envelope)
    return answer != {} and (answer is not None or envelope.get("by") != "clock")


def waiting_state(kind: str) -> str:
    """Return the state of an execution or a step with an open suspension of this kind."""
    return {"rerun": "waiting", "delay": "waiting", "pause": "paused"}.get(kind, "suspended")


class Message:
    """A frozen dataclass that can be written as JSON and read back as an equal one."""

    def to_json(self) -> str:
        """Write it as JSON text; refuse NaN, which would become the string "nan" in a Jupyter message."""
        return dumps(asdict(self), allow_nan=False)  # type: ignore[call-overload]

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; fields that this version does not know are ignored."""
        return cls.from_dict(loads(text))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Make a message, with the messages nested in it, from plain JSON values."""
        hints = get_type_hints(cls)
        known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
        return cls(**{name: _convert(hints[name], value) for name, value in data.items() if name in known})


def _convert(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _convert(next(a for a in arguments if a is not NoneType), value)
    if is_dataclass(hint) and isinstance(hint, type) and issubclass(hint, Message):
        return hint.from_dict(value)
    if origin is list and arguments:
        return [_convert(arguments[0], item) for item in value]
    if origin is dict and arguments:
        return {key: _convert(arguments[1], item) for key, item in value.items()}
    return value


@dataclass(frozen=True)
class SnapshotRef(Message):
    """A reference to a snapshot: the name of its manifest, and the digest that the manifest must have."""

    #: Name of the manifest, relative to the briefing's `snapshots` folder.
    name: str
    #: Digest of the manifest's bytes. The worker signs it; the kernel only compares.
    digest: str


@dataclass(frozen=True)
class StepBriefing(Message):
    """The part of a briefing for one step: its links, and the state left by its earlier runs."""

    #: Number of runs that ended; the next one has the number `runs + 1`.
    runs: int = 0
    #: Number of attempts at the next run that a crash interrupted.
    interrupted: int = 0
    exports: dict[str, JSON] = field(default_factory=dict)
    #: Links of each suspension that the step may ask for in this segment, by ordinal.
    links: list[Links] = field(default_factory=list)


@dataclass(frozen=True)
class Wake(Message):
    """The end of the suspension before this segment: what caused it, and the answer."""

    step: str
    #: `"suspend"`, `"rerun"`, `"delay"`, …: the kind of the suspension that ended.
    kind: str
    #: `"continue"` with the next cell, or `"rerun"` the same step.
    then: str = "continue"
    #: The envelope of the request, which becomes `$resume_data`; None if the clock ended the suspension.
    callback: dict[str, JSON] | None = None
    #: The argument of `flow.rerun(context=…)`, for this run.
    context: JSON = None
    #: The argument of `flow.suspend(data=…)`.
    suspend_data: JSON = None
    max_retries: int | None = None
    #: Who or what settled it: `"clock"`, `"link"`, `"user:NAME"`, …
    by: str = "clock"
    #: When, ISO 8601 in UTC.
    at: str = ""
    #: Everybody who approved, in order: `{"by", "at", "comment"}`.
    approvals: list[dict[str, JSON]] = field(default_factory=list)
    #: If the step was sent back: `{"comment", "data", "by", "at"}`.
    sent_back: dict[str, JSON] | None = None
    #: Whether the fresh cells have run again since, and their values were saved.
    is_checked: bool = False

    @property
    def is_answer(self) -> bool:
        """Whether it is an answer to a question: the values that were shown may have changed since."""
        return self.kind in ("suspend", "operator") and self.by != "clock"


@dataclass(frozen=True)
class Briefing(Message):
    """Everything that a kernel must know to run one segment."""

    #: Id of the execution.
    execution: str
    #: The notebook's path as the user gave it.
    notebook: str
    #: When the execution started, ISO 8601 in UTC.
    started_at: str
    #: Number of the segment, from 0.
    segment: int
    #: fsspec URL or local folder where this kernel writes and reads snapshots.
    snapshots: str
    #: Whether everything is compared with its cryptographic digest before it is restored.
    is_checked: bool = False
    #: Whether cells may run while large data that they do not mention is still fetched from an object store.
    may_defer: bool = False
    inputs: dict[str, JSON] = field(default_factory=dict)
    #: What started the execution: `context`, and `event` if it is not the parameters.
    trigger: dict[str, JSON] = field(default_factory=dict)
    #: The last `In [n]`, so that numbers continue.
    execution_count: int = 0
    #: Index of the first cell to run.
    first_cell: int = 0
    #: The namespace to restore; None for the first segment.
    snapshot: SnapshotRef | None = None
    steps: dict[str, StepBriefing] = field(default_factory=dict)
    #: What caused this segment; None for the first one and after a retry.
    wake: Wake | None = None
    #: Source of each code cell that may still run, by index: they show which variables are needed.
    coming: dict[str, str] = field(default_factory=dict)
    #: Source of each plain code cell that has run, by index: their statements may be replayed.
    passed: dict[str, str] = field(default_factory=dict)
    #: Whether an unsaveable variable that is needed fails the step.
    strict: bool = False
    #: Whether a pause may keep this kernel alive, for variables that are needed and cannot be saved.
    may_keep: bool = False
    #: The reason if not, as part of a sentence; may be empty.
    unkept: str = ""
    #: `"step"`: a snapshot after every finished step; `"pause"`: only when the notebook pauses.
    checkpoint: str = "step"
    #: Whether a snapshot made by other versions may be restored.
    force: bool = False
    #: Whether cells may run without a variable that they need and that could not be restored.
    goes_without: bool = False
    #: Names of the secrets that cells may use; the kernel asks the runner for the values.
    secrets: list[str] = field(default_factory=list)


#: Placeholder for the link to the approval page in the text of a message.
APPROVAL_URL = "{approval_url}"


@dataclass(frozen=True)
class MessageRequest(Message):
    """A message to people."""

    #: `"email"` or `"notify"`.
    channel: str
    #: Addresses, or names and URLs of targets; empty: those in the settings.
    to: list[str]
    subject: str
    text: str
    html: str | None = None
    #: The link to the approval page, which replaces `APPROVAL_URL` in the text, or is added to it.
    link: str | None = None


@dataclass(frozen=True)
class ChildRequest(Message):
    """A notebook that a step starts when it ends."""

    #: An absolute path, or a URL.
    notebook: str
    parameters: dict[str, JSON]
    #: Its name in the step that starts it.
    name: str
    #: Whether cancelling or suspending the parent does the same to it.
    linked: bool = True
    #: Whether the step fails if the notebook does not complete.
    check: bool = True


@dataclass(frozen=True)
class SuspensionRequest(Message):
    """A step's request to wait: `suspend`, `rerun`, `delay` and `sleep` are this with different values."""

    #: `"suspend"`, `"rerun"`, `"delay"`, `"pause"`, `"notebook"` or `"operator"`.
    kind: str
    #: Seconds from the end of the step until the clock acts; None: never.
    seconds: float | None = None
    #: What the clock does: `"cancel"`, `"resume"` or `"fail"`.
    on_timeout: str = "resume"
    #: Which cell comes next: `"continue"` or `"rerun"`.
    then: str = "continue"
    context: JSON = None
    max_retries: int | None = None
    data: JSON = None
    #: The answer that the clock gives with `on_timeout="resume"`.
    default: JSON = None
    title: str | None = None
    message: str | None = None
    #: JSON Schema that an answer must fit; None: any answer.
    schema: dict[str, JSON] | None = None
    #: Seconds between reminders, which send the messages again while it waits.
    remind: float | None = None
    #: The messages of the reminders, without links and without URLs that hold a secret.
    messages: list[MessageRequest] = field(default_factory=list)
    #: The notebooks to run, for kind `"notebook"`.
    children: list[ChildRequest] = field(default_factory=list)
    #: How many people must approve before the notebook continues.
    approvals: int = 1
    #: The only people who may answer, after signing in; None: anybody with a link.
    approvers: list[str] | None = None
    #: Whether the person who started the execution may approve.
    self_approval: bool = True
    #: Labels that replace the default ones of the buttons `"resume"`, `"send_back"`, `"cancel"`.
    labels: dict[str, str] = field(default_factory=dict)
    #: The actions that the question allows: some of `ACTIONS`.
    allow: list[str] = field(default_factory=lambda: list(USUAL_ACTIONS))

    @property
    def may_run_again(self) -> bool:
        """Whether an answer, or the clock, may run the step again."""
        return self.then == "rerun" or "send_back" in self.allow


@dataclass(frozen=True)
class PauseQuestion(Message):
    """The question of `flow.pause`, which the kernel sends to the runner while the cell keeps running."""

    step: str
    run: int
    #: Number of the pause within the step; an attempt after a crash asks with the same number.
    ordinal: int
    request: SuspensionRequest
    #: How often the model's own validators have refused an answer, and their errors about the last one.
    refusals: int = 0
    errors: list[dict[str, JSON]] = field(default_factory=list)


@dataclass(frozen=True)
class PauseAnswer(Message):
    """How a pause ended: the answer, a cancel, or the timeout."""

    #: `"resume"`, `"cancel"` or `"timeout"`.
    action: str
    #: The envelope of the request, which becomes `$resume_data`.
    envelope: dict[str, JSON] | None = None
    by: str = ""
    #: When, ISO 8601 in UTC.
    at: str = ""


@dataclass(frozen=True)
class Unsaved(Message):
    """A variable that is not in the snapshot."""

    name: str
    type_name: str
    reason: str
    #: `"left out"`: no later cell needs it. `"replayed"`: made again on restore. `"lost"`: needed, but only in this
    #: kernel.
    fate: str = "lost"
    #: Index of the cell that made it, if known.
    cell: int | None = None

    def __str__(self) -> str:
        made = "" if self.cell is None else f", made by cell {self.cell + 1}"
        needed = " Later cells need it." if self.fate == "lost" else ""
        return f"{self.name} ({self.type_name}{made}) was not saved: {self.reason}.{needed}"


@dataclass(frozen=True)
class Loss(Message):
    """Something that a new kernel could not restore: a variable, or what the reason says if the name is empty."""

    name: str
    type_name: str
    reason: str
    #: Indices of the cells that may need it, in order; empty: none does.
    needed_by: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        if not self.name:
            return f"{self.reason}."
        kind = f" ({self.type_name})" if self.type_name else ""
        cells = ", ".join(str(index + 1) for index in self.needed_by)
        verb = "needs" if len(self.needed_by) == 1 else "need"
        needed = f" Cell{'s' * (len(self.needed_by) > 1)} {cells} {verb} it." if cells else " No later cell needs it."
        return f"{self.name}{kind} could not be restored: {self.reason}.{needed}"


@dataclass(frozen=True)
class Failure(Message):
    """An error, in the words that are shown and stored."""

    type: str
    message: str
    cell: int | None = None
    step: str | None = None


@dataclass(frozen=True)
class Ready(Message):
    """The kernel's answer to the briefing: first when the snapshot is restored, then when the setups have run."""

    #: What could not be restored and was not reported before.
    losses: list[Loss] = field(default_factory=list)
    failure: Failure | None = None
    #: The errors of the model's own validators, `{"path", "message"}` each: the step asks again.
    refused: list[dict[str, JSON]] = field(default_factory=list)


@dataclass(frozen=True)
class FreshValue(Message):
    """The parts of a fresh cell's value that are compared and shown."""

    #: Name of the cell.
    name: str
    #: What it is, in words: `"number"`, `"frame, 3 rows by 2 columns (symbol, price)"`. Different shapes differ.
    shape: str
    #: Place and text of each single value; of a large one, of some figures about it. The text begins with the kind:
    #: `n` a number, `t` a text, `b` true or false, `o` anything else.
    parts: list[list[str]] = field(default_factory=list)
    #: SHA-256 of a large one; empty if `parts` has all of it.
    digest: str = ""
    #: Whether the cell failed; then the one part is the error.
    is_error: bool = False


@dataclass(frozen=True)
class Outcome(Message):
    """How one step ended."""

    #: `"finished"`, `"suspended"`, `"exited"` or `"failed"`.
    kind: str
    step: str
    #: Number of this run, from 1.
    run: int = 1
    #: Ordinal of the suspension: which of the step's links were issued.
    ordinal: int = 0
    exports: dict[str, JSON] = field(default_factory=dict)
    #: Sentences for the user, for example that the return value is not JSON.
    notes: list[str] = field(default_factory=list)
    suspension: SuspensionRequest | None = None
    #: The argument of `flow.exit`.
    exit_reason: str | None = None
    snapshot: SnapshotRef | None = None
    unsaved: list[Unsaved] = field(default_factory=list)
    #: What the kernel that ran the step could not restore.
    losses: list[Loss] = field(default_factory=list)
    failure: Failure | None = None

    @property
    def lost(self) -> list[Unsaved]:
        """Return the variables that later cells need and that only this kernel has."""
        return [unsaved for unsaved in self.unsaved if unsaved.fate == "lost"]

    @property
    def is_kernel_bound(self) -> bool:
        """Whether the notebook pauses and can continue in this kernel only."""
        return self.kind == "suspended" and bool(self.lost)
