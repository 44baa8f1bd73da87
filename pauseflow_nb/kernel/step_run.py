"""Hold the state of one run of a step: its briefing, the suspension that it plans and its exports so far."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from pauseflow_nb.actions import USUAL_ACTIONS, allowed_links
from pauseflow_nb.cells import Header
from pauseflow_nb.durations import SHORTEST
from pauseflow_nb.errors import InvalidStep
from pauseflow_nb.json_values import JSON
from pauseflow_nb.kernel.answer_types import Form
from pauseflow_nb.kernel.attribute_dict import RESUME_DATA
from pauseflow_nb.kernel.exports import SUSPEND_DATA
from pauseflow_nb.kernel.issued_links import IssuedLinks
from pauseflow_nb.protocol import MessageRequest, StepBriefing, SuspensionRequest, Wake


@dataclass(frozen=True)
class PlannedSuspension:
    """A suspension that the step requested, and that takes effect when the step ends."""

    #: The call, for messages: `"suspend"`, `"rerun"`, `"delay"`, `"sleep"`, `"sleep_until"`.
    call: str
    request: SuspensionRequest
    #: When the clock acts, for `sleep_until`; the seconds until then are known only at the end of the step.
    until: datetime | None = None
    #: The form of the answer, for `schema=`.
    form: Form | None = None

    def request_at_end(self) -> SuspensionRequest:
        """Return the request with its seconds counted from now."""
        if self.until is None:
            return self.request
        left = (self.until - datetime.now(UTC)).total_seconds()
        return replace(self.request, seconds=max(left, SHORTEST.total_seconds()))


@dataclass
class StepRun:
    """The run of a step; an attempt of `--retries` starts the same run again."""

    header: Header
    briefing: StepBriefing
    #: What caused this run, if it is a rerun.
    wake: Wake | None = None
    #: Number of attempts of `--retries` that failed in this kernel; also the ordinal of the links.
    failed_attempts: int = 0
    suspension: PlannedSuspension | None = None
    #: Value of the last expression or of the handler.
    value: Any = None
    exited: bool = False
    exit_reason: str | None = None
    exports: dict[str, JSON] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    #: An error that a cell magic showed but did not raise.
    swallowed: BaseException | None = None
    #: `key` of `pause_flow_run` → its answer.
    keys: dict[str, tuple[Any]] = field(default_factory=dict)
    #: Number of calls of `suspend_flow_run` without a `key`.
    suspends: int = 0
    #: Messages that were delivered in this attempt.
    delivered: list[MessageRequest] = field(default_factory=list)
    #: Number of calls of `flow.pause` in this attempt.
    pauses: int = 0
    #: Whether the last attempt failed and another one follows.
    is_retrying: bool = False

    @property
    def step(self) -> str:
        """Return the name of the step."""
        return self.header.name

    @property
    def number(self) -> int:
        """Return the number of this run, from 1."""
        return self.briefing.runs + 1

    @property
    def attempt(self) -> int:
        """Return the number of this attempt at the run, from 1; crashes and `--retries` count."""
        return self.briefing.interrupted + self.failed_attempts + 1

    @property
    def envelope(self) -> dict[str, JSON] | None:
        """Return the `$resume_data` that caused this run: of a request, or of a timeout with a default."""
        if self.wake is None or self.wake.sent_back is not None:
            # A question that was sent back has no answer.
            return None
        if self.wake.callback is not None:
            return self.wake.callback
        stored = self.briefing.exports.get(RESUME_DATA)
        return stored if isinstance(stored, dict) and stored.get("by") == "clock" else None

    def links(self, allow: Collection[str] = USUAL_ACTIONS) -> IssuedLinks:
        """Return the links of this attempt, the same ones in every call.

        Args:
            allow: The actions that the question allows: there are links only for these.

        Raises:
            InvalidStep: If the briefing has none for this attempt.
        """
        try:
            links = self.briefing.links[self.failed_attempts]
        except IndexError:
            raise InvalidStep(self.step, f"there are no links for attempt {self.failed_attempts + 1}") from None
        return IssuedLinks(allowed_links(links, allow), self.notes)

    def start_attempt(self) -> None:
        """Begin a new attempt: forget the suspension, the exports and the links of the failed one."""
        self.is_retrying = False
        self.suspension, self.value, self.exports = None, None, {}
        self.exited, self.exit_reason, self.pauses, self.delivered = False, None, 0, []
        self.keys, self.suspends = {}, 0

    def all_exports(self) -> dict[str, JSON]:
        """Return everything that this run exports, with the answer that caused it."""
        answered: dict[str, JSON] = {}
        if self.envelope is not None:
            answered[RESUME_DATA] = self.envelope
        if self.wake is not None and self.wake.suspend_data is not None:
            answered[SUSPEND_DATA] = self.wake.suspend_data
        return {**answered, **self.exports}

    def progress(self) -> str | None:
        """Describe which run this is, for a step that runs more than once: `"run 3 of 11"`."""
        request = self.suspension.request if self.suspension is not None else None
        is_rerun = self.number > 1 or (request is not None and request.then == "rerun")
        if not is_rerun:
            return None
        budgets = [source.max_retries for source in (request, self.wake) if source is not None]
        budget = next((b for b in budgets if b is not None), None)
        return f"run {self.number}" if budget is None else f"run {self.number} of {max(budget + 1, self.number)}"
