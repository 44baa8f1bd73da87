"""Decide who may answer a suspension and which answers are valid, for every way to answer.

Links, the approval page, buttons, commands and the REST API all send a `Callback`, and show the verdict to their
user. The verdict is made before the transaction that settles: the question of a suspension never changes, and a
check may take long.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pauseflow_nb.actions import USUAL_ACTIONS
from pauseflow_nb.engine.open_store import OpenStore
from pauseflow_nb.errors import CannotCheck, CheckersBusy
from pauseflow_nb.forms.check_process import Checker
from pauseflow_nb.forms.codec import Reading
from pauseflow_nb.forms.lax import extract_answer_for
from pauseflow_nb.forms.schema import join_errors
from pauseflow_nb.identity import LINK, list_people, name_of
from pauseflow_nb.json_values import JSON
from pauseflow_nb.links import Claim
from pauseflow_nb.protocol import SuspensionRequest, extract_answer
from pauseflow_nb.store import executions, suspensions
from pauseflow_nb.store.database import reading
from pauseflow_nb.store.executions import Row
from pauseflow_nb.store.views import allowed_actions, has_rules, view_approvals

_LONGEST_COMMENT = 2000
_NOT_ALLOWED = {
    "resume": "this question cannot be approved: its author does not allow it",
    "send_back": "this question cannot be sent back: its author does not allow it",
    "cancel": "an answer cannot cancel: the author does not allow it; `pauseflow cancel` ends the execution",
}
_MOST_ERRORS_SAID = 3
_NO_TIME = "there was no time left to check the answer: send it again"


@dataclass(frozen=True)
class Callback:
    """A request to settle a suspension."""

    action: Literal["resume", "send_back", "cancel"]
    #: The request as `$resume_data` will show it; None if there was none.
    envelope: dict[str, JSON] | None
    #: `"link"` or `"user:NAME"`.
    by: str
    #: The answer as read from a form; None if it came as JSON.
    reading: Reading | None = None
    #: Digest of the question that the sender saw, which the page and the panel send; None for other requests.
    seen: str | None = None


@dataclass(frozen=True)
class Question:
    """The question of a suspension, which never changes, and the people who may answer it."""

    execution: str
    step: str
    kind: str
    schema: dict[str, JSON] | None
    rules: dict[str, JSON] | None
    #: Who started the execution.
    created_by: str

    @classmethod
    def of(cls, suspension: Row, created_by: str) -> "Question":
        """Return the question of a suspension."""
        return cls(
            suspension.execution, suspension.step, suspension.kind, suspension.schema, suspension.rules, created_by
        )

    @classmethod
    def of_request(cls, execution: str, step: str, request: SuspensionRequest, created_by: str) -> "Question":
        """Return the question of a suspension that does not exist yet."""
        return cls(execution, step, request.kind, request.schema, suspensions.collect_rules(request), created_by)


@dataclass(frozen=True)
class Refusal:
    """The reason why a callback settles nothing; the suspension stays open."""

    #: HTTP status of the response: 403, 405 or 422.
    status: int
    error: str
    #: Errors in the data, `{"path", "message"}` each.
    errors: list[dict[str, JSON]] = field(default_factory=list)


@dataclass(frozen=True)
class Verdict:
    """The result of judging a callback to a suspension."""

    #: None if the callback may settle the suspension.
    refusal: Refusal | None


class NotJudged(Exception):
    """There is no verdict on a callback that would settle a suspension in this transaction."""


def judge(question: Question, callback: Callback, checker: Checker, *, seconds: float | None = None) -> Verdict:
    """Judge a callback, outside of transactions, because it may take seconds.

    Args:
        question: The question that it answers.
        callback: The answer.
        checker: Checks the answer against the schema.
        seconds: Time left for the check; None: the usual limit.

    Raises:
        NoChecker: If no process that checks answers can be started, or all were busy too long.
    """
    return Verdict(_check_person_and_method(question, callback) or _check_answer(question, callback, checker, seconds))


def judge_callback(store: OpenStore, claim: Claim, callback: Callback) -> Verdict | None:
    """Judge a callback to a suspension; None if it is not open."""
    with reading(store.engine) as connection:
        suspension = suspensions.find(connection, claim)
        execution = executions.find(connection, claim.execution)
    if suspension is None or execution is None or suspension.state != "open":
        return None
    return judge(Question.of(suspension, executions.find_starter(execution)), callback, store.checker)


def judge_early(
    store: OpenStore, claim: Claim, request: SuspensionRequest, known: Mapping[int, Verdict], *, seconds: float
) -> dict[int, Verdict]:
    """Judge the callbacks that arrived before their step had ended.

    Args:
        store: The store.
        claim: The suspension that the step will make; the action in it does not matter.
        request: The step's request to wait.
        known: Verdicts of an earlier call.
        seconds: Time for all of them; callbacks that are not checked in that time are refused.

    Returns:
        The verdict on each callback by its id, `known` included.
    """
    deadline = time.monotonic() + seconds
    with reading(store.engine) as connection:
        execution = executions.require(connection, claim.execution)
        question = Question.of_request(claim.execution, claim.step, request, executions.find_starter(execution))
        early = suspensions.list_early(connection, claim.execution, claim.segment)
    verdicts = dict(known)
    for one in early:
        if (one.step, one.ordinal) != (claim.step, claim.ordinal) or one.id in verdicts:
            continue
        with reading(store.engine) as connection:
            callback = Callback(one.action, suspensions.read_envelope(connection, one), one.by)
        verdicts[one.id] = judge(question, callback, store.checker, seconds=deadline - time.monotonic())
        if verdicts[one.id].refusal is None and request.approvals == 1:
            # This one settles the suspension, and later ones come too late.
            break
    return verdicts


def _check_person_and_method(question: Question, callback: Callback) -> Refusal | None:
    if callback.action == "resume" and question.kind == "notebook":
        return Refusal(409, f"step '{question.step}' waits for its notebooks: answer those, or cancel it")
    approvals, allow = view_approvals(question.rules), allowed_actions(question.rules)
    who = find_refusal(approvals, question.created_by, callback.action, callback.by, allow)
    if who is not None:
        return Refusal(403, who)
    method = (callback.envelope or {}).get("method")
    if method == "GET" and (question.schema is not None or has_rules(question.rules)):
        # Opening a link must not answer a question that needs more than a click.
        return Refusal(405, "a GET cannot answer this question: send a POST")
    return None


def _check_answer(question: Question, callback: Callback, checker: Checker, seconds: float | None) -> Refusal | None:
    reading = callback.reading
    if callback.action == "cancel":
        return None
    if question.schema is None or callback.action == "send_back":
        # Sending back does not fill in the form, but text that should be JSON is still read.
        return _refuse_errors([] if reading is None else reading.problems)
    if seconds is not None and seconds <= 0:
        return Refusal(422, _NO_TIME)
    answer = extract_answer_for(question.schema, callback.envelope or {}) if reading is None else reading.value
    limit = {} if seconds is None else {"wall_seconds": seconds}
    try:
        errors = checker.find_errors(question.schema, answer, execution=question.execution, **limit)
    except CannotCheck as problem:
        return Refusal(422, str(problem))
    except CheckersBusy:
        if seconds is None:
            raise
        return Refusal(422, _NO_TIME)
    return _refuse_errors(errors if reading is None else reading.merge(errors))


def _refuse_errors(errors: list[dict[str, JSON]]) -> Refusal | None:
    if not errors:
        return None
    sentence = join_errors(errors[:_MOST_ERRORS_SAID])
    return Refusal(422, f"the answer does not fit what is asked for: {sentence}", errors)


def find_refusal(
    approvals: Mapping[str, Any], created_by: str, action: str, by: str, allow: Collection[str] = USUAL_ACTIONS
) -> str | None:
    """Return why a person may not take this action; None if they may.

    Args:
        approvals: What `store.views.view_approvals` shows.
        created_by: Who started the execution.
        action: The action: `"resume"`, `"send_back"` or `"cancel"`.
        by: Who answers: `"link"` or `"user:NAME"`.
        allow: The actions that the question allows.
    """
    if action not in allow:
        return _NOT_ALLOWED[action]
    approvers: list[str] | None = approvals["approvers"]
    if approvers is not None and name_of(by) not in approvers:
        names = ", ".join(approvers)
        return f"only {names} may answer, signed in" if by == LINK else f"{name_of(by)} may not answer, only {names}"
    if action == "resume" and not approvals["self_approval"]:
        if by == LINK:
            # The person who started the execution has also seen the links.
            return "the person who started this may not approve it, and a link does not identify you: sign in"
        if list_people(by) & list_people(created_by):
            return f"{name_of(by)} started this and may not approve it"
    return None


def list_refusals(suspension: Row, created_by: str, by: str) -> dict[str, str]:
    """Return action → why this person may not take it."""
    approvals = view_approvals(suspension.rules)
    allow = allowed_actions(suspension.rules)
    why = {action: find_refusal(approvals, created_by, action, by, allow) for action in allow}
    return {action: sentence for action, sentence in why.items() if sentence is not None}


def find_not_allowed(suspension: Row, action: str) -> str | None:
    """Return why the action of a link is refused; None if the author allows it, or if it only opens the page."""
    return None if action in allowed_actions(suspension.rules) else _NOT_ALLOWED.get(action)


def shorten_comment(envelope: Mapping[str, JSON]) -> str | None:
    """Return the comment in an answer, cut to the length that a record stores."""
    comment = find_comment(envelope)
    return None if comment is None else comment[:_LONGEST_COMMENT]


def find_comment(envelope: Mapping[str, JSON]) -> str | None:
    """Find the comment in an answer: sent beside it, the answer itself if it is text, or its field `comment`."""
    body = extract_answer(envelope)
    comment = envelope.get("comment") or (body.get("comment") if isinstance(body, dict) else body)
    return comment if isinstance(comment, str) and comment.strip() else None
