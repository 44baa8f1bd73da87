"""How a database is opened, what its errors say, and that no update is lost."""

import sqlite3
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from postgresql_server import new_database

from pauseflow_nb.errors import NotStorable, StorageFull, StoreUnavailable
from pauseflow_nb.store.database import describe_database, find_missing_file, now, open_engine, reading, transaction
from pauseflow_nb.store.migrate import migrate
from pauseflow_nb.store.tables import audit, workers


def test_its_clock_is_the_time(store: sa.Engine) -> None:
    with reading(store) as connection:
        assert abs(now(connection) - time.time()) < 5


def test_its_clock_goes_on_within_a_transaction(store: sa.Engine) -> None:
    with transaction(store) as connection:
        first = now(connection)
        deadline = time.monotonic() + 5
        while now(connection) == first:
            assert time.monotonic() < deadline


def test_read_then_write_loses_no_update(store: sa.Engine) -> None:
    with transaction(store) as connection:
        connection.execute(workers.insert().values(id="counter", kind="worker", started_at=0.0, beat=0.0))

    def count() -> None:
        for _ in range(25):
            with transaction(store) as connection:
                row = connection.execute(sa.select(workers.c.beat).with_for_update()).one()
                connection.execute(workers.update().values(beat=row.beat + 1))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with reading(store) as connection:
        assert connection.execute(sa.select(workers.c.beat)).scalar_one() == 100


def test_an_error_inside_a_transaction_takes_everything_back(store: sa.Engine) -> None:
    def change() -> None:
        with transaction(store) as connection:
            connection.execute(workers.insert().values(id="a", kind="worker", started_at=0.0, beat=0.0))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change()

    with reading(store) as connection:
        assert connection.execute(sa.select(workers)).all() == []


def test_sqlite_is_durable_and_lets_readers_read(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'a.db'}")

    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    engine.dispose()


def test_only_its_owner_reads_the_file(tmp_path: Path) -> None:
    open_engine(f"sqlite:///{tmp_path / 'a.db'}").dispose()

    assert (tmp_path / "a.db").stat().st_mode & 0o077 == 0


def test_a_path_with_odd_characters(tmp_path: Path) -> None:
    folder = tmp_path / "a?b#c d%20é"
    engine = open_engine(f"sqlite:///{folder / 'x.db'}".replace("?", "%3F"))
    migrate(engine)
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("nonsense", "not a SQLAlchemy URL"),
        ("sqlite://", "name a file"),
        ("mysql://u:secret@h/d", "only SQLite and PostgreSQL"),
        ("postgresql://u:secret@h:five/d", "not a SQLAlchemy URL"),
        ("postgresql://u:secret@:/%?#@h/d", "write @ as %40"),
    ],
)
def test_a_url_that_cannot_serve(url: str, expected: str) -> None:
    assert find_missing_file(url) is None
    with pytest.raises(StoreUnavailable, match=expected) as found:
        open_engine(url)

    assert "secret" not in str(found.value)


@pytest.mark.parametrize("kind", ["postgres", "postgresql", "postgresql+psycopg2", "postgresql+asyncpg"])
def test_other_names_of_postgresql(kind: str) -> None:
    engine = open_engine(f"{kind}://ann@localhost/data")
    try:
        assert engine.url.drivername == "postgresql+psycopg"
    finally:
        engine.dispose()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_text("this is a letter to my grandmother, and no database at all")

    with pytest.raises(StoreUnavailable, match="not an SQLite database"):
        migrate(open_engine(f"sqlite:///{tmp_path / 'a.db'}"))


def test_a_folder_where_the_file_should_be(tmp_path: Path) -> None:
    (tmp_path / "a.db").mkdir()

    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        open_engine(f"sqlite:///{tmp_path / 'a.db'}")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    # A file as a folder: permissions would not stop root.
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreUnavailable, match="check PAUSEFLOW_DATA_DIR"):
        open_engine(f"sqlite:///{tmp_path / 'file' / 'a.db'}")


def test_a_file_that_vanished(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'a.db'}")
    migrate(engine)
    (tmp_path / "a.db").unlink()

    with pytest.raises(StoreUnavailable, match="the file was deleted"), transaction(engine):
        pass
    assert not (tmp_path / "a.db").exists()
    engine.dispose()


def test_a_file_that_was_replaced(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'a.db'}")
    migrate(engine)
    other = open_engine(f"sqlite:///{tmp_path / 'b.db'}")
    migrate(other)
    with transaction(other) as connection:
        connection.execute(workers.insert().values(id="new", kind="worker", started_at=0.0, beat=0.0))
    other.dispose()
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"a.db{suffix}").unlink()
    (tmp_path / "b.db").replace(tmp_path / "a.db")

    with reading(engine) as connection:
        assert connection.execute(sa.select(workers.c.id)).scalar_one() == "new"
    engine.dispose()


