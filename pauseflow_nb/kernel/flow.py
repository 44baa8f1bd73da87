"""The `flow` and `steps` objects that users type.

No database, no HTTP: a call notes what the step asked for, and it takes effect when the step ends.
Both objects are one per process and speak for the shell that runs a cell now.
"""

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pauseflow_nb.durations import LONGEST, duration, milliseconds
from pauseflow_nb.errors import InvalidDuration, InvalidValue, NotInStep
from pauseflow_nb.forms.labels import check_labels
from pauseflow_nb.json_values import JSON
from pauseflow_nb.kernel.answer_types import form_of
from pauseflow_nb.kernel.arguments import check_choice, check_text, checked_count, checked_flag, checked_names
from pauseflow_nb.kernel.attribute_dict import Record
from pauseflow_nb.kernel.context import data_for
from pauseflow_nb.kernel.exports import SUSPEND_DATA, StepExports, as_json
from pauseflow_nb.kernel.hints import check_keywords, did_you_mean, warn_if_short
from pauseflow_nb.kernel.issued_links import IssuedLinks
from pauseflow_nb.kernel.run_notebook import with_child
from pauseflow_nb.kernel.sending import Sender, notification, send
from pauseflow_nb.kernel.step_run import Asked, StepRun
from pauseflow_nb.kernel.tracebacks import calmly
from pauseflow_nb.protocol import SuspensionRequest

if TYPE_CHECKING:
    from pauseflow_nb.kernel.session import Session

__all__ = ["Flow", "IssuedLinks", "Steps", "flow", "running_session", "session_and_run", "speak_for", "steps"]

DEFAULT_TIMEOUT = timedelta(hours=24)
DEFAULT_PAUSE = timedelta(hours=1)
DEFAULT_MAX_RETRIES = 10

_session: "Session | None" = None


def speak_for(session: "Session") -> None:
    """Make `flow` and `steps` those of this session; the shell that runs a cell calls it."""
    global _session  # noqa: PLW0603 (one kernel has one flow, and users import it by name)
    _session = session


def running_session() -> "Session | None":
    """The session that `flow` and `steps` speak for."""
    return _session


