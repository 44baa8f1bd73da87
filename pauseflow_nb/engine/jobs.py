"""Hand a segment to the workers: one job of DBOS for each, on the store's own database.

DBOS is loaded when the first job must be queued, and not before: a notebook that runs to its end
under `pauseflow run` never needs it.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import sqlalchemy as sa

from pauseflow_nb.errors import StoreUnavailable
from pauseflow_nb.store.database import named, url_with_password

if TYPE_CHECKING:
    from dbos import DBOSClient

__all__ = ["APPLICATION", "DBOS_SCHEMA", "JOB", "QUEUE", "VERSION", "Jobs", "migrate_jobs"]

#: Names of ours in DBOS's tables. Constants: others would strand what an older version queued.
APPLICATION = "pauseflow"
QUEUE = "segments"
JOB = "run_segment"
VERSION = "pauseflow-1"
#: Where its tables lie on PostgreSQL; another application of DBOS may have `dbos` there.
DBOS_SCHEMA = "pauseflow_dbos"

#: Seconds between two looks of a worker for jobs.
_POLL_SECONDS = 0.25

T = TypeVar("T")


class Jobs:
    """Queues jobs inside transactions of its callers."""

    def __init__(self, engine: sa.Engine) -> None:
        """Take the engine of the store; nothing is loaded yet."""
        self._engine = engine
        self._client: DBOSClient | None = None
        self._lock = threading.Lock()

    def enqueue(self, connection: sa.Connection, execution: str, n: int, job: int) -> None:
        """Queue a segment in the caller's transaction, which must run under `ready`.

        Args:
            connection: The transaction.
            execution: Id of the execution.
            n: Number of the segment.
            job: How often it has been queued before; DBOS keeps the first job of a name and drops later ones.
        """
        self.enqueue_all(connection, [(execution, n, job)])

    def enqueue_all(self, connection: sa.Connection, jobs: Sequence[tuple[str, int, int]]) -> None:
        """Queue several segments: execution, number and job of each; see `enqueue`."""
        if not jobs:
            return
        if self._client is None:
            raise _NotReady
        inserts = _Inserts(connection)
        for execution, n, job in jobs:
            name = _name(execution, n, job)
            self._client.enqueue_in_transaction(
                cast("sa.Connection", inserts),
                {"workflow_name": JOB, "queue_name": QUEUE, "workflow_id": name, "app_version": VERSION},
                execution,
                n,
                job,
            )
        inserts.execute_all()

    def forget(self, execution: str, jobs: Iterable[tuple[int, int]]) -> None:
        """Remove jobs that are not needed any more.

        Args:
            execution: Id of the execution, which is gone.
            jobs: Number of the segment, and how often it had been queued before, of each.
        """
        self._open()
        assert self._client is not None
        try:
            self._client.delete_workflows([_name(execution, n, job) for n, job in jobs])
        except sa.exc.SQLAlchemyError as problem:
            raise StoreUnavailable(named(self._engine), f"the jobs of {execution} cannot be removed") from problem

    def ready(self, change: Callable[[], T]) -> T:
        """Call what may queue a job; if it does for the first time, load DBOS and call it again.

        DBOS cannot be made ready inside the change: its tables are made by another connection, which would wait
        for the transaction that waits for it.
        """
        try:
            return change()
        except _NotReady:
            self._open()
            return change()

    def register_queue(self, at_once: int) -> None:
        """Make the queue, or change how many jobs each worker runs at once; the last call counts."""
        self._open()
        assert self._client is not None
        self._client.register_queue(
            QUEUE, worker_concurrency=at_once, polling_interval_sec=_POLL_SECONDS, on_conflict="always_update"
        )

    def close(self) -> None:
        """Close the client, if there is one."""
        with self._lock:
            if self._client is not None:
                self._client.destroy()
                self._client = None

    def _open(self) -> None:
        with self._lock:
            if self._client is None:
                migrate_jobs(self._engine)
                from dbos import DBOSClient

                self._client = DBOSClient(
                    system_database_engine=self._engine,
                    dbos_system_schema=DBOS_SCHEMA,
                    application_name=APPLICATION,
                    lazy=True,
                    retry_connection_errors=False,
                )


class _Inserts:
    """Takes the place of a connection, and collects what DBOS inserts for each job: many rows by one statement.

    DBOS asks whether the job is there already, and gets no answer: what is, stays as it is.
    """

    #: None: DBOS compiles no statement of its own, but hands over each with its values.
    dialect = None

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._rows: dict[str, tuple[sa.Insert, list[dict[str, Any]]]] = {}

    def get_execution_options(self) -> Any:
        return self._connection.get_execution_options()

    def execution_options(self, **options: Any) -> Any:
        return self._connection.execution_options(**options)

    def execute(self, statement: sa.Insert, values: dict[str, Any]) -> "_Inserts":
        self._rows.setdefault(statement.table.name, (statement, []))[1].append(values)
        return self

    def fetchone(self) -> None:
        return None

    def execute_all(self) -> None:
        for statement, rows in self._rows.values():
            self._connection.execute(statement, rows)


def _name(execution: str, n: int, job: int) -> str:
    return f"{execution}/{n}" if job == 0 else f"{execution}/{n}.{job}"


def migrate_jobs(engine: sa.Engine) -> None:
    """Bring DBOS's own tables up to date; its clients never do. Any number of processes may try at once."""
    from dbos import DBOS

    logging.getLogger("dbos").setLevel(logging.WARNING)
    try:
        DBOS.migrate(url_with_password(engine), schema=DBOS_SCHEMA)
    except Exception as problem:
        # Whatever it is, the caller can only say so and try again.
        raise StoreUnavailable(named(engine), f"the job tables cannot be made: {problem}") from problem


class _NotReady(Exception):
    """DBOS is not loaded yet: the transaction must be rolled back, and made again when it is; see `Jobs.ready`."""