def test_a_file_that_another_process_locks(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'a.db'}", patience=timedelta(milliseconds=50))
    migrate(engine)
    holder = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")

    with pytest.raises(StoreUnavailable, match="keeps it locked"), transaction(engine):
        pass

    holder.execute("ROLLBACK")
    with transaction(engine):
        pass
    holder.close()
    engine.dispose()


def test_a_full_disk(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'a.db'}")
    migrate(engine)
    big = workers.insert().values(id="a", kind="worker", url="x" * 1_000_000, started_at=0.0, beat=0.0)

    def fill() -> None:
        with transaction(engine) as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
            connection.execute(big)

    with pytest.raises(StorageFull):
        fill()
    with reading(engine) as connection:
        assert connection.execute(sa.select(workers)).all() == []
    engine.dispose()


_WORKER = {"id": "w", "kind": "worker", "started_at": 0.0, "beat": 0.0}
_NOTE = {"execution": "x", "at": 0.0, "what": "w", "by": "b", "details": {}}


@pytest.mark.parametrize(
    ("table", "row"),
    [
        (workers, {**_WORKER, "kind": object()}),
        (audit, {**_NOTE, "details": {"not": object()}}),
        (audit, {**_NOTE, "details": {1j: "a key"}}),
    ],
    ids=["an object as text", "an object as JSON", "a key that is no text"],
)
def test_a_value_that_cannot_be_stored_is_no_outage(store: sa.Engine, table: sa.Table, row: dict[str, object]) -> None:
    """An outage is waited for; waiting for this would never end."""

    def insert() -> None:
        with transaction(store) as connection:
            connection.execute(workers.insert(), {**_WORKER, "id": "before it"})
            connection.execute(table.insert(), row)

    # SQLAlchemy leaves some of what Python says as it is.
    with pytest.raises((NotStorable, TypeError)):
        insert()

    with reading(store) as connection:
        assert connection.execute(sa.select(workers.c.id)).all() == []


def test_a_server_that_is_not_there() -> None:
    engine = open_engine("postgresql://me:secret@127.0.0.1:9/none")

    with pytest.raises(StoreUnavailable, match="does not answer") as found, reading(engine):
        pass
    assert "secret" not in str(found.value)


def test_a_database_that_is_not_there(postgresql: str) -> None:
    engine = open_engine(sa.make_url(postgresql).set(database="nowhere").render_as_string(hide_password=False))

    refused = r'refuses the connection \(database "nowhere" does not exist\): check PAUSEFLOW_DB'
    with pytest.raises(StoreUnavailable, match=refused), reading(engine):
        pass


@pytest.mark.postgresql
@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_hold_every_character_is_refused(postgresql: str, encoding: str) -> None:
    options = f"ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    with new_database(postgresql, options) as url:
        engine = open_engine(url)
        with pytest.raises(StoreUnavailable, match=rf"its texts are in {encoding}.*ENCODING 'UTF8'"):
            migrate(engine)
        engine.dispose()


def test_a_message_never_shows_the_password() -> None:
    assert "secret" not in describe_database(open_engine("postgresql://me:secret@127.0.0.1:9/none"))


def test_a_new_file_that_another_process_switches_to_wal_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pauseflow.db"
    other = sqlite3.connect(path, check_same_thread=False)
    # What a switch holds for a moment, and for which SQLite does not wait by itself.
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    opened: list[sa.Engine] = []
    opening = threading.Thread(target=lambda: opened.append(open_engine(f"sqlite:///{path}")))
    opening.start()
    opening.join(0.3)
    assert opening.is_alive()

    other.close()
    opening.join(60)

    (engine,) = opened
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
    engine.dispose()


def test_of_many_that_open_a_new_file_at_once_none_is_refused(tmp_path: Path) -> None:
    problems: list[Exception] = []

    def open_one(url: str, together: threading.Barrier) -> None:
        together.wait()
        try:
            open_engine(url).dispose()
        except StoreUnavailable as problem:
            problems.append(problem)

    for number in range(20):
        together = threading.Barrier(8)
        url = f"sqlite:///{tmp_path / str(number) / 'pauseflow.db'}"
        threads = [threading.Thread(target=open_one, args=(url, together)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert problems == []


def test_a_file_that_is_deleted_while_it_is_opened_is_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.db"
    engine = open_engine(f"sqlite:///{path}")
    connect = sqlite3.connect

    class Losing(sqlite3.Connection):
        """Its file is deleted after the last statement that opens it."""

        def execute(self, *arguments: Any) -> sqlite3.Cursor:
            done = super().execute(*arguments)
            if "synchronous" in arguments[0]:
                path.unlink()
            return done

    monkeypatch.setattr(sqlite3, "connect", lambda *given, **options: connect(*given, factory=Losing, **options))

    with pytest.raises(StoreUnavailable, match="the file was deleted"), reading(engine):
        pass
