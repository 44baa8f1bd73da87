"""Hold one run of one step: its briefing, the suspension that it plans and its exports so far."""

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
    """A suspension that the step requested and that takes effect at its end."""

    #: The call, for messages: `"suspend"`, `"rerun"`, `"delay"`, `"sleep"`, `"sleep_until"`.
    call: str
    request: SuspensionRequest
    #: When the clock acts, for `sleep_until`; its seconds are known only at the end of the step.
    until: datetime | None = None
    #: What an answer must be, for `schema=`.
    form: Form | None = None

    def request_at_end(self) -> SuspensionRequest:
        """Return the request with its seconds counted from now."""
        if self.until is None:
            return self.request
        left = (self.until - datetime.now(UTC)).total_seconds()
        return replace(self.request, seconds=max(left, SHORTEST.total_seconds()))


@dataclass
class StepRun:
    """A step that is running. An attempt of `--retries` starts the same run again."""

    header: Header
    briefing: StepBriefing
    #: What caused this run, if it is a rerun.
    wake: Wake | None = None
    #: Attempts of `--retries` that failed in this kernel; also the ordinal of the links.
    failed_attempts: int = 0
    suspension: PlannedSuspension | None = None
    #: Value of the last expression or of the handler.
    value: Any = None
    exited: bool = False
    exit_reason: str | None = None
    exports: dict[str, JSON] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    #: An error that a cell magic showed and did not raise.
    swallowed: BaseException | None = None
    #: Answers to `pause_flow_run` by its `key`.
    keys: dict[str, tuple[Any]] = field(default_factory=dict)
    #: Calls of `suspend_flow_run` without a `key`.
    suspends: int = 0
    #: Messages that were delivered in this attempt.
    delivered: list[MessageRequest] = field(default_factory=list)
    #: Calls of `flow.pause` in this attempt.
    pauses: int = 0
    #: Whether the last attempt failed and another one follows.
    is_retrying: bool = False

    @property
    def step(self) -> str:
        """The step's name."""
        return self.header.name

    @property
    def number(self) -> int:
        """Number of this run, from 1."""
        return self.briefing.runs + 1

    @property
    def attempt(self) -> int:
        """Number of starts of this run, with those after crashes and of `--retries`, from 1."""
        return self.briefing.interrupted + self.failed_attempts + 1

    @property
    def envelope(self) -> dict[str, JSON] | None:
        """The `$resume_data` that caused this run: a request's, or the clock's if it brought a default."""
        if self.wake is None or self.wake.sent_back is not None:
            # Sent back is not answered.
            return None
        if self.wake.callback is not None:
            return self.wake.callback
        stored = self.briefing.exports.get(RESUME_DATA)
        return stored if isinstance(stored, dict) and stored.get("by") == "clock" else None

    def links(self, allow: Collection[str] = USUAL_ACTIONS) -> IssuedLinks:
        """Return the links of this attempt, the same ones at every call.

        Args:
            allow: What an answer may do: there are links for that alone.

        Raises:
            InvalidStep: If the briefing has none for this attempt.
        """
        try:
            links = self.briefing.links[self.failed_attempts]
        except IndexError:
            raise InvalidStep(self.step, f"there are no links for attempt {self.failed_attempts + 1}") from None
        return IssuedLinks(allowed_links(links, allow))

    def start_attempt(self) -> None:
        """Forget the suspension and the exports of a failed attempt; its links are void."""
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
        """Say which run this is, for a step that runs more than once: `"run 3 of 11"`."""
        request = self.suspension.request if self.suspension is not None else None
        is_rerun = self.number > 1 or (request is not None and request.then == "rerun")
        if not is_rerun:
            return None
        budgets = [source.max_retries for source in (request, self.wake) if source is not None]
        budget = next((b for b in budgets if b is not None), None)
        return f"run {self.number}" if budget is None else f"run {self.number} of {max(budget + 1, self.number)}"
