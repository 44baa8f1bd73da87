"""Provide three functions of Prefect with the same meaning, for notebooks that were written for Prefect.

`pause_flow_run` waits with the kernel alive. `suspend_flow_run` stops at once; when the execution is resumed, the step runs
again from its beginning, and the call then returns the data. Times are in seconds.
"""

from copy import copy
from typing import Any, Self

from pydantic import BaseModel, create_model

from pauseflow_nb.durations import parse_seconds
from pauseflow_nb.errors import InvalidValue
from pauseflow_nb.json_values import NOTHING
from pauseflow_nb.kernel.answer_types import Form, make_form
from pauseflow_nb.kernel.current import require_step
from pauseflow_nb.kernel.pausing import suspend_at_once
from pauseflow_nb.protocol import SuspensionRequest

__all__ = ["RunInput", "pause_flow_run", "resume_flow_run", "suspend_flow_run"]


class RunInput(BaseModel):
    """A pydantic model whose form can have initial values. Any other model or type works as well."""

    @classmethod
    def with_initial_data(cls, description: str | None = None, **initial_data: Any) -> type[Self]:
        """Make a model whose fields have these initial values.

        Args:
            description: Text above the form on the approval page.
            initial_data: Field → initial value.

        Raises:
            InvalidValue: If the model has no field of that name.
        """
        fields: dict[str, Any] = {}
        for name, value in initial_data.items():
            if name not in cls.model_fields:
                known = ", ".join(cls.model_fields) or "none"
                raise InvalidValue(name, value, f"names no field of {cls.__name__}, which has {known}")
            # A copy keeps the other properties of the field, such as its limits and its description.
            field = copy(cls.model_fields[name])
            field.default, field.default_factory = value, None
            fields[name] = (field.annotation, field)
        model = create_model(cls.__name__, __base__=cls, **fields)
        model.__doc__ = description
        return model


def pause_flow_run(wait_for_input: Any = None, timeout: float | None = 3600, key: str | None = None) -> Any:
    """Wait, with the kernel alive, until the pause is answered.

    Args:
        wait_for_input: Type of the answer: a `RunInput`, a pydantic model or another type.
        timeout: Seconds; None: no deadline.
        key: Name of this pause; if a pause with this name was answered before in this step, the call returns at once.

    Returns:
        An instance of `wait_for_input`; None without one.

    Raises:
        PauseTimeout: If the deadline passed without an answer.
        Cancelled: If the pause was cancelled.
        NotInStep: Outside a step.
    """
    session, run = require_step("pause_flow_run()")
    answered = run.keys.get(key) if key is not None else None
    if answered is None:
        request, form = _make_request("pause", wait_for_input, timeout)
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
    """Stop the step at once and end the kernel; after the answer, the step runs again and this call returns.

    Args:
        wait_for_input: As for `pause_flow_run`.
        flow_run_id: Id of another execution to suspend before its next cell; then this call returns at once.
        timeout: Seconds until the execution fails; None: no deadline.
        key: Name of this call; without one, calls are identified by their order in the step.

    Returns:
        An instance of `wait_for_input`; None without one.

    Raises:
        NotInStep: Outside a step.
        CannotSuspend: If the other execution cannot be suspended.
    """
    if flow_run_id is not None:
        from pauseflow_nb.execution import get_execution  # lazily: a kernel rarely needs the store

        get_execution(flow_run_id).suspend()
        return None
    session, run = require_step("suspend_flow_run()")
    request, form = _make_request("suspend", wait_for_input, timeout)
    data = suspend_at_once(session.shell, run, request, form, key=key)
    return data if wait_for_input is not None else None


def resume_flow_run(flow_run_id: str, run_input: Any = None) -> None:
    """Resume an execution, from any program.

    Args:
        flow_run_id: Id of the execution.
        run_input: The answer: a dict, an instance of the model, or another value.

    Raises:
        NotSuspended: If the execution does not wait.
        InvalidAnswer: If the answer is invalid; the execution still waits.
    """
    from pauseflow_nb.execution import get_execution  # lazily: see above

    data = run_input.model_dump(mode="json") if isinstance(run_input, BaseModel) else run_input
    get_execution(flow_run_id).resume(data=NOTHING if data is None else data)


def _make_request(kind: str, wait_for_input: Any, timeout: float | None) -> tuple[SuspensionRequest, Form | None]:
    form = None if wait_for_input is None else make_form(wait_for_input)
    is_model = isinstance(wait_for_input, type) and issubclass(wait_for_input, RunInput)
    request = SuspensionRequest(
        kind,
        seconds=None if timeout is None else parse_seconds(timeout).total_seconds(),
        on_timeout="fail",
        then="rerun" if kind == "suspend" else "continue",
        message=wait_for_input.__doc__ if is_model and wait_for_input.__doc__ else None,
        schema=None if form is None else form.json_schema,
    )
    return request, form
