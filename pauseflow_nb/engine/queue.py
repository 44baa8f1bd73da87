"""Change a store on behalf of a user: start, answer, suspend and cancel executions, rotate keys, revoke links.

The effect of a method is durable when it returns.
"""

import functools
import secrets
from contextlib import suppress

import sqlalchemy as sa

from pauseflow_nb.engine.authorization import Callback, NotJudged, judge_callback
from pauseflow_nb.engine.batching import Batcher
from pauseflow_nb.engine.cancelling import cancel, cancel_children
from pauseflow_nb.engine.children import list_open_below, list_unended_below
from pauseflow_nb.engine.group_commit import (
    MOST_TOGETHER,
    Answer,
    NeedsOwnTransaction,
    settle_alone,
    settle_together,
)
from pauseflow_nb.engine.link_lookup import read_link_targets
from pauseflow_nb.engine.plan import Plan, add_execution
from pauseflow_nb.engine.reader import Reader
from pauseflow_nb.engine.settling import Response, make_envelope
from pauseflow_nb.engine.start_checks import (
    explain_conflict,
    require_allowance,
    require_free_output,
    require_room,
    resolve_output,
)
from pauseflow_nb.engine.stored_bodies import BodyRoom
from pauseflow_nb.errors import (
    AmbiguousSuspension,
    CannotSuspend,
    NotSuspended,
    OutputInUse,
    StorageFull,
)
from pauseflow_nb.forms.codec import Entries, read_answer
from pauseflow_nb.json_values import JSON, NOTHING, require_json
from pauseflow_nb.links import Claim
from pauseflow_nb.settings import Settings
from pauseflow_nb.store import audit, executions, keys, segments, suspensions, workers
from pauseflow_nb.store.database import reading
from pauseflow_nb.store.executions import Row
from pauseflow_nb.suggestions import order_by_likeness


