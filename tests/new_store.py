"""Stores whose tables are made already: to make them takes longer than most tests with them."""

import sqlite3
import tempfile
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from pauseflow_nb.engine import jobs
from pauseflow_nb.private_files import create, make_folder
from pauseflow_nb.store.database import open_engine
from pauseflow_nb.store.migrate import migrate

__all__ = ["know_tables", "make_store", "make_tables"]

_MIGRATE_JOBS = jobs.migrate_jobs


def make_store(data_dir: Path) -> Path:
    """Put an SQLite database there, with all tables and nothing in them; gives the folder."""
    make_folder(data_dir)
    with create(data_dir / "pauseflow.db") as file:
        file.write(_read_empty_database())
    return data_dir


def make_tables(url: str) -> None:
    """Make our tables and those of the jobs."""
    engine = open_engine(url)
    migrate(engine)
    _MIGRATE_JOBS(engine)
    engine.dispose()


def know_tables(url: str) -> None:
    """From now on, DBOS is not asked whether it has all its tables in this database."""
    name = sa.make_url(url).database

    def migrate_jobs(engine: sa.Engine) -> None:
        if engine.url.database != name:
            _MIGRATE_JOBS(engine)

    jobs.migrate_jobs = migrate_jobs


@cache
def _read_empty_database() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pauseflow.db")
        make_tables(f"sqlite:///{path}")
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
        connection.close()
        return path.read_bytes()
