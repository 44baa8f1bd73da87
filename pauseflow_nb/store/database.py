"""Open the database, begin transactions, explain errors and read the database's clock.

SQLite in WAL mode or PostgreSQL, the same tables and the same statements on both. Every time in the
store is the database's own clock: machines that share a store need not agree on theirs.
"""

import contextlib
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from pauseflow_nb.errors import NotStorable, StorageFull, StoreDamaged, StoreUnavailable
from pauseflow_nb.operator_secrets import mask_passwords
from pauseflow_nb.private_files import create, make_folder
from pauseflow_nb.store.mounts import find_filesystem, is_network

#: Schema of our tables on PostgreSQL.
SCHEMA = "pauseflow"

_PATIENCE = timedelta(seconds=30)
#: Seconds between two attempts to begin while another process writes. SQLite itself would sleep up to 0.1 s.
_RETRY_SECONDS = 0.001

#: In `info` of a connection: whether there is a pooler before PostgreSQL.
_IS_POOLED = "pauseflow_is_pooled"

#: States of PostgreSQL.
_SERIALIZATION_FAILURE, _DEADLOCK = "40001", "40P01"


def open_engine(url: str, *, patience: timedelta = _PATIENCE) -> sa.Engine:
    """Open the database; create an SQLite file that does not exist.

    Args:
        url: SQLAlchemy URL: `sqlite:////path/to/file` or `postgresql://…`.
        patience: How long a transaction waits for another process's before it gives up.

    Raises:
        StoreUnavailable: If the URL cannot be read, the driver is missing, or the file cannot be used.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise StoreUnavailable(
            mask_passwords(url.rsplit("@", maxsplit=1)[-1]),
            "this is not a SQLAlchemy URL, such as sqlite:////path/file.db or postgresql://user:password@host:5432/name; "
            "in a password, write @ as %40, : as %3A and / as %2F",
        ) from None
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed, patience)
    # The programs of PostgreSQL take both names, and many services give the shorter one.
    if parsed.get_backend_name() in {"postgresql", "postgres"}:
        return _open_postgresql(parsed, patience)
    raise StoreUnavailable(_hide_password(parsed), "only SQLite and PostgreSQL are supported")


def find_missing_file(url: str) -> Path | None:
    """Find the SQLite file that a URL names, if it does not exist."""
    with contextlib.suppress(sa.exc.ArgumentError, ValueError, OSError):
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "sqlite" and parsed.database and not Path(parsed.database).exists():
            return Path(parsed.database).absolute()
    return None


@contextmanager
def transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a transaction that may write; the commit at its end is durable.

    Raises:
        StoreUnavailable: If the database is locked, missing or unusable. Nothing was changed, unless the connection
            broke during the commit: then the outcome is unknown.
        StorageFull: If the disk is full; nothing was changed.
    """
    with _convert_errors(engine):
        writer: _Writer | None = engine.get_execution_options().get("writer")
        with nullcontext() if writer is None else writer.turn(engine), engine.begin() as connection:
            if writer is not None:
                writer.begin(connection)
            yield connection


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a connection for reading, without a lock that writers would wait for.

    Raises:
        StoreUnavailable: If the database is missing or unusable.
    """
    with _convert_errors(engine), engine.connect() as connection:
        yield connection


class clock(FunctionElement[float]):  # noqa: N801  (used like a function)
    """The database's clock, in seconds since 1970, as a column."""

    type = sa.Float()
    inherit_cache = True


@compiles(clock)
def _(_element: clock, _compiler: sa.Compiled, **_options: Any) -> str:
    # unixepoch('subsec') is NULL before SQLite 3.42.
    return "(julianday('now') - 2440587.5) * 86400.0"


@compiles(clock, "postgresql")
def _(_element: clock, _compiler: sa.Compiled, **_options: Any) -> str:
    # Not now(): that is the beginning of the transaction, which may have waited for a lock since.
    return "CAST(EXTRACT(epoch FROM clock_timestamp()) AS FLOAT)"


#: Statements that run often are built once: building one takes longer than executing it.
_NOW = sa.select(clock())


def now(connection: sa.Connection) -> float:
    """Read the database's clock, in seconds since 1970."""
    return float(connection.execute(_NOW).scalar_one())


