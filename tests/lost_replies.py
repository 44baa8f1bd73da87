"""Let a database commit a transaction without anybody hearing of it, as when the connection breaks in that moment."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import sqlalchemy as sa


@contextmanager
def lose_reply(engine: sa.Engine, *, when: Callable[[], bool] = lambda: True) -> Iterator[list[bool]]:
    """Commit one transaction, and then raise what a driver raises whose connection has broken.

    Args:
        engine: The database.
        when: Called after each commit; whether it is this one.

    Yields:
        A list that is filled when it has happened.
    """
    commit, lost = engine.dialect.do_commit, list[bool]()

    def commit_and_lose(connection: Any) -> None:
        commit(connection)
        if not lost and when():
            lost.append(True)
            raise engine.dialect.loaded_dbapi.OperationalError("the connection was closed unexpectedly")

    with patch.object(engine.dialect, "do_commit", commit_and_lose):
        yield lost