class Flow:
    """What a step can ask for. Import the one there is: `from pauseflow_nb import flow`."""

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
        labels: Mapping[str, str] | None = None,
        remind: timedelta | str | None = None,
    ) -> IssuedLinks:
        """Wait, from the end of this step on, until somebody resumes or cancels.

        Args:
            timeout: How long; a plain number is milliseconds. None: no deadline.
            data: JSON shown to whoever is asked, and exported as `$suspend_data`.
            schema: What an answer must be: a pydantic model, a type such as `int`, or a JSON Schema. It is checked
                before the notebook wakes, and the approval page makes a form of it.
            on_timeout: What the clock does at the deadline: `"cancel"`, `"resume"` or `"fail"`.
            default: With `on_timeout="resume"`, what the clock hands over as if somebody had sent it.
            then: `"continue"` with the next cell, or `"rerun"` this step.
            title: A few words for messages and the approval page.
            message: Sentences for the approval page, in Markdown.
            approvals: How many different people must resume before it goes on. One cancel cancels.
            approvers: Names of the only ones who may answer, signed in; a link alone does not tell who calls.
            self_approval: Whether whoever started the execution may approve.
            labels: Words on the buttons, such as `{"resume": "Ship it", "cancel": "Stop"}`; either may be left out.
            remind: After which time, again and again, the messages of this step are sent once more while it waits:
                `"4h"` or a `timedelta`.

        Returns:
            The links, valid at once. Shown or exported whole, they are hidden.

        Raises:
            NotInStep: Outside a step.
            InvalidDuration, InvalidValue, NotJSON: Naming the argument.
            InvalidAnswer: If the default does not fit the schema.
        """
        run = _running("flow.suspend()")
        span = None if timeout is None else milliseconds(timeout)
        warning = None if span is None else warn_if_short("flow.suspend", timeout, span)
        check_choice("on_timeout", on_timeout, ("cancel", "resume", "fail"))
        check_choice("then", then, ("continue", "rerun"))
        check_text("title", title)
        check_text("message", message)
        if default is not None and on_timeout != "resume":
            raise InvalidValue("default", default, 'is handed over only with on_timeout="resume"')
        form = None if schema is None else form_of(schema)
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
            remind=None if remind is None else duration(remind, what="remind").total_seconds(),
            title=title,
            message=message,
            schema=None if form is None else form.json_schema,
            approvals=checked_count("approvals", approvals),
            approvers=checked_names("approvers", approvers, approvals),
            self_approval=checked_flag("self_approval", self_approval),
            labels=check_labels(labels, has_schema=form is not None),
        )
        run.notes += [] if warning is None else [warning]
        return _ask(run, Asked("suspend", request, form=form))

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

        With `max_retries=3` a step runs at most four times; asking again in the fourth is ignored
        and noted, and the notebook goes on.

        Args:
            delay: How long; a plain number is milliseconds. None: until the link is called.
            context: JSON for the next run, which finds it in `flow.context["run"]["context"]`.
            max_retries: How many runs may follow the first.
            maxRetries: The same, as Pipedream spells it.

        Raises:
            NotInStep: Outside a step.
            InvalidDuration, InvalidValue, NotJSON: Naming the argument.
        """
        run = _running("flow.rerun()")
        max_retries = max_retries if maxRetries is None else maxRetries
        if not isinstance(max_retries, int) or isinstance(max_retries, bool) or max_retries < 0:
            raise InvalidValue("max_retries", max_retries, "must be a whole number, 0 or more")
        request = SuspensionRequest(
            "rerun",
            seconds=None if delay is None else milliseconds(delay, what="delay").total_seconds(),
            then="rerun",
            context=as_json("context", context),
            max_retries=max_retries,
        )
        if run.number > max_retries:
            run.notes.append(f"run {run.number} was the last that max_retries={max_retries} allows: rerun ignored")
            return run.links()
        return _ask(run, Asked("rerun", request))

    @check_keywords("flow.delay")
    def delay(self, ms: float | timedelta | str) -> IssuedLinks:
        """Go on with the next cell after a while; a plain number is milliseconds."""
        return _ask(*_wait("delay", milliseconds(ms, what="ms")))

    @check_keywords("flow.sleep")
    def sleep(self, span: timedelta | str) -> IssuedLinks:
        """Go on with the next cell after a while, said with its unit: `"90s"` or a `timedelta`."""
        return _ask(*_wait("sleep", duration(span, what="span")))

    @check_keywords("flow.sleep_until")
    def sleep_until(self, when: datetime) -> IssuedLinks:
        """Go on with the next cell at a time, which must have a time zone; in the past means at once."""
        if not isinstance(when, datetime):
            raise InvalidValue("when", when, "must be a datetime")
        if when.tzinfo is None or when.utcoffset() is None:
            raise InvalidValue("when", when, "has no time zone: write when.astimezone() for this machine's")
        if when - datetime.now(UTC) > LONGEST:
            raise InvalidDuration("when", when, "must be within a year")
        return _ask(*_wait("sleep_until", None, until=when))

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
        """Wait here, with the kernel alive, until somebody resumes or cancels.

        Args:
            timeout: How long, with its unit: `"10m"` or a `timedelta`. None: no deadline.
            data: As in `suspend`; so are the others.
            schema: What an answer must be.
            title: A few words.
            message: Sentences, in Markdown.
            approvals: How many must approve.
            approvers: The only ones who may answer.
            self_approval: Whether who started it may approve.
            labels: Words on the buttons.

        Returns:
            What the answer brought: an instance with `schema`, otherwise the body, or the query where there is none.

        Raises:
            PauseTimeout: If nobody answered in time.
            Cancelled: If somebody cancelled. Not caught, it cancels the execution.
            NotInStep, InvalidDuration, InvalidValue, NotJSON: Naming the argument.
        """
        run = _running("flow.pause()")
        assert _session is not None
        check_text("title", title)
        check_text("message", message)
        form = None if schema is None else form_of(schema)
        request = SuspensionRequest(
            "pause",
            seconds=None if timeout is None else duration(timeout).total_seconds(),
            on_timeout="fail",
            data=as_json("data", data),
            title=title,
            message=message,
            schema=None if form is None else form.json_schema,
            approvals=checked_count("approvals", approvals),
            approvers=checked_names("approvers", approvers, approvals),
            self_approval=checked_flag("self_approval", self_approval),
            labels=check_labels(labels, has_schema=form is not None),
        )
        return _session.pause(run, request, form)

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
        """Run another notebook when this step ends, and go on with the next cell when it has ended.

        Several in one step run beside each other. Each is an execution of its own, which may pause.

        Args:
            notebook: Its path, relative to the working directory, or a URL that papermill reads.
            parameters: JSON values for its `parameters` cell.
            name: Under which `steps.NAME` shows what it published; the default is the notebook's own name.
            linked: Whether it is cancelled and suspended together with this one.
            check: Whether this step fails if that one fails or is cancelled.

        Returns:
            The name.

        Raises:
            NotInStep: Outside a step.
            NotebookNotFound: If there is none at this path.
            InvalidValue, NotJSON: Naming the argument.
        """
        run = _running("flow.run_notebook()")
        given, asked = with_child(
            run,
            notebook,
            parameters,
            name,
            linked=checked_flag("linked", linked),
            check=checked_flag("check", check),
        )
        if run.asked is not None and run.asked.request.kind == "notebook":
            run.asked = asked
        else:
            _ask(run, asked)
        return given

    @check_keywords("flow.exit")
    def exit(self, reason: str | None = None) -> None:
        """End the workflow as completed when this step ends. The rest of the step still runs."""
        run = _running("flow.exit()")
        check_text("reason", reason)
        run.exited, run.exit_reason = True, reason

    @check_keywords("flow.export")
    def export(self, name: str, value: JSON) -> None:
        """Publish a JSON value as `steps.NAME[name]`.

        Raises:
            NotJSON: Naming the key and the type of what is not JSON.
        """
        run = _running("flow.export()")
        if not isinstance(name, str) or not name or name.startswith("$"):
            raise InvalidValue("name", name, "must be a text that is not empty and does not begin with $")
        run.exports[name] = as_json(f"export {name!r}", value)

    @property
    def context(self) -> Record:
        """What this step is told about itself and this run."""
        run = _running("flow.context")
        assert _session is not None
        return _session.context(run)

    @property
    def data(self) -> Any:
        """In a rerun that a request caused, what the request brought; otherwise None."""
        run = _running("flow.data")
        assert _session is not None
        if run.wake is not None and run.step in _session.answers:
            return _session.answers[run.step]
        return data_for(run)

    @property
    def inputs(self) -> Record:
        """The notebook's parameters."""
        return _session.inputs if _session is not None else Record()

    @property
    def send(self) -> Sender:
        """`flow.send.email(…)`."""
        return Sender(session_and_run)

    @check_keywords("flow.notify")
    def notify(
        self, message: str | None = None, to: str | Iterable[str] | None = None, *, title: str | None = None
    ) -> None:
        """Send a message through apprise; after `flow.suspend` or the like it carries the link to the approval page.

        Args:
            message: The text. None: the `message` of what the step asked for.
            to: Names in the setting `notify`, or URLs of apprise. None: everybody in that setting.
            title: A few words. None: the `title` of what the step asked for.

        Raises:
            NotInStep: Outside a step.
            NotDelivered: If it could not be sent.
            InvalidValue: If the title holds a link.
        """
        session, run = session_and_run("flow.notify()")
        send(session, run, notification(run, message, to, title))

    def __getattr__(self, name: str) -> Any:
        # Pipedream's own page calls `rerun` so once.
        hint = (
            ": did you mean 'rerun'?" if name == "retry" else did_you_mean(name, [n for n in dir(Flow) if n[0] != "_"])
        )
        raise AttributeError(f"flow has no {name!r}{hint}")

    def __repr__(self) -> str:
        return "<flow of pauseflow_nb>"

    def __reduce__(self) -> str:
        return "flow"


