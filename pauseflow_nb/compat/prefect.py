"""Prefect's three names with Prefect's meaning, for notebooks that come from there.

`pause_flow_run` blocks with the kernel alive. `suspend_flow_run` stops at once; when it is resumed the
step runs again from its beginning, and the call then returns the data. Times are in seconds.
"""

from copy import copy
from typing import Any, Self

from pydantic import BaseModel, create_model

from pauseflow_nb.durations import seconds
from pauseflow_nb.errors import InvalidValue
from pauseflow_nb.kernel.answer_types import Form, form_of
from pauseflow_nb.kernel.current import require_step
from pauseflow_nb.kernel.pausing import suspend_at_once
from pauseflow_nb.protocol import SuspensionRequest

__all__ = ["RunInput", "pause_flow_run", "resume_flow_run", "suspend_flow_run"]


class RunInput(BaseModel):
    """A pydantic model whose form can be filled in beforehand. Any other model or type will do as well."""

    @classmethod
    def with_initial_data(cls, description: str | None = None, **initial_data: Any) -> type[Self]:
        """Make a model whose fields start with these values.

        Args:
            description: What the approval page says above the form.
            initial_data: Field → value that it has if nobody changes it.

        Raises:
            InvalidValue: If the model has no such field.
        """
        fields: dict[str, Any] = {}
        for name, value in initial_data.items():
            if name not in cls.model_fields:
                known = ", ".join(cls.model_fields) or "none"
                raise InvalidValue(name, value, f"is for no field of {cls.__name__}: it has {known}")
            # A copy keeps what else is said of the field: its limits, its description.
            field = copy(cls.model_fields[name])
            field.default, field.default_factory = value, None
            fields[name] = (field.annotation, field)
        made = create_model(cls.__name__, __base__=cls, **fields)
        made.__doc__ = description
        return made


def pause_flow_run(wait_for_input: Any = None, timeout: float | None = 3600, key: str | None = None) -> Any:
    """Wait here, with the kernel alive, until somebody resumes.

    Args:
        wait_for_input: A `RunInput`, a pydantic model or a type: what the answer must be.
        timeout: Seconds; None: no deadline.
        key: A name for this pause: with one that was answered before in this step, it returns at once.

    Returns:
        An instance of `wait_for_input`; None without one.

    Raises:
        PauseTimeout: "paused and never resumed".
        Cancelled: If somebody cancelled.
        NotInStep: Outside a step.
    """
    session, run = require_step("pause_flow_run()")
    answered = run.keys.get(key) if key is not None else None
    if answered is None:
        request, form = _request("pause", wait_for_input, timeout)
        answered = (session.mode.pause(run, request, form, session.time_limit()),)
        if key is not None:
            run.keys[key] = answered
    return answered[0] if wait_for_input is not None else None


def suspend_flow_run(
    wait_for_input: Any = None,
    flow_run_id: str | None = None,
    timeout: float | None = 3600,
    key: str | None = None,
) -> Any:
    """Stop at once and free everything; when somebody resumes, the step runs again and this returns.

    Args:
        wait_for_input: As for `pause_flow_run`.
        flow_run_id: Another execution, which is suspended before its next cell; then this returns at once.
        timeout: Seconds until the execution fails; None: no deadline.
        key: A name for this call; without one, calls are told apart by their order in the step.

    Returns:
        An instance of `wait_for_input`; None without one.

    Raises:
        NotInStep: Outside a step.
        CannotSuspend: If the other execution cannot be suspended.
    """
    if flow_run_id is not None:
        from pauseflow_nb.execution import get_execution  # lazily: a kernel seldom needs the store

        get_execution(flow_run_id).suspend()
        return None
    session, run = require_step("suspend_flow_run()")
    request, form = _request("suspend", wait_for_input, timeout)
    data = suspend_at_once(session.shell, run, request, form, key=key)
    return data if wait_for_input is not None else None


def resume_flow_run(flow_run_id: str, run_input: Any = None) -> None:
    """Resume an execution, from any program.

    Args:
        flow_run_id: Its id.
        run_input: A dict, an instance of the model, or a value: what it waits for.

    Raises:
        NotSuspended: If it does not wait.
        InvalidAnswer: If the input is not what it waits for; it goes on waiting.
    """
    from pauseflow_nb.execution import get_execution  # lazily: see above

    data = run_input.model_dump(mode="json") if isinstance(run_input, BaseModel) else run_input
    get_execution(flow_run_id).resume(data=data)


def _request(kind: str, wait_for_input: Any, timeout: float | None) -> tuple[SuspensionRequest, Form | None]:
    form = None if wait_for_input is None else form_of(wait_for_input)
    is_model = isinstance(wait_for_input, type) and issubclass(wait_for_input, RunInput)
    request = SuspensionRequest(
        kind,
        seconds=None if timeout is None else seconds(timeout).total_seconds(),
        on_timeout="fail",
        then="rerun" if kind == "suspend" else "continue",
        message=wait_for_input.__doc__ if is_model and wait_for_input.__doc__ else None,
        schema=None if form is None else form.json_schema,
    )
    return request, form
