"""Create or upgrade the tables of a database; several processes may try at the same time."""

from pathlib import Path

import sqlalchemy as sa

from pauseflow_nb.errors import StoreUnavailable
from pauseflow_nb.store.database import SCHEMA, describe_database, reading, transaction
from pauseflow_nb.store.search import create_index
from pauseflow_nb.store.tables import metadata

#: The newest migration. It is named here so that an up-to-date database needs only one query.
HEAD = "0011"
#: Every migration, oldest first.
VERSIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011")

_versions = sa.Table(
    "alembic_version",
    sa.MetaData(),
    sa.Column("version_num", sa.String(32)),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)

# Any number, the same in all processes: the one that holds this lock migrates.
_LOCK = 7287_1


def migrate(engine: sa.Engine) -> None:
    """Create or update the tables.

    Raises:
        StoreUnavailable: If the tables were made by a newer version than this, or the database is unusable.
    """
    with reading(engine) as connection:
        found = _version(connection)
    if found == HEAD:
        return
    if found is not None and found not in VERSIONS:
        raise StoreUnavailable(
            describe_database(engine),
            f"a newer pauseflow_nb made its tables (version {found}): upgrade this one with pip",
        )
    with transaction(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            _create_schema(connection)
        found = _version(connection)
        if found is None:
            _create(connection)
        elif found != HEAD:
            _upgrade(connection)


def _create_schema(connection: sa.Connection) -> None:
    # Not IF NOT EXISTS: a user who may create no schema is refused although it is there.
    if not sa.inspect(connection).has_schema(SCHEMA):
        try:
            connection.exec_driver_sql(f"CREATE SCHEMA {SCHEMA}")
        except sa.exc.ProgrammingError as problem:
            raise StoreUnavailable(
                describe_database(connection.engine),
                f"{problem.orig}: grant CREATE on the database to its user, or create the schemas {SCHEMA} and "
                f"{SCHEMA}_dbos AUTHORIZATION that user",
            ) from problem


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version", schema=_schema(connection)):
        return None
    return connection.execute(sa.select(_versions.c.version_num)).scalar()


def _schema(connection: sa.Connection) -> str | None:
    return SCHEMA if connection.dialect.name == "postgresql" else None


def _create(connection: sa.Connection) -> None:
    # The same as the result of all scripts, without loading Alembic: a test compares the two.
    metadata.create_all(connection, checkfirst=False)
    create_index(connection)
    _versions.create(connection)
    connection.execute(_versions.insert().values(version_num=HEAD))


def _upgrade(connection: sa.Connection) -> None:
    # Lazily: it takes 0.2 s to load.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    # Not "head": the code needs HEAD, and a test compares the two.
    command.upgrade(config, HEAD)