class Steps(Mapping[str, StepExports]):
    """The exports of the steps that have run: `steps.NAME`, `steps["NAME"]`."""

    def __getitem__(self, name: str) -> StepExports:
        try:
            return StepExports(name, _exports()[name], _answers())
        except KeyError:
            raise KeyError(f"step {name!r} has not run") from None

    def __getattr__(self, name: str) -> StepExports:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return StepExports(name, _exports()[name], _answers())
        except KeyError:
            known = ", ".join(_exports()) or "none"
            raise AttributeError(f"step {name!r} has not run; those that have: {known}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(_exports())

    def __len__(self) -> int:
        return len(_exports())

    def __repr__(self) -> str:
        return f"<steps that have run: {', '.join(self) or 'none'}>"

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]

    def __reduce__(self) -> str:
        return "steps"

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)


flow = Flow()
steps = Steps()


def _running(call: str) -> StepRun:
    if _session is None or _session.run is None:
        raise calmly(NotInStep(call))
    return _session.run


def session_and_run(call: str) -> "tuple[Session, StepRun]":
    """The session and the step that is running.

    Raises:
        NotInStep: If none is; `call` says what needs one.
    """
    run = _running(call)
    assert _session is not None
    return _session, run


def _exports() -> Mapping[str, Mapping[str, JSON]]:
    return {} if _session is None else _session.exports


def _answers() -> Mapping[str, Any]:
    return {} if _session is None else _session.answers


def _wait(call: str, span: timedelta | None, *, until: datetime | None = None) -> tuple[StepRun, Asked]:
    run = _running(f"flow.{call}()")
    seconds = None if span is None else span.total_seconds()
    return run, Asked(call, SuspensionRequest("delay", seconds=seconds), until)


def _ask(run: StepRun, asked: Asked) -> IssuedLinks:
    links = run.links()
    if run.asked is not None:
        sentence = f"step {run.step!r} asked to pause twice: flow.{asked.call}() replaces flow.{run.asked.call}()"
        # Of the user's line: below are this function, the method, and what checks its arguments.
        warnings.warn(sentence, stacklevel=4)
        run.notes.append(sentence)
    run.asked = asked
    if asked.request.data is not None:
        run.exports[SUSPEND_DATA] = asked.request.data
    else:
        run.exports.pop(SUSPEND_DATA, None)
    return links
