"""Migrations make what the tables say, once, however many processes try."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from pauseflow_nb.engine.jobs import migrate_jobs
from pauseflow_nb.errors import StoreUnavailable
from pauseflow_nb.settings import Settings
from pauseflow_nb.store import migrate as module
from pauseflow_nb.store.database import open_engine, reading, transaction
from pauseflow_nb.store.migrate import HEAD, VERSIONS, migrate
from pauseflow_nb.store.search import INDEX
from pauseflow_nb.store.tables import metadata, workers

CREATE = module._create


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(Path(module.__file__).parent / "migrations"))
    return ScriptDirectory.from_config(config)


def ours(_object: object, name: str | None, kind: str, _reflected: bool, _compared: object) -> bool:
    return name in metadata.tables if kind == "table" else name != INDEX


def test_the_versions_named_are_the_scripts_there_are() -> None:
    assert scripts().get_current_head() == HEAD
    assert [script.revision for script in scripts().walk_revisions()] == list(reversed(VERSIONS))


@pytest.fixture
def settings(settings_without_tables: Settings) -> Settings:
    return settings_without_tables


@pytest.fixture
def grown(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Engine]:
    """A database that came from nothing by the scripts, as one of long ago did step by step."""
    monkeypatch.setattr(module, "_create", module._upgrade)
    engine = open_engine(settings.db)
    migrate(engine)
    yield engine
    engine.dispose()


def test_migrations_make_the_tables_that_the_code_uses(grown: sa.Engine) -> None:
    with grown.connect() as connection:
        options: dict[str, Any] = {"include_object": ours, "compare_type": True}
        found = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    assert found == []


def test_a_new_store_has_what_the_migrations_make(settings: Settings, grown: sa.Engine) -> None:
    by_scripts = described(grown)
    with transaction(grown) as connection:
        metadata.drop_all(connection)
        connection.execute(sa.text("DROP TABLE alembic_version"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_create", CREATE)
        migrate(grown)

    assert described(grown) == by_scripts
    assert len(by_scripts) == len(metadata.tables) + 1


def described(engine: sa.Engine) -> dict[str, Any]:
    """All that can be told of the tables; what has no order is sorted."""
    with engine.connect() as connection:
        look = sa.inspect(connection)
        kinds: tuple[Callable[[str], Any], ...] = (
            *[look.get_columns, look.get_indexes, look.get_unique_constraints],
            *[look.get_foreign_keys, look.get_check_constraints],
        )
        return {
            table: [plain(look.get_pk_constraint(table)), *[sorted(map(plain, kind(table))) for kind in kinds]]
            for table in look.get_table_names()
            # SQLite keeps the index of the search in tables.
            if not table.startswith(INDEX)
        }


def plain(found: Any) -> str:
    """Write down what an inspector found; of two conditions only the texts can be compared."""
    if isinstance(found, dict):
        return str({name: plain(value) for name, value in sorted(found.items())})
    return str(found)


def test_a_second_time_changes_nothing(store: sa.Engine) -> None:
    with transaction(store) as connection:
        connection.execute(workers.insert().values(id="a", kind="worker", started_at=0.0, beat=0.0))

    migrate(store)

    with reading(store) as connection:
        assert connection.execute(sa.select(workers.c.id)).scalar_one() == "a"


def test_many_at_once(settings: Settings) -> None:
    errors: list[BaseException] = []
    barrier = threading.Barrier(6)

    def run() -> None:
        try:
            engine = open_engine(settings.db)
            barrier.wait()
            migrate(engine)
            engine.dispose()
        except BaseException as problem:  # noqa: BLE001
            errors.append(problem)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []


def test_tables_of_a_newer_version_are_left_alone(store: sa.Engine) -> None:
    with transaction(store) as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(StoreUnavailable, match="newer pauseflow_nb"):
        migrate(store)


@pytest.fixture
def as_a_user(postgresql_url: str) -> Iterator[Callable[..., sa.Engine]]:
    """Prepares an empty PostgreSQL database, and opens it as a user who may only do what that grants."""
    engines = [sa.create_engine(postgresql_url, isolation_level="AUTOCOMMIT")]

    def open_as_user(*statements: str) -> sa.Engine:
        url = sa.make_url(postgresql_url)
        user = f"user_of_{url.database}"
        with engines[0].connect() as connection:
            connection.exec_driver_sql(f"CREATE ROLE {user} LOGIN")
            for statement in statements:
                connection.exec_driver_sql(statement.format(user=user, database=url.database))
        engines.append(open_engine(url.set(username=user).render_as_string(hide_password=False)))
        return engines[-1]

    yield open_as_user
    for engine in engines:
        engine.dispose()


OWN_SCHEMAS = [f"CREATE SCHEMA {name} AUTHORIZATION {{user}}" for name in ("pauseflow", "pauseflow_dbos")]


@pytest.mark.postgresql
def test_a_user_who_may_create_nothing_in_the_database_uses_the_schemas_that_an_administrator_made(
    as_a_user: Callable[..., sa.Engine],
) -> None:
    engine = as_a_user(*OWN_SCHEMAS)
    migrate(engine)
    migrate_jobs(engine)

    assert described(engine).keys() >= metadata.tables.keys()
    assert not has_index(engine)


@pytest.mark.postgresql
def test_a_user_who_may_not_create_the_schema_is_told_what_to_do(as_a_user: Callable[..., sa.Engine]) -> None:
    with pytest.raises(StoreUnavailable, match="create the schemas pauseflow and pauseflow_dbos"):
        migrate(as_a_user())


@pytest.mark.postgresql
@pytest.mark.parametrize("schema", ["public", '"Own Extensions"'])
def test_the_index_of_the_search_uses_pg_trgm_in_whatever_schema_it_is(
    as_a_user: Callable[..., sa.Engine], schema: str
) -> None:
    made = [f"CREATE SCHEMA IF NOT EXISTS {schema}", f"CREATE EXTENSION pg_trgm SCHEMA {schema}"]
    engine = as_a_user(*OWN_SCHEMAS, *made, f"GRANT USAGE ON SCHEMA {schema} TO {{user}}")
    migrate(engine)

    assert has_index(engine)


def has_index(engine: sa.Engine) -> bool:
    with reading(engine) as connection:
        names = {each["name"] for each in sa.inspect(connection).get_indexes("executions", schema="pauseflow")}
    return INDEX in names