def format_time(seconds: float | None) -> str | None:
    """Write a time of the store as ISO 8601 in UTC, to the millisecond."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def lock_row(statement: sa.Select[Any]) -> sa.Select[Any]:
    """Lock the selected rows for this transaction; on SQLite the transaction already locks the file."""
    return statement.with_for_update()


def is_conflict(problem: BaseException) -> bool:
    """Whether PostgreSQL has rolled a transaction back because of concurrent ones, so that it may be repeated."""
    state = getattr(getattr(problem.__cause__, "orig", None), "sqlstate", None)
    return state in {_SERIALIZATION_FAILURE, _DEADLOCK}


def describe_database(engine: sa.Engine) -> str:
    """Name the database for people, without its password."""
    url = engine.url
    return url.database or str(url) if url.get_backend_name() == "sqlite" else _hide_password(url)


def _hide_password(url: sa.URL) -> str:
    return mask_passwords(url.render_as_string(hide_password=True))


def _open_sqlite(url: sa.URL, patience: timedelta) -> sa.Engine:
    if url.database in (None, "", ":memory:"):
        raise StoreUnavailable(str(url), "a database in memory cannot be shared between processes: name a file")
    path = Path(str(url.database)).absolute()
    if is_network(kind := find_filesystem(path)):
        raise StoreUnavailable(
            str(path),
            f"it lies on a network file system ({kind}), where SQLite loses data: "
            "set PAUSEFLOW_DATA_DIR to a local disk, or PAUSEFLOW_DB to a PostgreSQL database",
        )
    _make_file(path, patience)
    # mode=rw: a file that was deleted must not be created again, empty.
    address = f"file:{quote(str(path))}?mode=rw"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(address, uri=True, timeout=patience.total_seconds(), check_same_thread=False)
        # DBOS sets this only on engines that it makes itself.
        connection.isolation_level = "IMMEDIATE"
        # A text damaged by another program is shown as well as possible; it must not hide other rows.
        connection.text_factory = lambda data: data.decode(errors="replace")
        for pragma in ("foreign_keys=ON", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    # Parameters contain data of people, and keys: no error may contain them.
    options: dict[str, Any] = {"pool_size": 10, "max_overflow": 30, "hide_parameters": True}
    options["json_deserializer"] = _read_json
    options["execution_options"] = {"writer": _Writer(patience)}
    engine = sa.create_engine(url.set(database=str(path)), creator=connect, **options)

    @sa.event.listens_for(engine, "connect")
    def _(_connection: object, record: Any) -> None:
        try:
            record.info["inode"] = path.stat().st_ino
        except FileNotFoundError:
            raise _explain_missing_file(str(path)) from None

    @sa.event.listens_for(engine, "checkout")
    def _(_connection: object, record: Any, _proxy: object) -> None:
        # A deleted file can still be written through an open connection, and that data is lost.
        try:
            inode = path.stat().st_ino
        except FileNotFoundError:
            record.invalidate()
            raise _explain_missing_file(str(path)) from None
        if inode != record.info["inode"]:
            raise sa.exc.DisconnectionError

    return engine


@dataclass(frozen=True)
class _Writer:
    """Makes the threads of this process take turns to write to an SQLite file, without polling."""

    patience: timedelta
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def turn(self, engine: sa.Engine) -> Iterator[None]:
        if not self.lock.acquire(timeout=self.patience.total_seconds()):
            raise StoreUnavailable(
                describe_database(engine), "another thread of this process writes to it: try again when it is done"
            )
        try:
            yield
        finally:
            self.lock.release()

    def begin(self, connection: sa.Connection) -> None:
        """Begin a transaction that writes.

        pysqlite begins a transaction at the first write: earlier reads would be outside of it, and updates would be
        lost. Not in an engine's "begin" event: DBOS's migrations begin their own.
        """
        deadline = time.monotonic() + self.patience.total_seconds()
        driver: Any = connection.connection.dbapi_connection
        driver.execute("PRAGMA busy_timeout=0")
        try:
            while True:
                try:
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                except sa.exc.OperationalError as problem:
                    if not _is_busy(problem.orig) or time.monotonic() > deadline:
                        raise
                    time.sleep(_RETRY_SECONDS)
                else:
                    return
        finally:
            driver.execute(f"PRAGMA busy_timeout={int(self.patience.total_seconds() * 1000)}")


def _is_busy(problem: BaseException | None) -> bool:
    # The lowest byte of an extended code is the plain code.
    return (getattr(problem, "sqlite_errorcode", None) or 0) & 0xFF == sqlite3.SQLITE_BUSY


def _make_file(path: Path, patience: timedelta) -> None:
    try:
        if not path.exists():
            make_folder(path.parent)
            # Private, because it holds the key that signs the links. Another process may create it at the same time.
            with contextlib.suppress(FileExistsError):
                create(path).close()
        connection = sqlite3.connect(path, timeout=patience.total_seconds())
        try:
            _use_wal(connection, patience)
        finally:
            connection.close()
    except OSError as problem:
        raise StoreUnavailable(str(path), f"{problem.strerror}: check PAUSEFLOW_DATA_DIR and its permissions") from None
    except sqlite3.Error as problem:
        raise _convert_sqlite_error(str(path), problem) from None


def _use_wal(connection: sqlite3.Connection, patience: timedelta) -> None:
    """Switch a database to write-ahead logging, unless it is in that mode."""
    deadline = time.monotonic() + patience.total_seconds()
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as problem:
            # SQLite's own timeout does not apply: if several processes switch a new file, all but one fail at
            # once.
            if not _is_busy(problem) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _open_postgresql(url: sa.URL, patience: timedelta) -> sa.Engine:
    # Whatever driver the URL names: only this one is used here.
    url = url.set(drivername="postgresql+psycopg")
    try:
        engine = sa.create_engine(
            url,
            pool_size=10,
            max_overflow=30,
            pool_pre_ping=True,
            # Without an encoding the driver would read no text from a database in SQL_ASCII.
            connect_args={"connect_timeout": 10, "client_encoding": "utf8"},
            json_deserializer=_read_json,
            hide_parameters=True,
        )
    except ImportError:
        raise StoreUnavailable(
            _hide_password(url), "its driver is missing: pip install 'pauseflow-nb[postgresql]'"
        ) from None

    logging.getLogger("psycopg").addFilter(_is_news)
    settings = {"search_path": f"{SCHEMA}, public", "lock_timeout": str(int(patience.total_seconds() * 1000))}

    @sa.event.listens_for(engine, "connect")
    def _(connection: Any, record: Any) -> None:
        encoding = connection.info.parameter_status("server_encoding")
        if encoding not in (None, "UTF8"):
            raise StoreUnavailable(
                _hide_password(url),
                f"its texts are in {encoding}, which cannot hold every character: create the database with "
                "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
            )
        with connection.cursor() as cursor:
            server = cursor.execute("SELECT pg_backend_pid()").fetchone()[0]
            # The server named itself when the connection was made; a pooler puts a number of its own there.
            record.info[_IS_POOLED] = server != connection.info.backend_pid
            if record.info[_IS_POOLED]:
                # Each transaction may have another session, which knows no statements that this one has prepared.
                connection.prepare_threshold = None
            else:
                cursor.execute("; ".join(f"SET {name} TO {value}" for name, value in settings.items()))
        # The pool rolls returned connections back, which would undo a SET.
        connection.commit()

    @sa.event.listens_for(engine, "begin")
    def _(connection: sa.Connection) -> None:
        if is_pooled(connection):
            # What a session is told stays in it, also for the other programs that the pooler lends it to.
            connection.exec_driver_sql("; ".join(f"SET LOCAL {name} TO {value}" for name, value in settings.items()))

    return engine


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a message of psycopg says more than the error that we raise: after one in a pipeline, it warns of the end."""
    return not str(record.msg).startswith("error ignored terminating")


