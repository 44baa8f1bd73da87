"""Read executions, links, keys and processes from an open store."""

import socket
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

import sqlalchemy as sa

from pauseflow_nb.actions import ACTIONS, USUAL_ACTIONS, button_labels
from pauseflow_nb.decisions.statement import summarize
from pauseflow_nb.engine.authorization import find_not_allowed, list_refusals
from pauseflow_nb.engine.children import list_open_below, list_unended_below
from pauseflow_nb.engine.decision_records import count_unwritten
from pauseflow_nb.engine.open_store import OpenStore
from pauseflow_nb.errors import StoreDamaged, UnknownExecution
from pauseflow_nb.identity import LINK
from pauseflow_nb.json_values import JSON
from pauseflow_nb.links import Claim
from pauseflow_nb.protocol import SnapshotRef
from pauseflow_nb.queues import DEFAULT_QUEUE
from pauseflow_nb.store import audit, decisions, executions, keys, segments, steps, suspensions, workers
from pauseflow_nb.store.counts import Counts, count, count_queued
from pauseflow_nb.store.database import format_time, reading
from pauseflow_nb.store.executions import FINAL, Row
from pauseflow_nb.store.listing import find_beginning, find_ids
from pauseflow_nb.store.triggers import name_starts
from pauseflow_nb.store.views import (
    allowed_actions,
    format_data,
    list_losses,
    make_views,
    view_approvals,
    view_labels,
)

if TYPE_CHECKING:
    from pauseflow_nb.kernel.snapshot import VariableReport

#: States of an execution that waits for an answer or the clock.
_WAITING = frozenset({"suspended", "waiting", "paused"})
#: Columns of a suspension that a page shows unchanged.
_QUESTION = (
    "cell",
    "kind",
    "title",
    "message",
    "data",
    "default",
    "schema",
    "errors",
    "on_timeout",
    "action",
    "settled_by",
)

# Below, `list` is a method.
Views: TypeAlias = list[dict[str, Any]]


