"""What must be true after a chaos run, whatever went wrong in it."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat
import sqlalchemy as sa
from chaos import witness
from chaos.clients import Answer
from chaos.notebooks import KINDS, Kind
from chaos.witness import Change, Line
from chaos.world import World

from pauseflow_nb.cli.verify_command import _parse
from pauseflow_nb.decisions.verification import verify
from pauseflow_nb.links import Claim
from pauseflow_nb.store import decisions
from pauseflow_nb.store.database import reading
from pauseflow_nb.store.executions import FINAL
from pauseflow_nb.store.tables import callbacks, executions, starts, steps, suspensions

__all__ = ["Found", "Hook", "find_violations"]

_ENDED_STEP = {"finished", "suspended", "exited"}


@dataclass
class Hook:
    """The URL of a trigger, and the calls: key, status, reply."""

    url: str
    next_at: float = 0.5
    calls: list[tuple[str, int | None, Any]] = field(default_factory=list)


@dataclass
class Found:
    """What was looked at, and what is wrong."""

    executions: int
    violations: list[str]
    #: Attempts at segments that were followed by another.
    interrupted: int


class _Store:
    """All rows, as they are at the end."""

    def __init__(self, world: World) -> None:
        with reading(world.queue.engine) as connection:

            def rows(table: sa.Table) -> list[Any]:
                return list(connection.execute(sa.select(table)))

            self.executions = {row.id: row for row in rows(executions)}
            self.suspensions = {(row.execution, row.segment, row.step, row.ordinal): row for row in rows(suspensions)}
            self.steps = {(row.execution, row.step, row.run): row for row in rows(steps)}
            self.callbacks = sorted(rows(callbacks), key=lambda row: row.id)
            self.starts = rows(starts)
            self.decisions = {id_: decisions.list_all(connection, id_) for id_ in self.executions}
        self.signer = world.queue.signer
        self.world = world

    def kind(self, execution: str) -> Kind:
        return KINDS[Path(self.executions[execution].notebook).stem.rpartition("-")[2]]

    def name(self, execution: str) -> str:
        return f"{execution} ({Path(self.executions[execution].notebook).stem})"


def find_violations(world: World, answers: list[Answer], hook: Hook | None) -> Found:
    """Compare what is stored, what was seen, what clients were told, and what the notebooks must come to."""
    store = _Store(world)
    changes, lines = witness.read_changes(world.queue.engine), witness.read_lines(world.log)
    violations = [
        *_decisions(store, changes),
        *_step_changes(store, changes),
        *_ends(store, changes),
        *_runs(store, lines),
        *_answers(store, answers),
        *_early(store),
        *_hook(store, hook),
        *_results(store),
        *_outputs(store),
    ]
    claims = Counter(change.key for change in changes if change.table == "segments" and change.after == "running")
    return Found(len(store.executions), violations, sum(claims.values()) - len(claims))


def _decisions(store: _Store, changes: list[Change]) -> Iterator[str]:
    """Each suspension is settled once, and opened once."""
    settled = Counter(change.key for change in changes if change.table == "suspensions" and change.after == "settled")
    for change in changes:
        if change.table == "suspensions" and change.before in ("settled", "void"):
            yield f"suspension {change.key} was {change.before}, and became {change.after}"
    for key, times in settled.items():
        if times > 1:
            yield f"suspension {key} was settled {times} times"
    for key, row in store.suspensions.items():
        if row.state == "open" and store.executions[row.execution].state in FINAL:
            yield f"suspension {key} is open, and its execution is {store.executions[row.execution].state}"


def _step_changes(store: _Store, changes: list[Change]) -> Iterator[str]:
    """A run of a step that has ended begins no more; that its execution fails by a child is no run."""
    for change in changes:
        if change.table == "steps" and change.before in _ENDED_STEP and change.after not in ("failed", "finished"):
            yield f"the run {change.key} was {change.before}, and became {change.after}"


def _ends(store: _Store, changes: list[Change]) -> Iterator[str]:
    """An execution that has ended stays as it is, but one that failed may be retried."""
    for change in changes:
        has_changed = change.table == "executions" and change.before in FINAL and change.after != change.before
        if has_changed and (change.before, change.after) != ("failed", "queued"):
            yield f"{store.name(change.key[0])} was {change.before}, and became {change.after}"
    for id_, row in store.executions.items():
        if row.state in FINAL and row.state not in store.kind(id_).ends:
            yield f"{store.name(id_)} has {row.state}: {row.reason}, {row.error}"


def _runs(store: _Store, lines: list[Line]) -> Iterator[str]:
    """Each attempt ran once; the store knows of each; what finished has really run to its end."""
    begun = Counter((line.execution, line.step, line.run, line.attempt) for line in lines if line.what == "begin")
    ended = {(line.execution, line.step, line.run) for line in lines if line.what == "end"}
    for attempt, times in begun.items():
        row = store.steps.get(attempt[:3])
        if times > 1:
            yield f"attempt {attempt} ran {times} times"
        if row is None:
            yield f"attempt {attempt} ran, and the store does not know that run"
        elif attempt[3] > row.attempts:
            yield f"attempt {attempt} ran, and the store knows of {row.attempts} attempts"
    for key, row in store.steps.items():
        if row.state in _ENDED_STEP and key not in ended:
            yield f"the run {key} is {row.state}, but never came to its end"


def _answers(store: _Store, answers: list[Answer]) -> Iterator[str]:
    """What clients were told is true."""
    winners: Counter[tuple[Any, ...]] = Counter()
    for answer in answers:
        if answer.status in (404, 500):
            yield f"{answer.action} {answer.nonce} got {answer.status}: {answer.reply}"
        if answer.status is None or not 200 <= answer.status < 300 or "/api/" in answer.url:
            continue
        claim = store.signer.read(urlsplit(answer.url).path.rpartition("/")[2], answer.action)
        key = (claim.execution, claim.segment, claim.step, claim.ordinal)
        row = store.suspensions.get(key)
        # One of several approvals that was sent again has settled nothing either.
        if answer.status == 202 or answer.reply.get("state") == "suspended":
            if not _is_kept(store, claim, answer, row):
                yield f"{answer.action} {answer.nonce} got {answer.status}, and is forgotten: {answer.reply}"
        elif row is None or row.state != "settled" or row.action != answer.action:
            is_timed_out = row is not None and row.action == "timeout"
            was = None if row is None else (row.state, row.action, is_timed_out)
            yield f"{answer.action} {answer.nonce} to {key} got 200, but the suspension is {was}"
        elif not answer.reply.get("already"):
            winners[key] += 1
            if answer.action == "resume" and _nonce(store, row) != answer.nonce:
                yield f"resume {answer.nonce} to {key} got 200, but the notebook heard {_nonce(store, row)}"
            if answer.action == "cancel" and store.executions[claim.execution].state != "cancelled":
                yield f"cancel {answer.nonce} got 200, but {store.name(claim.execution)} is not cancelled"
    for key, times in winners.items():
        if times > 1:
            yield f"{times} clients were told that they settled {key}"
    # What was refused has no effect.
    refused = {answer.nonce for answer in answers if answer.status is not None and 400 <= answer.status < 500}
    for key, row in store.suspensions.items():
        if row.action == "resume" and row.settled_by != "notebooks" and (heard := _nonce(store, row)) in refused:
            yield f"{key} was settled by {heard}, whose sender was refused"


def _nonce(store: _Store, row: Any) -> Any:
    """Tell the answers of clients from each other: the nonce of the one that settled a suspension."""
    heard = _heard(store, row)
    return heard[0] if isinstance(heard, list) else heard


def _heard(store: _Store, row: Any) -> Any:
    """What the notebook heard as the answer to a suspension."""
    envelope = row.envelope
    if row.kind != "pause":
        run = store.steps[(row.execution, row.step, row.run)]
        envelope = run.exports.get("$resume_data")
    return _sent(envelope)


def _is_kept(store: _Store, claim: Claim, answer: Answer, row: Any) -> bool:
    """Whether an answer that came early, or was one of several approvals, is still known."""
    if row is not None and (row.given or []):
        return True
    if store.executions[claim.execution].state == "cancelled":
        return True
    place = (claim.execution, claim.segment, claim.step, claim.ordinal)
    return any(
        (found.execution, found.segment, found.step, found.ordinal, found.action) == (*place, answer.action)
        and _sent(found.envelope) in (None, answer.nonce, [answer.nonce])
        for found in store.callbacks
    )


def _sent(envelope: Any) -> Any:
    """What the body of an answer says; None: a cancel keeps none."""
    body = (envelope or {}).get("body")
    return body.get("nonce") if isinstance(body, dict) else body


def _early(store: _Store) -> Iterator[str]:
    """What came before its step had ended is judged in the order of arrival: the first that may settles it."""
    first: set[tuple[Any, ...]] = set()
    for row in store.callbacks:
        key = (row.execution, row.segment, row.step, row.ordinal)
        if row.verdict is None:
            yield f"the early {row.action} to {key} was never judged"
            continue
        if row.verdict == "refused" or key in first:
            continue
        first.add(key)
        suspension = store.suspensions.get(key)
        if suspension is not None and row.verdict not in ("settled", "approved"):
            yield f"the first early {row.action} to {key} is {row.verdict}, and {suspension.action} settled it"


def _hook(store: _Store, hook: Hook | None) -> Iterator[str]:
    """One key starts one execution, and who got 202 was told which."""
    responses: dict[str, set[str]] = defaultdict(set)
    for key, status, reply in hook.calls if hook is not None else []:
        if status == 202:
            responses[key].add(reply["id"])
        elif status not in (None, 503, 507):
            yield f"the URL of the trigger answered {status}: {reply}"
    for key, ids in responses.items():
        if len(ids) > 1:
            yield f"the key {key} started {len(ids)} executions"
        for id_ in ids:
            if id_ not in store.executions:
                yield f"the key {key} got 202 for {id_}, which is not there"
    times = Counter((row.trigger, row.key) for row in store.starts)
    for (trigger, key), count in times.items():
        if key is not None and count > 1:
            yield f"{key} started {count} executions of trigger {trigger}"


def _results(store: _Store) -> Iterator[str]:
    """Variables and exports are those of a run without faults."""
    for id_, row in store.executions.items():
        if row.state != "completed":
            continue
        kind = store.kind(id_)
        ran = [key[1:] for key in store.steps if key[0] == id_]
        if row.reason is None or row.reason.get("kind") != "exit":
            missing = set(kind.trail) - {f"{step}/{run}" for step, run in ran}
            if missing:
                yield f"{store.name(id_)} has completed without {sorted(missing)}"
        last = kind.trail[-1].partition("/")[0]
        result = store.steps[(id_, last, 1)].exports.get("$return_value")
        wanted = {"trail": list(kind.trail), "heard": [_answer_of(store, id_, step, kind) for step in kind.heard]}
        if result != wanted:
            yield f"{store.name(id_)} came to {result} instead of {wanted}"


def _answer_of(store: _Store, execution: str, step: str, kind: Kind) -> Any:
    # A retry asks again: the last answer counts.
    rows = [row for key, row in store.suspensions.items() if key[0] == execution and key[2] == step]
    row = max((row for row in rows if row.state == "settled"), key=lambda row: row.segment)
    return kind.defaults[step] if row.action == "timeout" else _heard(store, row)


def _outputs(store: _Store) -> Iterator[str]:
    """Stored notebook and output are whole and the same, and the decisions in them can be verified."""
    queue = store.world.queue
    keys = _parse("".join(queue.public_key(key["id"]) for key in queue.list_keys()))
    for id_, row in store.executions.items():
        documents = {"the stored notebook": queue.document(id_)}
        if row.output is not None:
            output = Path(row.output)
            if not output.exists():
                yield f"{store.name(id_)} has no output"
                continue
            documents["the output"] = output.read_bytes()
        for what, data in documents.items():
            yield from (f"{store.name(id_)}: {what} {problem}" for problem in _notebook(store, row, data, keys))


def _notebook(store: _Store, row: Any, data: bytes, keys: Any) -> Iterator[str]:
    try:
        notebook = nbformat.reads(data.decode(), as_version=4)
        nbformat.validate(notebook)
    except Exception as problem:  # noqa: BLE001
        yield f"is no notebook: {problem}"
        return
    states = [cell.metadata.get("papermill", {}).get("status") for cell in notebook.cells if cell.cell_type == "code"]
    is_exit = row.reason is not None and row.reason.get("kind") == "exit"
    if row.state == "completed" and not is_exit and set(states) - {"completed"}:
        yield f"is not complete: {states}"
    if "running" in states or "pending" in states:
        yield f"says that a cell is under way: {states}"
    recorded = store.decisions[row.id]
    if recorded and row.state in FINAL:
        found = verify(json.loads(data), keys, recorded=recorded)
        if not found.is_valid:
            yield f"cannot be verified: {found.problems}"