def is_pooled(connection: sa.Connection) -> bool:
    """Whether a pooler, such as PgBouncer, may give each transaction of a connection another session of PostgreSQL."""
    return bool(connection.info.get(_IS_POOLED))


def _read_json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise StoreDamaged(f"a value is not JSON ({problem})") from None


@contextmanager
def _convert_errors(engine: sa.Engine) -> Iterator[None]:
    """Convert the driver's errors to ours, except `IntegrityError`."""
    try:
        yield
    except sa.exc.IntegrityError:
        raise
    except sa.exc.DataError as problem:
        raise _make_not_storable(problem) from problem
    except sa.exc.DBAPIError as problem:
        if isinstance(problem.orig, sqlite3.ProgrammingError | sqlite3.InterfaceError | sqlite3.DataError):
            raise _make_not_storable(problem) from problem
        if isinstance(problem.orig, sqlite3.Error):
            raise _convert_sqlite_error(describe_database(engine), problem.orig) from problem
        if isinstance(problem, sa.exc.ProgrammingError) and getattr(problem.orig, "sqlstate", None) is None:
            # Refused by the driver: PostgreSQL has not seen it.
            raise _make_not_storable(problem) from problem
        is_lost = (
            isinstance(problem, (sa.exc.OperationalError, sa.exc.InterfaceError)) or problem.connection_invalidated
        )
        raise _convert_postgresql_error(describe_database(engine), problem.orig, is_lost=is_lost) from problem
    except sa.exc.StatementError as problem:
        # Refused before the database has seen it: a value that is not JSON, or does not have the column's type.
        raise _make_not_storable(problem) from problem
    except sa.exc.TimeoutError as problem:
        raise StoreUnavailable(
            describe_database(engine), "too many threads of this process use it at once: try again"
        ) from problem
    except sa.exc.SQLAlchemyError as problem:
        raise StoreUnavailable(describe_database(engine), f"{type(problem).__name__}: {problem}") from problem


