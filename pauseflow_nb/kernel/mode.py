"""Define the interface between a session and its mode: an execution, or cells run by hand."""

from collections.abc import Mapping
from typing import Any, Protocol

from pauseflow_nb.cells import Header
from pauseflow_nb.json_values import JSON
from pauseflow_nb.kernel.answer_types import Form
from pauseflow_nb.kernel.attribute_dict import Record
from pauseflow_nb.kernel.control_flow import Stop
from pauseflow_nb.kernel.step_run import StepRun
from pauseflow_nb.kernel.timeout import TimeLimit
from pauseflow_nb.protocol import MessageRequest, StepBriefing, SuspensionRequest, Wake


class Mode(Protocol):
    """Starts and ends the steps of one kernel."""

    #: Exports of the steps that have run, by step.
    exports: dict[str, dict[str, JSON]]

    @property
    def answers(self) -> Mapping[str, Any]:
        """Return step → answer as an instance of its model."""

    @property
    def inputs(self) -> Record:
        """The notebook's parameters."""

    @property
    def trigger(self) -> Record:
        """What started the execution: `event` and `context`."""

    def context(self, run: StepRun) -> Record:
        """Build what `flow.context` shows during a run."""

    def describe(self) -> str:
        """Describe the state of the flow in one line."""

    def refusal(self, step: str) -> str | None:
        """Return why this step must not run now; None if it may."""

    def brief(self, step: str) -> tuple[StepBriefing, Wake | None]:
        """Return the briefing of a step that starts, and the wake if it is a rerun."""

    def end(self, run: StepRun) -> Stop | None:
        """Record a step that succeeded; return how it stops the notebook, if it does."""

    def fail(self, step: str, error: BaseException, run: StepRun | None) -> None:
        """Record a step that failed; `run` is None if it failed before it ran."""

    def take_value(self, header: Header, value: Any) -> None:
        """Note the value of a fresh cell.

        Raises:
            NotComparable: If it cannot be compared with a later one.
        """

    def fails_step(self, run: StepRun, *, is_magic: bool, is_retried: bool) -> bool:
        """Whether an error that the cell showed, but did not raise, fails the step.

        Args:
            run: The step.
            is_magic: Whether the step's code is one cell magic.
            is_retried: Whether another attempt follows.
        """

    def pause(self, run: StepRun, request: SuspensionRequest, form: Form | None, limit: TimeLimit | None) -> Any:
        """Wait within the running step for the answer, and return it.

        Raises:
            PauseTimeout: If nobody answered in time.
            Cancelled: If a person or program cancelled.
        """

    def deliver(self, message: MessageRequest) -> None:
        """Send a message to people.

        Raises:
            NotDelivered: If it could not be sent.
        """

    def respond(self, response: dict[str, JSON]) -> bool:
        """Respond to the request that started the execution; return False if none waits or it has its response."""

    def find_secret(self, name: str) -> str:
        """Return the value of a secret.

        Raises:
            MissingSecret: If no provider has it.
        """

    def begin_setup(self) -> None:
        """Note the settings before a `%%setup` cell."""

    def end_setup(self) -> None:
        """Note the settings that a `%%setup` cell has changed, if one has just run."""
