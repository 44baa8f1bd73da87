"""Fence the writes of one attempt at a segment: refuse those of earlier attempts."""

import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import TypeVar

import sqlalchemy as sa

from pauseflow_nb.engine.decision_records import enter_records, note_shown
from pauseflow_nb.engine.kernel_bound import merge_kernel_variables
from pauseflow_nb.engine.progress_events import Event, Events
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.errors import StorageFull, StoreUnavailable
from pauseflow_nb.json_values import JSON
from pauseflow_nb.protocol import Outcome
from pauseflow_nb.runner.cards import Place, find_question
from pauseflow_nb.runner.document import Document
from pauseflow_nb.runner.fresh_cells import list_shown
from pauseflow_nb.store import executions, keys, segments, steps, suspensions
from pauseflow_nb.store.database import reading
from pauseflow_nb.store.executions import FINAL, Row

log = logging.getLogger(__name__)

#: Seconds to retry while the store cannot be written, before the attempt is given up.
_PATIENCE_SECONDS = 60.0

T = TypeVar("T")


class Fenced(Exception):
    """Another attempt has taken over, or the execution has ended: this attempt no longer counts."""


class GivenUp(Exception):
    """The process must end and the store cannot be used: the attempt no longer waits for it."""


class Attempt:
    """One attempt at a segment, with the rows that it claimed."""

    def __init__(
        self,
        queue: Queue,
        execution: Row,
        segment: Row,
        on_event: Events,
        *,
        must_end: Callable[[], bool] = lambda: False,
    ) -> None:
        """Take the rows of the attempt, a function to call with its events, and one that tells if the process ends now."""
        self.queue = queue
        self.execution, self.segment = execution, segment
        self._on_event, self._must_end = on_event, must_end
        self._document = execution.document
        #: The notebook of the segment, once it has been read.
        self.notebook: Document | None = None

    def require_current(self, connection: sa.Connection) -> Row:
        """Lock the segment, then the execution.

        Raises:
            Fenced: If the attempt no longer counts.
        """
        segment = segments.lock(connection, self.segment.execution, self.segment.n)
        row = executions.lock(connection, self.segment.execution)
        if segment is None or row is None or row.state in FINAL:
            raise Fenced
        if (segment.attempt, segment.state) != (self.segment.attempt, "running"):
            raise Fenced
        return row

    def checkpoint(
        self, connection: sa.Connection, next_cell: int, outcome: Outcome, *, needs_no_kernel: bool = False
    ) -> list[dict[str, JSON]] | None:
        """Record a checkpoint; return the variables that bind the execution to its kernel after it.

        `needs_no_kernel`: all needed variables are saved, also of an execution that was kernel-bound before.
        """
        assert outcome.snapshot is not None, "what is to continue later was saved"
        signature = keys.read_signer(connection).sign_manifest(self.segment.execution, outcome.snapshot.digest)
        saved = outcome.snapshot
        # If no kernel was kept, the step has reported what its checkpoint lacks; after a crash it continues without
        # that.
        is_kernel_bound = not needs_no_kernel and (outcome.is_kernel_bound or self.segment.bound is not None)
        kernel_variables = merge_kernel_variables(outcome.lost, self.segment.bound) if is_kernel_bound else None
        segments.checkpoint(
            connection,
            self.segment,
            first_cell=next_cell,
            snapshot=saved,
            signature=signature,
            kernel_variables=kernel_variables,
        )
        name = (self.segment.execution, outcome.step, outcome.run)
        steps.checkpoint(connection, *name, snapshot=saved, signature=signature)
        return kernel_variables

    def note_shown(
        self, connection: sa.Connection, outcome: Outcome, cell: int, *, document: str | None = None
    ) -> dict[str, JSON] | None:
        """Record what a question is about: all cells up to the one that asks it.

        `document`: name of the notebook stored with the question, if there is one.
        """
        if self.notebook is None or outcome.suspension is None or outcome.suspension.kind == "notebook":
            return None
        place = Place(outcome.step, outcome.run, self.segment.n, outcome.ordinal)
        return note_shown(
            connection,
            self.segment.execution,
            asdict(place),
            find_question(self.notebook, place),
            self.notebook.digest_cells(cell + 1),
            rules=suspensions.collect_rules(outcome.suspension),
            environment=None if outcome.snapshot is None else outcome.snapshot.digest,
            fresh=list_shown(self.notebook, cell + 1),
            document=document,
        )

    def require_output(self) -> None:
        """Check that no later attempt or segment writes the output.

        Raises:
            Fenced: If one does.
        """

        def look() -> bool:
            with reading(self.queue.engine) as connection:
                row = executions.find_plain(connection, self.segment.execution)
                segment = segments.find(connection, self.segment.execution, self.segment.n)
            if row is None or segment is None or row.segment != segment.n:
                return False
            # If it was cancelled, this attempt shows its progress until another process has written the end.
            is_closed = segment.how == "cancelled" and row.record_due is None
            return segment.attempt == self.segment.attempt and segment.state != "queued" and not is_closed

        if not self.patiently(look):
            raise Fenced

    def change(self, change: Callable[[sa.Connection], T]) -> T:
        """Make a change in one transaction; retry for a minute while the store cannot be written."""
        return self.patiently(lambda: self.queue.change(change))

    def patiently(self, act: Callable[[], T]) -> T:
        """Call a function that uses the store; retry for a minute while the store cannot be used.

        Raises:
            StoreUnavailable, StorageFull: If the store could not be used in that time.
            GivenUp: If the process is to end before that.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        has_reported = False
        while True:
            try:
                return act()
            except (StoreUnavailable, StorageFull) as problem:
                if time.monotonic() > deadline:
                    raise
                if self._must_end():
                    raise GivenUp(str(problem)) from problem
                if not has_reported:
                    log.info("could not record, trying again: %s", problem)
                    self.report_event("said", text=f"{problem}; trying again for {_PATIENCE_SECONDS:g} s")
                has_reported = True
                time.sleep(1)

    def store_document(self, document: Document, *, patiently: bool = False) -> str | None:
        """Store the notebook under a new name.

        Args:
            document: The notebook.
            patiently: Whether to retry for a minute, because this process will not have the notebook later.

        Returns:
            The name; None if it could not be written, in which case the previous one still counts.
        """
        with reading(self.queue.engine) as connection:
            enter_records(connection, self.segment.execution, document)
        name = f"{self.segment.execution}/{self.segment.n}-{self.segment.attempt}-{secrets.token_hex(4)}.ipynb"
        write = partial(self.queue.files.write, name, document.to_bytes())
        try:
            self.patiently(write) if patiently else write()
        except (StorageFull, StoreUnavailable) as problem:
            # It is better to lose outputs of cells than to run a finished step twice.
            log.warning("the notebook was not stored: %s", problem, extra={"execution": self.segment.execution})
            self.report_event("said", text=f"the notebook was not stored: {problem}")
            return None
        return name

    def is_stored(self, name: str | None) -> bool:
        """Whether the execution's row names this notebook."""

        def look() -> bool:
            with reading(self.queue.engine) as connection:
                row = executions.find_plain(connection, self.segment.execution)
            return row is not None and row.document == name

        return self.patiently(look)

    def is_released(self) -> bool:
        """Whether this attempt was the last one, and its segment is queued again."""

        def look() -> bool:
            with reading(self.queue.engine) as connection:
                segment = segments.find(connection, self.segment.execution, self.segment.n)
            return segment is not None and (segment.attempt, segment.state) == (self.segment.attempt, "queued")

        return self.patiently(look)

    def replace_document(self, name: str | None) -> None:
        """Remove the stored notebook that a newer one has replaced, if there is one."""
        if name is not None:
            before, self._document = self._document, name
            self.queue.files.remove(before)

    def report_event(self, kind: str, **data: object) -> None:
        """Report an event of this execution."""
        self._on_event(Event(kind, self.segment.execution, data))  # type: ignore[arg-type]