class Reader(OpenStore):
    """Reads from an open store; a `Queue` can change it, too."""

    # Executions

    def find_beginning(self, beginning: str, limit: int) -> "list[str]":
        """Find the executions whose ids begin with a text, newest first."""
        with reading(self.engine) as connection:
            return find_beginning(connection, beginning, limit)

    def state(self, execution: str) -> str:
        """Read the state of an execution.

        Raises:
            UnknownExecution: If there is none.
        """
        with reading(self.engine) as connection:
            return str(self._row(connection, execution).state)

    def view(
        self, execution: str, *, with_links: bool = True, history: bool = False, envelopes: bool = False
    ) -> dict[str, Any]:
        """Show an execution with its decision records, `decisions`.

        Args:
            execution: Its id.
            with_links: Whether the viewer may see links.
            history: Whether to add every run of every step and every suspension.
            envelopes: Whether to add the signed envelope to each record.

        Raises:
            UnknownExecution: If there is none.
        """
        links = self.link_maker() if with_links else None
        with reading(self.engine) as connection:
            found = make_views(connection, [execution], links=links, history=history)
            if not found:
                raise UnknownExecution(execution)
            found[0]["decisions"] = _show_records(connection, execution, envelopes=envelopes)
        return found[0]

    def only_waits(self, execution: str) -> bool:
        """Whether it and all executions nested in it only wait for answers or the clock.

        Raises:
            UnknownExecution: If there is none.
        """
        with reading(self.engine) as connection:
            states = {self._row(connection, execution).state}
            states |= {row.state for row in list_unended_below(connection, execution)}
            # If none is open, all the notebooks that it waits for have ended.
            return states <= _WAITING and bool(list_open_below(connection, execution))

    def variables(self, execution: str) -> "tuple[VariableReport, ...]":
        """List the variables in the last checkpoint, largest first, without loading them.

        Raises:
            UnknownExecution: If there is none.
            SnapshotDamaged: If the checkpoint is missing or not what was written.
        """
        from pauseflow_nb.kernel.snapshot import describe_saved  # lazily: it loads cloudpickle

        with reading(self.engine) as connection:
            row = self._row(connection, execution)
            last = segments.find(connection, execution, segments.next_number(connection, execution) - 1)
        if last is None or last.snapshot is None:
            return ()
        reports = describe_saved(self.files.folder(execution), SnapshotRef(last.snapshot, last.digest))
        kernel_only = {each["name"] for each in last.bound or ()} if row.state not in FINAL else set()
        return tuple(
            replace(each, fate="kept with its kernel") if each.name in kernel_only else each for each in reports
        )

    def decisions(self, execution: str) -> list[dict[str, JSON]]:
        """Read the signed records of an execution, oldest first: DSSE envelopes.

        Raises:
            UnknownExecution: If there is none.
        """
        with reading(self.engine) as connection:
            executions.require(connection, execution)
            return decisions.list_all(connection, execution)

    def count_unwritten_decisions(self, execution: str) -> int:
        """Count the newest signed records that no worker has written into the notebook yet.

        Raises:
            UnknownExecution: If there is none.
        """
        with reading(self.engine) as connection:
            return count_unwritten(connection, self._row(connection, execution))

    def list(
        self,
        *,
        states: Iterable[str] | None = None,
        text: str | None = None,
        after: str | None = None,
        limit: int = 50,
        offset: int = 0,
        with_links: bool = False,
    ) -> Views:
        """List executions, newest first.

        Args:
            states: List only executions in these states.
            text: List only executions whose notebook, output or id contains this text. A text of one or two characters is
                searched for in the newest 10,000 executions only.
            after: List only executions after this one: the last one of the previous page.
            limit: Most executions to list.
            offset: Number of executions to skip.
            with_links: Whether the viewer may see links.

        Raises:
            UnknownExecution: If `after` does not exist.
        """
        links = self.link_maker() if with_links else None
        with reading(self.engine) as connection:
            found = find_ids(connection, states=states, text=text, after=after, limit=limit, offset=offset)
            return make_views(connection, found, links=links)

    def audit(self, execution: str) -> Views:
        """Read the audit trail of an execution, oldest first.

        Raises:
            UnknownExecution: If there is none.
        """
        with reading(self.engine) as connection:
            self._row(connection, execution)
            return [{**line, "at": format_time(line["at"])} for line in audit.read_trail(connection, execution)]

    def document(self, execution: str) -> bytes:
        """Read the executed notebook from the store.

        Raises:
            UnknownExecution: If there is none.
            NotebookGone: If the file was removed.
        """
        for is_last in (False, True):
            with reading(self.engine) as connection:
                row = self._row(connection, execution)
            try:
                return self.files.read(row.document)
            except FileNotFoundError:
                # A newer one may have replaced it since its name was read.
                if is_last:
                    raise self.explain_missing_notebook(row) from None
        raise AssertionError

    def claim_page(self, claim: Claim, by: str = LINK) -> dict[str, Any] | None:
        """Collect what the approval page shows to a person; None if there is no such execution.

        Its `suspension` is `open`, `settled`, `void`, or `running` while the step has not ended; `kept` lists the
        answers that wait for its end. `refusals` names the actions that this person may not take, and why.
        """
        with reading(self.engine) as connection:
            row = executions.find(connection, claim.execution)
            segment = segments.find(connection, claim.execution, claim.segment)
            if row is None or segment is None:
                return None
            trigger = name_starts(connection, [row.id]).get(row.id)
            losses = list_losses(segments.list_all(connection, claim.execution))
            found = suspensions.find(connection, claim)
            ended = steps.has_ended(connection, claim.execution, claim.segment, claim.step)
            waiting = suspensions.list_early(connection, claim.execution, claim.segment) if found is None else []
            comment = None if found is None else _find_comment(connection, found, row)
        early_ones = [each for each in waiting if (each.step, each.ordinal) == (claim.step, claim.ordinal)]
        early = segment.state != "ended" and not ended
        return {
            "execution": row.id,
            "notebook": row.notebook,
            "state": row.state,
            "reason": row.reason,
            "ended_at": format_time(row.ended_at),
            "step": claim.step,
            "suspension": found.state if found is not None else "running" if early else "void",
            **{name: getattr(found, name, None) for name in _QUESTION},
            "data_as_text": format_data(getattr(found, "data", None)),
            "shown": None if found is None or found.shown is None else found.shown["digest"],
            "allow": list(USUAL_ACTIONS) if found is None else allowed_actions(found.rules),
            "not_allowed": None if found is None else find_not_allowed(found, claim.action),
            "labels": button_labels(None, has_schema=False, allow=ACTIONS) if found is None else view_labels(found),
            "then": "continue" if found is None else found.then,
            "created_by": executions.find_starter(row),
            "trigger": trigger,
            "created_at": format_time(row.created_at),
            "parameters": row.parameters,
            "drift": [] if found is None else (found.shown or {}).get("drift") or [],
            "approvals": None if found is None else view_approvals(found.rules, found.given),
            "refusals": {} if found is None else list_refusals(found, executions.find_starter(row), by),
            "kept": [{"action": each.action, "by": each.by, "at": format_time(each.at)} for each in early_ones],
            "since": format_time(getattr(found, "since", None)),
            "deadline": format_time(getattr(found, "deadline", None)),
            "kernel_bound": [each["name"] for each in segment.bound or []]
            if found is not None and found.state == "open"
            else [],
            "losses": [loss["text"] for loss in losses],
            "settled_at": format_time(getattr(found, "settled_at", None)),
            "comment": comment,
        }

    # Links and keys

    def read_link(self, token: str, action: str) -> Claim:
        """Verify the token of a link.

        Raises:
            UnknownLink: If this store did not sign it for this action.
            LinkWithdrawn: If it was revoked, or its key withdrawn.
        """
        with reading(self.engine) as connection:
            claim = keys.read_signer(connection).read(token, action)
            keys.require_valid(connection, claim)
        return claim

    def list_keys(self) -> Views:
        """Describe the keys, oldest first, without secrets."""
        with reading(self.engine) as connection:
            found = keys.list_keys(connection)
        return [
            {
                "id": key.number,
                "state": key.state,
                "fingerprint": key.fingerprint,
                "created_at": format_time(key.created_at),
                "created_by": key.created_by,
                "withdrawn_at": format_time(key.withdrawn_at),
                "withdrawn_by": key.withdrawn_by,
            }
            for key in found
        ]

    def public_key(self, number: int) -> str:
        """Export the public half of a key as PEM.

        Raises:
            UnknownKey: If there is no key with this number.
        """
        with reading(self.engine) as connection:
            return keys.export_public_pem(connection, number)

    def read_schema(self, claim: Claim) -> dict[str, JSON] | None:
        """Read the schema for answers to a link; None if any answer fits, or it is not known yet."""
        with reading(self.engine) as connection:
            found = suspensions.find(connection, claim)
        return None if found is None else found.schema

    def count(self) -> Counts:
        """Count executions, late work and processes."""
        with reading(self.engine) as connection:
            return count(connection)

    # Addresses and processes

    def has_live_worker(self, pid: int | None = None, *, queue: str | None = None) -> bool:
        """Whether a live worker would run queued segments.

        Args:
            pid: Only the worker with this process id on this machine.
            queue: Only workers that serve this queue; None: any worker.
        """
        with reading(self.engine) as connection:
            found = workers.list_alive(connection, "worker")
        return any(
            (pid is None or workers.was_made_by(row.id, pid)) and (queue is None or queue in workers.list_queues(row))
            for row in found
        )

    def list_processes(self) -> Sequence[workers.ProcessFacts]:
        """List the live processes of this store, newest first."""
        with reading(self.engine) as connection:
            return workers.list_processes(connection)

    def count_queued(self) -> dict[str, int]:
        """Count the executions that wait for a worker, by queue."""
        with reading(self.engine) as connection:
            return count_queued(connection)

    def has_starting_worker(self) -> bool:
        """Whether a worker is starting that does not take jobs yet."""
        with reading(self.engine) as connection:
            return bool(workers.list_alive(connection, "starting"))

    def has_runner(self, execution: str) -> bool:
        """Whether a live worker, or the process that the execution is attached to, would run it."""
        with reading(self.engine) as connection:
            attached = self._row(connection, execution).attached_to
            if attached is not None:
                runners = workers.list_alive(connection, "attached", "worker", "starting")
                return any(row.id == attached for row in runners)
            return bool(workers.list_serving(connection, self._find_queue(connection, execution)))

    def find_queue(self, execution: str) -> str:
        """Find the queue in which an execution runs or will continue."""
        with reading(self.engine) as connection:
            return self._find_queue(connection, execution)

    def _find_queue(self, connection: sa.Connection, execution: str) -> str:
        row = self._row(connection, execution)
        return executions.find_queues(connection, [(execution, row.segment)]).get(
            (execution, row.segment), DEFAULT_QUEUE
        )

    def find_listener(self, port: int) -> tuple[str, str] | tuple[()]:
        """Find the process of this store that listens on a port of this machine.

        Returns:
            `"run"` or `"server"`, and the process id; empty if it is no process of this store.
        """
        machine = f"{socket.gethostname()}:"
        with reading(self.engine) as connection:
            found = [
                row.id.split(":")[1]
                for row in workers.list_alive(connection, "server")
                if row.url and row.id.startswith(machine) and urlsplit(row.url).port == port
            ]
            attached = {row.id.split(":")[1] for row in workers.list_alive(connection, "attached")}
        return ("run" if found[0] in attached else "server", found[0]) if found else ()

    def _row(self, connection: sa.Connection, execution: str) -> Row:
        """Read the columns for the state of an execution, so that damaged values in other columns do not matter."""
        row = executions.find_plain(connection, execution)
        if row is None:
            raise UnknownExecution(execution)
        return row


def _find_comment(connection: sa.Connection, suspension: Row, execution: Row) -> str | None:
    """Find the comment in the answer that settled a suspension."""
    if suspension.action == "send_back":
        woken = segments.find(connection, execution.id, suspension.segment + 1)
        approvals = (woken.wake or {}).get("approvals") if woken is not None else None
        return approvals[-1]["comment"] if approvals else None
    if suspension.action == "resume" and suspension.given:
        return suspension.given[-1]["comment"]  # type: ignore[no-any-return]
    is_reason = suspension.action == "cancel" and execution.state == "cancelled" and execution.reason
    return execution.reason["text"] if is_reason else None


def _show_records(connection: sa.Connection, execution: str, *, envelopes: bool) -> Views:
    try:
        found = [summarize(each.signed) for each in decisions.list_brief(connection, execution)]
        if envelopes:
            whole = decisions.list_all(connection, execution)
            found = [{**each, "envelope": envelope} for each, envelope in zip(found, whole, strict=True)]
    except (StoreDamaged, ValueError, TypeError) as problem:
        # The rest of the execution can still be shown.
        return [{"problem": f"the decision records cannot be read ({problem})"}]
    return found
