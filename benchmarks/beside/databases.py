"""Stores on SQLite and on PostgreSQL, and many suspended executions in them."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from beside.machine import wait_until
from beside.programs import write_notebook
from beside.served import start_detached
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.settings import Settings

#: Its first step waits for a day at most, as many questions do.
WAITS = [
    "from pauseflow_nb import flow, steps",
    '%%step ask\nflow.suspend(title="Release?", timeout="30d")',
    "print(steps.ask.data)",
]

#: Seconds between the starts of two executions.
_APART = 10.0


@contextmanager
def database(kind: str, folder: Path) -> Iterator[dict[str, str]]:
    """Give the environment of a store of its own on one of the two databases, which writes to the disk durably."""
    made = {"PAUSEFLOW_DATA_DIR": str(folder / kind)}
    if kind == "sqlite":
        yield made
        return
    # Not below a folder that is for its owner alone: the server may have to be another user.
    with (
        tempfile.TemporaryDirectory(prefix="pauseflow-pg-", ignore_cleanup_errors=True) as name,
        _running(Path(name)) as url,
    ):
        yield {**made, "PAUSEFLOW_DB": url}


@contextmanager
def _running(data: Path) -> Iterator[str]:
    binaries = _binaries()
    user = "postgres" if os.getuid() == 0 else None
    if user is not None:
        shutil.chown(data, user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def call(program: str, *words: str) -> None:
        subprocess.run([binaries / program, *words], check=True, user=user, cwd=data, stdout=subprocess.DEVNULL)

    call("initdb", "-D", f"{data}/db", "-A", "trust", "-U", "bench", "-E", "UTF8", "--locale=C")
    options = f"-p {port} -h 127.0.0.1 -k {data} -c shared_buffers=512MB -c max_wal_size=4GB"
    call("pg_ctl", "-D", f"{data}/db", "-l", f"{data}/log", "-w", "-o", options, "start")
    try:
        yield f"postgresql+psycopg://bench@127.0.0.1:{port}/postgres"
    finally:
        call("pg_ctl", "-D", f"{data}/db", "-m", "immediate", "stop")


def _binaries() -> Path:
    found = shutil.which("initdb")
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found is None and not versions:
        raise SystemExit("the programs of PostgreSQL are needed: initdb, pg_ctl")
    return (Path(found) if found else versions[-1]).parent


@contextmanager
def opened(environment: dict[str, str]) -> Iterator[Queue]:
    """Open a store."""
    queue = Queue.open(Settings.load(environment=environment))
    try:
        yield queue
    finally:
        queue.close()


@contextmanager
def serving(environment: dict[str, str], folder: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `pauseflow serve` until the end of the block."""
    command = [sys.executable, "-m", "pauseflow_nb", "serve", "--port", "0", *words]
    with (folder / "log").open("ab") as log:
        server = subprocess.Popen(command, env={**os.environ, **environment}, cwd=folder, stdout=log, stderr=log)
    try:
        with opened(environment) as queue:
            wait_until(queue.live_server_url, seconds=600)
            if "--no-worker" not in words:
                wait_until(queue.has_live_worker, seconds=600)
        yield server
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def first_suspended(environment: dict[str, str], folder: Path, cells: Sequence[str] = WAITS) -> str:
    """Run a notebook up to its question; returns the execution's id."""
    source = write_notebook(folder / "waits.ipynb", list(cells))
    with serving(environment, folder, "--workers", "1"), opened(environment) as queue:
        execution = start_detached(queue, source, folder / "out.ipynb")
        wait_until(lambda: queue.state(execution) == "suspended")
    return execution


def fill(queue: Queue, template: str, first: int, count: int) -> None:
    """Copy a suspended execution `count` times, each a little older than the one before; ids count from `first`."""
    with queue.engine.begin() as connection:
        numbers = sa.select(sa.literal(first).label("n")).cte("numbers", recursive=True)
        numbers = numbers.union_all(sa.select(numbers.c.n + 1).where(numbers.c.n < first + count - 1))
        is_sqlite = connection.dialect.name == "sqlite"
        found = sa.inspect(connection)
        schemas = {"main": found.get_table_names()} if is_sqlite else _tables(found)
        tables = [
            sa.Table(name, sa.MetaData(), schema=None if is_sqlite else schema, autoload_with=connection)
            for schema, names in schemas.items()
            for name in names
        ]
        with _without_indexes(connection, tables):
            for table in sorted(tables, key=lambda table: table.name != "executions"):
                _copy(connection, table, template, numbers)
    with queue.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")


@contextmanager
def _without_indexes(connection: sa.Connection, tables: Sequence[sa.Table]) -> Iterator[None]:
    """Make the indexes of PostgreSQL again after many rows were added, and check no foreign keys: copies are right."""
    if connection.dialect.name == "sqlite":
        yield
        return
    connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
    connection.exec_driver_sql("SET LOCAL maintenance_work_mem = '1GB'")
    query = sa.text(
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index "
        "WHERE indrelid = ANY (CAST(:tables AS regclass[])) AND NOT EXISTS "
        "(SELECT FROM pg_constraint WHERE conindid = indexrelid)"
    )
    found = connection.execute(query, {"tables": [f'"{each.schema}"."{each.name}"' for each in tables]}).all()
    for name, _ in found:
        connection.exec_driver_sql(f"DROP INDEX {name}")
    yield
    for _, definition in found:
        connection.exec_driver_sql(definition)


def _tables(found: Any) -> dict[str, list[str]]:
    return {schema: found.get_table_names(schema) for schema in ("pauseflow", "pauseflow_dbos")}


def _copy(connection: sa.Connection, table: sa.Table, template: str, numbers: sa.CTE) -> None:
    names = {"executions": "id", "workflow_status": "workflow_uuid", "workflow_input": "workflow_uuid"}
    key = names.get(table.name, "execution")
    if key not in table.c:
        return
    hexadecimal = (
        sa.func.printf("%012x", numbers.c.n)
        if connection.dialect.name == "sqlite"
        else sa.func.lpad(sa.func.to_hex(numbers.c.n), 12, "0")
    )
    columns = {
        name: column for name, column in table.c.items() if not (table.name in {"audit", "callbacks"} and name == "id")
    }
    values: dict[str, Any] = dict(columns)
    values[key] = sa.func.replace(columns[key], template, hexadecimal)
    if "creator_xid" in columns:
        values["creator_xid"] = sa.func.replace(columns[key], template, hexadecimal)
    if table.name == "executions":
        values["output"] = sa.literal("/work/reports/") + hexadecimal + sa.literal(".ipynb")
        values["notebook"] = (
            sa.literal("/work/notebooks/report-") + sa.cast(numbers.c.n % 97, sa.String) + sa.literal(".ipynb")
        )
        values["created_at"] = columns["created_at"] - numbers.c.n * _APART
    selected = sa.select(*values.values()).select_from(table.join(numbers, sa.true()))
    # A range, which an index leads to: ids are hexadecimal, and those of jobs go on with a slash.
    where = (columns[key] >= template, columns[key] < f"{template}g")
    connection.execute(table.insert().from_select(list(values), selected.where(*where)))


def name(number: int) -> str:
    """Name the copy of this number."""
    return f"{number:012x}"


def bytes_used(queue: Queue) -> int:
    """Measure the database."""
    with queue.engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            return int(connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())
        pages, free, size = (
            int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size
