"""Queue segments for the workers: each is one job of DBOS in the store's database.

DBOS is loaded only when the first job must be queued: a notebook that runs to its end under `pauseflow run` never
needs it.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

import sqlalchemy as sa

from pauseflow_nb.errors import StoreUnavailable
from pauseflow_nb.queues import DEFAULT_QUEUE
from pauseflow_nb.store.database import describe_database
from pauseflow_nb.store.executions import find_queues
from pauseflow_nb.store.many_rows import insert_many

if TYPE_CHECKING:
    from dbos import DBOSClient

#: Our names in DBOS's tables. If they changed, jobs queued by an older version would never run.
APPLICATION = "pauseflow"
_QUEUE = "segments"
JOB = "run_segment"
VERSION = "pauseflow-1"
#: Schema of its tables on PostgreSQL; another application of DBOS may use `dbos` there.
DBOS_SCHEMA = "pauseflow_dbos"
#: Channel of PostgreSQL on which a transaction that queues jobs notifies the workers; see `job_watch.py`.
CHANNEL = "pauseflow_jobs"

#: Seconds between two polls of a worker for jobs, if nothing wakes it earlier.
_POLL_SECONDS = 0.25

T = TypeVar("T")

_NOTIFY = sa.select(sa.func.pg_notify(CHANNEL, ""))
_HAS_QUEUED = sa.text(
    # Both conditions: SQLite uses DBOS's partial index only if the condition of the index is in the query.
    "SELECT 1 FROM workflow_status WHERE status IN ('ENQUEUED', 'PENDING') AND status = 'ENQUEUED'"
    " AND queue_name IN :queues LIMIT 1"
).bindparams(sa.bindparam("queues", expanding=True, type_=sa.String))


@dataclass(frozen=True)
class NewJob:
    """A segment to queue."""

    execution: str
    #: Number of the segment.
    n: int
    #: How often it has been queued before; DBOS keeps the first job of each name and drops later ones.
    job: int = 0
    queue: str = DEFAULT_QUEUE


class Jobs:
    """Queues jobs inside transactions of its callers."""

    def __init__(self, engine: sa.Engine) -> None:
        """Take the engine of the store; nothing is loaded yet."""
        self._engine = engine
        self._client: DBOSClient | None = None
        self._lock = threading.Lock()

    def enqueue(self, connection: sa.Connection, execution: str, n: int, job: int) -> None:
        """Queue a segment in the caller's transaction, which must run under `ready`.

        It goes into the queue of the cell that it begins with.

        Args:
            connection: The transaction.
            execution: Id of the execution.
            n: Number of the segment.
            job: How often it has been queued before.
        """
        queue = find_queues(connection, [(execution, n)]).get((execution, n), DEFAULT_QUEUE)
        self.enqueue_all(connection, [NewJob(execution, n, job, queue)])

    def enqueue_all(self, connection: sa.Connection, jobs: Sequence[NewJob]) -> None:
        """Queue several segments; see `enqueue`."""
        if not jobs:
            return
        if self._client is None:
            raise _NotReady
        rows: Any = _NewRows()
        for each in jobs:
            options: Any = {
                "workflow_name": JOB,
                "queue_name": name_queue(each.queue),
                "workflow_id": name_job(each.execution, each.n, each.job),
                "app_version": VERSION,
            }
            self._client.enqueue_in_transaction(rows, options, each.execution, each.n, each.job)
        rows.insert(connection)
        if connection.dialect.name == "postgresql":
            connection.execute(_NOTIFY)

    def forget(self, execution: str, jobs: Iterable[tuple[int, int]]) -> None:
        """Remove jobs that are no longer needed.

        Args:
            execution: Id of the removed execution.
            jobs: For each job: number of its segment, and how often that had been queued before.
        """
        self._open()
        assert self._client is not None
        try:
            self._client.delete_workflows([name_job(execution, n, job) for n, job in jobs])
        except sa.exc.SQLAlchemyError as problem:
            raise StoreUnavailable(
                describe_database(self._engine), f"the jobs of {execution} cannot be removed"
            ) from problem

    def has_under_way(self, executor: str) -> bool:
        """Whether a process still has jobs: it runs them, or has left them.

        Raises:
            StoreUnavailable: If the store cannot be read.
        """
        return bool(self._list_names(status="PENDING", executor_id=executor, limit=1))

    def list_under_way(self, executor: str) -> list[tuple[str, int, int]]:
        """List the jobs that a process has, as far as the database knows: execution, segment and job of each.

        Raises:
            StoreUnavailable: If the store cannot be read.
        """
        return [_parse_name(name) for name in self._list_names(status="PENDING", executor_id=executor)]

    def list_ended(self, jobs: Iterable[tuple[str, int, int]]) -> set[tuple[str, int, int]]:
        """Find those of some jobs that neither wait nor run.

        Raises:
            StoreUnavailable: If the store cannot be read.
        """
        names = {name_job(*job): job for job in jobs}
        if not names:
            return set()
        waiting_or_running = self._list_names(status=["DELAYED", "ENQUEUED", "PENDING"], workflow_ids=list(names))
        return {job for name, job in names.items() if name not in waiting_or_running}

    def _list_names(self, **which: Any) -> set[str]:
        self._open()
        assert self._client is not None
        try:
            found = self._client.list_workflows(load_input=False, load_output=False, **which)
        except sa.exc.SQLAlchemyError as problem:
            raise StoreUnavailable(describe_database(self._engine), "the jobs cannot be read") from problem
        return {job.workflow_id for job in found}

    def ready(self, change: Callable[[], T]) -> T:
        """Call a function that may queue a job; if DBOS is not loaded yet, load it and call the function again.

        DBOS cannot be loaded inside the transaction: another connection creates its tables, and would wait for the
        transaction that waits for it.
        """
        try:
            return change()
        except _NotReady:
            self._open()
            return change()

    def register_queues(self, queues: Iterable[str], at_once: int) -> None:
        """Create the queues that workers take jobs from.

        Args:
            queues: Their names.
            at_once: How many jobs a worker runs at once, unless it limits that itself; the last call counts.
        """
        self._open()
        assert self._client is not None
        for queue in queues:
            self._client.register_queue(
                name_queue(queue),
                worker_concurrency=at_once,
                polling_interval_sec=_POLL_SECONDS,
                on_conflict="always_update",
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
                self._client = _make_client(self._engine)


def name_queue(queue: str) -> str:
    """Return DBOS's name of a queue; the default queue has the name that earlier versions used."""
    return _QUEUE if queue == DEFAULT_QUEUE else f"{_QUEUE}:{queue}"


