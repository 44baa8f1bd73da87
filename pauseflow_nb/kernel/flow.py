"""Provide the `flow` object that users type: a call records a request, which takes effect when the step ends.

No database, no HTTP. `flow` is one per process and acts for the shell that runs a cell now.
"""

import os
import warnings
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pauseflow_nb.actions import USUAL_ACTIONS
from pauseflow_nb.durations import LONGEST, parse_duration, parse_milliseconds
from pauseflow_nb.errors import InvalidDuration, InvalidValue
from pauseflow_nb.json_values import JSON
from pauseflow_nb.kernel.answer_types import make_form
from pauseflow_nb.kernel.arguments import (
    check_actions,
    check_choice,
    check_count,
    check_flag,
    check_labels,
    check_names,
    check_text,
)
from pauseflow_nb.kernel.attribute_dict import Record, select_data
from pauseflow_nb.kernel.current import get_session, require_step
from pauseflow_nb.kernel.exports import SUSPEND_DATA, as_json
from pauseflow_nb.kernel.hints import check_keywords, suggest_argument, warn_if_short
from pauseflow_nb.kernel.issued_links import IssuedLinks
from pauseflow_nb.kernel.responding import make_response
from pauseflow_nb.kernel.run_notebook import add_child
from pauseflow_nb.kernel.secret import Secret, fetch_secret
from pauseflow_nb.kernel.sending import Sender, make_notification, send
from pauseflow_nb.kernel.step_run import PlannedSuspension, StepRun
from pauseflow_nb.kernel.steps_view import steps
from pauseflow_nb.protocol import SuspensionRequest

#: Includes `steps` because stored snapshots name it `pauseflow_nb.kernel.flow.steps`.
__all__ = ["Flow", "IssuedLinks", "flow", "steps"]

DEFAULT_TIMEOUT = timedelta(hours=24)
DEFAULT_PAUSE = timedelta(hours=1)
DEFAULT_MAX_RETRIES = 10
#: Name in other programs → what to write here.
_MEANT = {
    "approve": ": the answer comes from a button, a link or `pauseflow resume ID`",
    "resume": ": the answer comes from a button, a link or `pauseflow resume ID`",
    # Pipedream's documentation calls `rerun` this in one place.
    "retry": ": did you mean 'rerun'?",
    "step": ": a step is a cell whose first line is `%%step NAME`",
    "wait": ": did you mean 'suspend', 'pause' or 'sleep'?",
}


