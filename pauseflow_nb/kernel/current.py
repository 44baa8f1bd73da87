"""Find the session of the shell that runs a cell now: `flow` and `steps` are one per process and act for that shell."""

from typing import TYPE_CHECKING, Protocol

from pauseflow_nb.errors import NotInStep
from pauseflow_nb.kernel.mode import Mode
from pauseflow_nb.kernel.secret import take_secrets_from
from pauseflow_nb.kernel.step_run import StepRun
from pauseflow_nb.kernel.timeout import TimeLimit
from pauseflow_nb.kernel.tracebacks import hide_traceback

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


class RunningSession(Protocol):
    """The session, as far as the functions that users call need it."""

    shell: "InteractiveShell"
    mode: Mode
    #: The step that is running now.
    run: StepRun | None

    def time_limit(self) -> TimeLimit | None:
        """Return the `--timeout` of the step that is running."""


_session: RunningSession | None = None


def set_session(session: RunningSession) -> None:
    """Make `flow` and `steps` act for this session; called when its shell runs a cell."""
    global _session  # noqa: PLW0603 (one kernel has one flow, and users import it by name)
    _session = session
    take_secrets_from(session)


def get_session() -> RunningSession | None:
    """Return the session that `flow` and `steps` act for."""
    return _session


def require_step(call: str) -> tuple[RunningSession, StepRun]:
    """Return the session and the step that is running.

    Raises:
        NotInStep: If no step is running; `call` names the call that needs one.
    """
    if _session is None or _session.run is None:
        raise hide_traceback(NotInStep(call))
    return _session, _session.run