def name_job(execution: str, n: int, job: int) -> str:
    """Return DBOS's name of a job."""
    return f"{execution}/{n}" if job == 0 else f"{execution}/{n}.{job}"


def _parse_name(name: str) -> tuple[str, int, int]:
    execution, _, numbers = name.rpartition("/")
    n, _, job = numbers.partition(".")
    return execution, int(n), int(job or 0)


def has_queued(connection: sa.Connection, queues: Sequence[str]) -> bool:
    """Whether jobs wait in some queues of an SQLite store.

    Args:
        connection: The store.
        queues: DBOS's names of the queues.
    """
    return connection.execute(_HAS_QUEUED, {"queues": queues}).first() is not None


def migrate_jobs(engine: sa.Engine) -> None:
    """Create or migrate DBOS's tables, which its clients never do. Any number of processes may try at once."""
    client = _make_client(engine)
    logging.getLogger("dbos").setLevel(logging.WARNING)
    try:
        # `DBOS.migrate` makes connections of its own, which know nothing of a pooler before PostgreSQL.
        client._sys_db.run_migrations()  # noqa: SLF001  (its version is pinned)
    except Exception as problem:
        # Whatever the error is, the caller can only report it and try again.
        raise StoreUnavailable(describe_database(engine), f"the job tables cannot be made: {problem}") from problem


def _make_client(engine: sa.Engine) -> "DBOSClient":
    from dbos import DBOSClient

    return DBOSClient(
        system_database_engine=engine,
        dbos_system_schema=DBOS_SCHEMA,
        application_name=APPLICATION,
        lazy=True,
        retry_connection_errors=False,
    )


class _NewRows:
    """Stands in for a connection and collects the rows that DBOS inserts for jobs, to insert all of them together.

    DBOS itself executes two statements for each job, which takes a third of the time that it takes to settle an answer.
    """

    dialect = None

    def __init__(self) -> None:
        self._rows: dict[sa.Table, list[dict[str, Any]]] = {}

    def get_execution_options(self) -> Mapping[str, Any]:
        """Return no options."""
        return {}

    def execution_options(self, **_: Any) -> None:
        """Ignore the name of DBOS's schema, which `insert` adds."""

    def execute(self, statement: sa.Insert, values: dict[str, Any]) -> Self:
        """Collect a row."""
        assert isinstance(statement.table, sa.Table)
        self._rows.setdefault(statement.table, []).append(values)
        return self

    def fetchone(self) -> None:
        """Report that the row did not exist: see `insert`."""

    def insert(self, connection: sa.Connection) -> None:
        """Insert the rows; a job that exists already is not changed."""
        for table, rows in self._rows.items():
            insert_many(connection, table, rows, schema=DBOS_SCHEMA, keeps_existing=True)


class _NotReady(Exception):
    """DBOS is not loaded yet: the transaction must be rolled back and repeated after that; see `Jobs.ready`."""