class Flow:
    """The calls that a step can make. Import the one instance: `from pauseflow_nb import flow`."""

    @check_keywords("flow.suspend")
    def suspend(
        self,
        timeout: float | timedelta | str | None = DEFAULT_TIMEOUT,
        *,
        data: JSON = None,
        schema: Any = None,
        on_timeout: str = "cancel",
        default: JSON = None,
        then: str = "continue",
        title: str | None = None,
        message: str | None = None,
        approvals: int = 1,
        approvers: Iterable[str] | None = None,
        self_approval: bool = True,
        allow: Iterable[str] = USUAL_ACTIONS,
        labels: Mapping[str, str] | None = None,
        remind: timedelta | str | None = None,
    ) -> IssuedLinks:
        """Suspend the notebook when this step ends, until a person or program resumes or cancels it.

        Args:
            timeout: How long; a plain number is milliseconds. None: no deadline.
            data: JSON that the approval page shows, exported as `$suspend_data`.
            schema: The type of the answer: a pydantic model, a type such as `int`, or a JSON Schema. It is checked
                before the notebook wakes, and the approval page makes a form of it.
            on_timeout: What the clock does at the deadline: `"cancel"`, `"resume"` or `"fail"`.
            default: The answer that counts at the deadline, with `on_timeout="resume"`.
            then: `"continue"` with the next cell, or `"rerun"` this step.
            title: Title in messages and on the approval page.
            message: Text for the approval page, in Markdown.
            approvals: How many different people must resume before it continues. One cancel cancels.
            approvers: Names of the only people who may answer. They must sign in: a link alone does not identify a
                person.
            self_approval: Whether the person who started the execution may approve.
            allow: The actions that an answer can take: `"resume"`, and optionally `"cancel"` and `"send_back"`. Sent
                back, this step runs again and finds the comment in `flow.context["run"]["sent_back"]`.
            labels: Labels of the buttons, such as `{"resume": "Ship it", "cancel": "Stop"}`; each is optional.
            remind: How often the messages of this step are sent again while it waits: `"4h"` or a `timedelta`.

        Returns:
            The links, valid at once. A display or an export of the whole mapping hides them.

        Raises:
            NotInStep: Outside a step.
            InvalidDuration, InvalidValue, NotJSON: Naming the argument.
            InvalidAnswer: If the default does not fit the schema.
        """
        _, run = require_step("flow.suspend()")
        span = None if timeout is None else parse_milliseconds(timeout)
        warning = None if span is None else warn_if_short("flow.suspend", timeout, span)
        check_choice("on_timeout", on_timeout, ("cancel", "resume", "fail"))
        check_choice("then", then, ("continue", "rerun"))
        check_text("title", title)
        check_text("message", message)
        allowed = check_actions("allow", allow)
        if default is not None and on_timeout != "resume":
            raise InvalidValue("default", default, 'is used only with on_timeout="resume"')
        form = None if schema is None else make_form(schema)
        default = as_json("default", default)
        if form is not None and default is not None:
            default = form.as_body(default)
            form.judge(default)
        request = SuspensionRequest(
            "suspend",
            seconds=None if span is None else span.total_seconds(),
            on_timeout=on_timeout,
            then=then,
            data=as_json("data", data),
            default=default,
            remind=None if remind is None else parse_duration(remind, what="remind").total_seconds(),
            title=title,
            message=message,
            schema=None if form is None else form.json_schema,
            approvals=check_count("approvals", approvals),
            approvers=check_names("approvers", approvers, approvals),
            self_approval=check_flag("self_approval", self_approval),
            allow=allowed,
            labels=check_labels(labels, has_schema=form is not None, allow=allowed),
        )
        run.notes += [] if warning is None else [warning]
        return _plan(run, PlannedSuspension("suspend", request, form=form))

    @check_keywords("flow.rerun")
    def rerun(
        self,
        delay: float | timedelta | str | None,
        context: JSON = None,
        max_retries: int = DEFAULT_MAX_RETRIES,
        *,
        maxRetries: int | None = None,  # noqa: N803 (Pipedream's spelling)
    ) -> IssuedLinks:
        """Run this step again after a delay, or earlier if its link is called.

        With `max_retries=3` a step runs at most four times: the call in the fourth run is ignored with a note, and
        the notebook continues.

        Args:
            delay: How long; a plain number is milliseconds. None: until the link is called.
            context: JSON for the next run, which finds it in `flow.context["run"]["context"]`.
            max_retries: How many runs may follow the first.
            maxRetries: The same, as Pipedream spells it.

        Raises:
            NotInStep: Outside a step.
            InvalidDuration, InvalidValue, NotJSON: Naming the argument.
        """
        _, run = require_step("flow.rerun()")
        max_retries = max_retries if maxRetries is None else maxRetries
        if not isinstance(max_retries, int) or isinstance(max_retries, bool) or max_retries < 0:
            raise InvalidValue("max_retries", max_retries, "must be a whole number, 0 or more")
        request = SuspensionRequest(
            "rerun",
            seconds=None if delay is None else parse_milliseconds(delay, what="delay").total_seconds(),
            then="rerun",
            context=as_json("context", context),
            max_retries=max_retries,
        )
        if run.number > max_retries:
            run.notes.append(f"run {run.number} was the last that max_retries={max_retries} allows: rerun ignored")
            return run.links()
        return _plan(run, PlannedSuspension("rerun", request))

    @check_keywords("flow.delay")
    def delay(self, ms: float | timedelta | str) -> IssuedLinks:
        """Continue with the next cell after a delay; a plain number is milliseconds."""
        return _plan(*_make_delay("delay", parse_milliseconds(ms, what="ms")))

    @check_keywords("flow.sleep")
    def sleep(self, span: timedelta | str) -> IssuedLinks:
        """Continue with the next cell after a delay with its unit: `"90s"` or a `timedelta`."""
        return _plan(*_make_delay("sleep", parse_duration(span, what="span")))

    @check_keywords("flow.sleep_until")
    def sleep_until(self, when: datetime) -> IssuedLinks:
        """Continue with the next cell at a time, which must have a time zone; at once if it is in the past."""
        if not isinstance(when, datetime):
            raise InvalidValue("when", when, "must be a datetime")
        if when.tzinfo is None or when.utcoffset() is None:
            raise InvalidValue("when", when, "has no time zone: write when.astimezone() for this machine's")
        if when - datetime.now(UTC) > LONGEST:
            raise InvalidDuration("when", when, "must be within a year")
        return _plan(*_make_delay("sleep_until", None, until=when))

    @check_keywords("flow.pause")
    def pause(
        self,
        timeout: timedelta | str | None = DEFAULT_PAUSE,
        *,
        data: JSON = None,
        schema: Any = None,
        title: str | None = None,
        message: str | None = None,
        approvals: int = 1,
        approvers: Iterable[str] | None = None,
        self_approval: bool = True,
        labels: Mapping[str, str] | None = None,
    ) -> Any:
        """Wait within this step, with the kernel alive, until a person or program resumes or cancels.

        Args:
            timeout: How long, with its unit: `"10m"` or a `timedelta`. None: no deadline.
            data: JSON that the approval page shows.
            schema: The type of the answer, as in `suspend`.
            title: Title in messages and on the approval page.
            message: Text for the approval page, in Markdown.
            approvals: How many different people must resume. One cancel cancels.
            approvers: Names of the only people who may answer, signed in.
            self_approval: Whether the person who started the execution may approve.
            labels: Labels of the buttons, as in `suspend`.

        Returns:
            The answer's data: an instance with `schema`, otherwise the body, or the query if there is no body.

        Raises:
            PauseTimeout: If nobody answered in time.
            Cancelled: If a person or program cancelled. If the cell does not catch it, the execution is cancelled.
            NotInStep, InvalidDuration, InvalidValue, NotJSON: Naming the argument.
        """
        session, run = require_step("flow.pause()")
        check_text("title", title)
        check_text("message", message)
        form = None if schema is None else make_form(schema)
        request = SuspensionRequest(
            "pause",
            seconds=None if timeout is None else parse_duration(timeout).total_seconds(),
            on_timeout="fail",
            data=as_json("data", data),
            title=title,
            message=message,
            schema=None if form is None else form.json_schema,
            approvals=check_count("approvals", approvals),
            approvers=check_names("approvers", approvers, approvals),
            self_approval=check_flag("self_approval", self_approval),
            labels=check_labels(labels, has_schema=form is not None),
        )
        return session.mode.pause(run, request, form, session.time_limit())

    @check_keywords("flow.run_notebook")
    def run_notebook(
        self,
        notebook: str | os.PathLike[str],
        parameters: Mapping[str, JSON] | None = None,
        *,
        name: str | None = None,
        linked: bool = True,
        check: bool = True,
    ) -> str:
        """Run another notebook when this step ends, and continue with the next cell when that notebook has ended.

        Several in one step run at the same time. Each is an execution of its own, which may pause.

        Args:
            notebook: Its path, relative to the working directory, or a URL that papermill reads.
            parameters: JSON values for its `parameters` cell.
            name: `steps.NAME` shows its exports under this name. None: the notebook's own name.
            linked: Whether cancelling or suspending this execution does the same to it.
            check: Whether this step fails if the notebook fails or is cancelled.

        Returns:
            The name.

        Raises:
            NotInStep: Outside a step.
            NotebookNotFound: If there is none at this path.
            InvalidValue, NotJSON: Naming the argument.
        """
        _, run = require_step("flow.run_notebook()")
        child_name, planned = add_child(
            run,
            notebook,
            parameters,
            name,
            linked=check_flag("linked", linked),
            check=check_flag("check", check),
        )
        if run.suspension is not None and run.suspension.request.kind == "notebook":
            run.suspension = planned
        else:
            _plan(run, planned)
        return child_name

    @check_keywords("flow.exit")
    def exit(self, reason: str | None = None) -> None:
        """Complete the execution when this step ends. The rest of the step still runs."""
        _, run = require_step("flow.exit()")
        check_text("reason", reason)
        run.exited, run.exit_reason = True, reason

    @check_keywords("flow.export")
    def export(self, name: str, value: JSON) -> None:
        """Publish a JSON value as `steps.NAME[name]`.

        Raises:
            NotJSON: Naming the key and the type of what is not JSON.
        """
        _, run = require_step("flow.export()")
        if not isinstance(name, str) or not name or name.startswith("$"):
            raise InvalidValue("name", name, "must be text that is not empty and does not begin with $")
        run.exports[name] = as_json(f"export {name!r}", value)

    @check_keywords("flow.respond")
    def respond(
        self, status: int | Mapping[str, Any] = 200, headers: Mapping[str, Any] | None = None, body: Any = None
    ) -> None:
        """Respond at once to the HTTP request that started this execution, if that waits for it.

        Only the first call counts. If no request waits, nothing is sent, so that the notebook also runs without one.

        Args:
            status: From 200 to 599; or a mapping of `status`, `headers` and `body`, as Pipedream has it.
            headers: Names and values. Cookies and headers that the server itself sets are refused.
            body: Text, bytes, or JSON, at most 1 MiB.

        Raises:
            NotInStep: Outside a step.
            InvalidValue, NotJSON: Naming the argument.
        """
        session, run = require_step("flow.respond()")
        if not session.mode.respond(make_response(status, headers, body)):
            run.notes.append("flow.respond() sent nothing: no request waits for it, or an earlier call has responded")

    @check_keywords("flow.secret")
    def secret(self, name: str) -> Secret:
        """Return the value of a secret from the environment, a mounted file or the keyring.

        Works in every cell. It is an ordinary text for libraries, and `••••` when it is shown; snapshots hold only
        its name, and a new kernel fetches it again.

        Args:
            name: Its name. If it is written as literal text, a missing secret is reported before the first cell runs.

        Raises:
            InvalidValue: If the name cannot be one.
            MissingSecret: If no provider has it.
        """
        return fetch_secret(name)

    @property
    def context(self) -> Record:
        """Facts about this execution, this step and this run."""
        session, run = require_step("flow.context")
        return session.mode.context(run)

    @property
    def data(self) -> Any:
        """The data of the callback that caused this rerun; None in a run that no callback caused."""
        session, run = require_step("flow.data")
        if run.wake is not None and run.step in session.mode.answers:
            return session.mode.answers[run.step]
        return None if run.envelope is None else select_data(run.envelope)

    @property
    def inputs(self) -> Record:
        """The notebook's parameters."""
        session = get_session()
        return session.mode.inputs if session is not None else Record()

    @property
    def send(self) -> Sender:
        """Send a mail or an HTTP request: `flow.send.email(…)`, `flow.send.http(…)`."""
        return Sender()

    @check_keywords("flow.notify")
    def notify(
        self, message: str | None = None, to: str | Iterable[str] | None = None, *, title: str | None = None
    ) -> None:
        """Send a message through apprise; after `flow.suspend` or the like it carries the link to the approval page.

        Args:
            message: The text. None: the `message` of the step's suspension.
            to: Names in the setting `notify`, or URLs of apprise. None: all names in that setting.
            title: Title of the message. None: the `title` of the step's suspension.

        Raises:
            NotInStep: Outside a step.
            NotDelivered: If it could not be sent.
            InvalidValue: If the title holds a link.
        """
        session, run = require_step("flow.notify()")
        send(session, run, make_notification(run, message, to, title))

    def __getattr__(self, name: str) -> Any:
        hint = _MEANT.get(name) or suggest_argument(name, [n for n in dir(Flow) if n[0] != "_"])
        raise AttributeError(f"flow has no {name!r}{hint}")

    def __repr__(self) -> str:
        return "<flow of pauseflow_nb>"

    def __reduce__(self) -> str:
        return "flow"


flow = Flow()


def _make_delay(
    call: str, span: timedelta | None, *, until: datetime | None = None
) -> tuple[StepRun, PlannedSuspension]:
    _, run = require_step(f"flow.{call}()")
    seconds = None if span is None else span.total_seconds()
    return run, PlannedSuspension(call, SuspensionRequest("delay", seconds=seconds), until)


def _plan(run: StepRun, planned: PlannedSuspension) -> IssuedLinks:
    links = run.links(planned.request.allow)
    if run.suspension is not None:
        sentence = (
            f"step {run.step!r} asked to pause twice: flow.{planned.call}() replaces flow.{run.suspension.call}(), "
            "because only the last call counts; to ask several questions, ask each in a step of its own"
        )
        # Points to the user's line, above this function, the method, and the check of its arguments.
        warnings.warn(sentence, stacklevel=4)
        run.notes.append(sentence)
    run.suspension = planned
    if planned.request.data is not None:
        run.exports[SUSPEND_DATA] = planned.request.data
    else:
        run.exports.pop(SUSPEND_DATA, None)
    return links