class Queue(Reader):
    """The store, as server, commands and Python programs use it; thread-safe."""

    def __init__(self, settings: Settings, engine: sa.Engine, *, base_url: str | None = None) -> None:
        """Use `open`."""
        super().__init__(settings, engine, base_url=base_url)
        #: Writes large bodies of answers to the storage.
        self.bodies = BodyRoom(self.files, settings.quota, settings.max_body)
        #: Looks up links, with one read for all requests that arrive at the same time.
        self.link_lookups = Batcher(
            functools.partial(read_link_targets, self), name="pauseflow-links", most=MOST_TOGETHER
        )
        #: Settles answers that arrive at the same time in one transaction.
        self.settling = Batcher(functools.partial(settle_together, self), name="pauseflow-settling", most=MOST_TOGETHER)

    def close(self) -> None:
        """Settle the pending answers, send the reminders that were claimed, and close all connections."""
        self.link_lookups.close()
        self.settling.close()
        super().close()

    # Starting

    def start(self, plan: Plan, *, attached_to: str | None = None) -> str:
        """Start an execution.

        Args:
            plan: The notebook, and how to run it.
            attached_to: The process that will run it itself, named by `store.workers.process_name`; None: any worker.

        Returns:
            The execution's id.

        Raises:
            OutputInUse: If another execution that has not ended owns the output.
            AllowanceReached: If its user, or its queue, has as many executions as it may.
            QuotaReached: If the storage holds as much as it may.
            DiskNearlyFull: If its disk has too little room.
        """
        require_allowance(self, plan.created_by, plan.queues.home)
        require_room(self, len(plan.document))
        execution = secrets.token_hex(6)
        output = resolve_output(plan.output)
        document = f"{execution}/start-{secrets.token_hex(4)}.ipynb"
        self.files.write(document, plan.document)

        def insert(connection: sa.Connection) -> str:
            require_free_output(connection, output)
            add_execution(connection, self.jobs, execution, plan, document, output=output, attached_to=attached_to)
            if attached_to is not None:
                # In one transaction: if the process dies at once, others must know it to take over.
                workers.beat(connection, attached_to, "attached", None)
            return execution

        try:
            return self.change(insert)
        except sa.exc.IntegrityError:
            self.files.remove(execution)
            raise explain_conflict(self, output) from None
        except (OutputInUse, StorageFull):
            # Kept if the store does not answer: it may have added the execution. Otherwise `gc` removes the files.
            self.files.remove(execution)
            raise

    # Settling

    def settle(self, claim: Claim, callback: Callback) -> Response:
        """Apply a callback from a public link, whose token must have been verified.

        The answer is checked first, outside of transactions, which may take seconds.

        Raises:
            LinkWithdrawn: If the link was withdrawn after it was verified.
            NoChecker: If the answer cannot be checked now.
        """
        while True:
            answer = Answer(claim, callback, judge_callback(self, claim, callback))
            try:
                response = self._settle(answer)
            except NotJudged:
                # The suspension was opened after the answer was judged.
                continue
            break
        if response.status == 200 and response.body.get("state") == "cancelled":
            cancel_children(self, claim.execution)
        return response

    def _settle(self, answer: Answer) -> Response:
        if answer.may_resume:
            with suppress(NeedsOwnTransaction):
                return self.settling.submit(answer).result()
        return settle_alone(self, answer)

    def resume(
        self,
        execution: str,
        *,
        step: str | None = None,
        data: JSON = NOTHING,
        form: Entries | None = None,
        by: str,
        seen: str | None = None,
    ) -> Response:
        """Answer an open suspension as a user whose name is known.

        Args:
            execution: Its id.
            step: Which suspension, if several are open: the step's name, or an `address` or a `path` with dots, as
                `view` shows them.
            data: JSON value for the notebook, like the body of a request; `NOTHING` if there is none.
            form: Instead of `data`, the contents of the question's form: input name → texts.
            by: `"user:NAME"`.
            seen: The `shown` of the suspension as this user saw it; if that has changed, nothing is settled (409). None:
                not checked.

        Raises:
            UnknownExecution: If there is none.
            NotSuspended: If nothing waits, or not in this step.
            AmbiguousSuspension: If several wait and none was named.
            NotJSON: If the data is not JSON.
        """
        require_json("data", None if data is NOTHING else data)
        with reading(self.engine) as connection:
            suspension = self._choose(connection, execution, step)
        claim = suspensions.make_claim(suspension, "resume")
        if form is None:
            return self.settle(claim, Callback("resume", make_envelope(data, by), by, seen=seen))
        read, comment = read_answer(suspension.schema, form)
        envelope = make_envelope(NOTHING if read.value is None and not read.is_null else read.value, by)
        if comment is not None:
            envelope["comment"] = comment
        response = self.settle(claim, Callback("resume", envelope, by, read, seen))
        if response.body.get("errors"):
            response.body["errors"] = read.place(response.body["errors"])
        return response

    def send_back(
        self, execution: str, *, step: str | None = None, comment: str | None = None, by: str, seen: str | None = None
    ) -> Response:
        """Send an open suspension back as a user whose name is known, so that its step runs again with the comment.

        Args:
            execution: Its id.
            step: Which suspension, as in `resume`.
            comment: What to change.
            by: `"user:NAME"`.
            seen: As in `resume`.

        Raises:
            UnknownExecution: If there is none.
            NotSuspended: If nothing waits, or not in this step.
            AmbiguousSuspension: If several wait and none was named.
        """
        with reading(self.engine) as connection:
            suspension = self._choose(connection, execution, step)
        envelope = make_envelope(NOTHING, by) | ({} if comment is None else {"comment": comment})
        return self.settle(
            suspensions.make_claim(suspension, "send_back"), Callback("send_back", envelope, by, seen=seen)
        )

    def cancel(self, execution: str, *, by: str, text: str | None = None) -> None:
        """Cancel an execution in any state, unless it has ended.

        A worker that runs it interrupts the kernel within a second, and ignores what it still sends.

        Raises:
            UnknownExecution: If there is none.
        """
        cancel(self, execution, by=by, text=text)

    # Keys and links

    def rotate_keys(self, *, by: str, withdraw: bool = False) -> list[int]:
        """Add a key, with which all processes of this store sign from now on.

        Args:
            by: The person who requests it.
            withdraw: Whether links that older keys signed are refused from now on.

        Returns:
            The numbers of the withdrawn keys.
        """
        return self.change(lambda connection: keys.rotate(connection, by=by, withdraw=withdraw))

    def revoke(self, execution: str, *, by: str) -> None:
        """Refuse all links of an execution made so far, and those of its nested executions that wait.

        Raises:
            UnknownExecution: If there is none.
        """

        def change(connection: sa.Connection, id_: str) -> None:
            segments.lock_with_execution(connection, id_)
            keys.revoke(connection, id_, by=by)

        with reading(self.engine) as connection:
            self._row(connection, execution)
            below = [row.id for row in list_unended_below(connection, execution)]
        for id_ in (execution, *below):
            self.change(lambda connection, id_=id_: change(connection, id_))  # type: ignore[misc]

    # Stopping

    def suspend(self, execution: str, *, by: str, with_parent: bool = False) -> None:
        """Suspend an execution from outside, before its next cell; it continues when it is resumed.

        If it waits for notebooks, those that run and are linked to it are suspended.

        Args:
            execution: Its id.
            by: The person who requests it.
            with_parent: Whether it is suspended together with its parent.

        Raises:
            UnknownExecution: If there is none.
            CannotSuspend: If it already waits, has ended, or is linked to a parent.
        """

        def change(connection: sa.Connection) -> bool:
            _, row = segments.lock_with_execution(connection, execution)
            if row.parent is not None and row.nested["linked"] and not with_parent:
                raise CannotSuspend(execution, row.state, row.parent)
            if row.state in ("queued", "running", "paused"):
                executions.ask_to_suspend(connection, execution, by)
                audit.add_line(connection, execution, "to be suspended", by, segment=row.segment)
                return True
            return False

        with reading(self.engine) as connection:
            following = [row.id for row in executions.list_children(connection, execution) if row.nested["linked"]]
        found = self.change(change)
        for child in following:
            try:
                self.suspend(child, by=by, with_parent=True)
            except CannotSuspend:
                continue
            found = True
        if not found:
            raise CannotSuspend(execution, self.state(execution))

    def _choose(self, connection: sa.Connection, execution: str, step: str | None) -> Row:
        state = self._row(connection, execution).state
        found = waiting = list_open_below(connection, execution)
        if step is not None:
            found = [one for one in found if one.is_named(step)] or [one for one in found if one.is_inside(step)]
        if not found:
            raise NotSuspended(execution, state, step, order_by_likeness(str(step), (one.address for one in waiting)))
        if len(found) > 1:
            raise AmbiguousSuspension(execution, [one.address for one in found])
        return found[0].row