def _make_not_storable(problem: sa.exc.StatementError) -> NotStorable:
    # Waiting, as for a locked database, would not help.
    lines = str(problem.orig or problem).strip().splitlines()
    return NotStorable(lines[0] if lines else type(problem).__name__)


def _explain_missing_file(path: str) -> StoreUnavailable:
    return StoreUnavailable(
        path, "the file was deleted: restore it from a backup, or restart to begin with an empty store"
    )


def _convert_sqlite_error(path: str, problem: sqlite3.Error) -> Exception:
    # The lowest byte of an extended code is the plain code.
    code = (getattr(problem, "sqlite_errorcode", None) or 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StorageFull(path)
    if code == sqlite3.SQLITE_CANTOPEN and not Path(path).exists():
        return _explain_missing_file(path)
    sentences = {
        sqlite3.SQLITE_BUSY: "another process keeps it locked: end that process, or try again when it is done",
        sqlite3.SQLITE_LOCKED: "another process keeps it locked: end that process, or try again when it is done",
        sqlite3.SQLITE_CANTOPEN: "it cannot be opened: check the path and its permissions",
        sqlite3.SQLITE_READONLY: "it cannot be written: check the permissions of the file and its folder",
        sqlite3.SQLITE_PERM: "it cannot be written: check the permissions of the file and its folder",
        sqlite3.SQLITE_NOTADB: "the file is not an SQLite database: check PAUSEFLOW_DB, or move the file away",
        sqlite3.SQLITE_CORRUPT: "the file is damaged: restore it from a backup, or move it away to begin anew",
        sqlite3.SQLITE_IOERR: "the disk reports errors: check the disk that holds it",
    }
    return StoreUnavailable(path, sentences.get(code, f"SQLite says: {problem}"))


def _convert_postgresql_error(name: str, problem: BaseException | None, *, is_lost: bool) -> Exception:
    state = getattr(problem, "sqlstate", None) or ""
    first = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
    if state == "53100":
        return StorageFull(name)
    # libpq keeps no code of what a server answers to a new connection, only the text.
    refusal = "" if state else first.partition("FATAL:")[2].strip()
    if state == "55P03":
        sentence = "another process has locked the rows: try again when it is done"
    elif refusal:
        sentence = f"PostgreSQL refuses the connection ({refusal}): check PAUSEFLOW_DB and the server"
    elif (is_lost and not state) or state[:2] in ("08", "57"):
        sentence = f"PostgreSQL does not answer: start it, or correct PAUSEFLOW_DB ({first})"
    else:
        sentence = f"PostgreSQL says: {first}"
    return StoreUnavailable(name, sentence)
