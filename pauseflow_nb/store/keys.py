"""The keys that sign links and manifests. They lie beside the executions, so that links outlive every upgrade."""

import secrets

import sqlalchemy as sa

from pauseflow_nb.store.database import now, reading, transaction
from pauseflow_nb.store.tables import keys

__all__ = ["rotate", "secrets_of"]


def secrets_of(engine: sa.Engine) -> list[str]:
    """Read all keys, oldest first; make the first one if there is none."""
    with reading(engine) as connection:
        found = _all(connection)
    if found:
        return found
    with transaction(engine) as connection:
        if not _all(connection):
            # A fixed id: of two processes that begin at once, the second waits for the first and then finds it.
            try:
                with connection.begin_nested():
                    _add(connection, 1)
            except sa.exc.IntegrityError:
                pass
        return _all(connection)


def rotate(connection: sa.Connection) -> None:
    """Sign with a new key from now on; what older ones signed stays valid."""
    newest = connection.execute(sa.select(sa.func.max(keys.c.id))).scalar() or 0
    _add(connection, newest + 1)


def _add(connection: sa.Connection, number: int) -> None:
    secret = secrets.token_urlsafe(32)
    connection.execute(keys.insert().values(id=number, secret=secret, created_at=now(connection)))


def _all(connection: sa.Connection) -> list[str]:
    return list(connection.execute(sa.select(keys.c.secret).order_by(keys.c.id)).scalars())
