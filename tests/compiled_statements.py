"""Let all stores of a test process share compiled SQL: each test opens its own, and would compile every statement anew."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache

__all__ = ["share_compiled_statements"]

#: What of a dialect can make a difference to a compiled statement here; all else follows from the server, which is the same.
_FACTS = ("paramstyle", "_json_serializer", "_json_deserializer")


def share_compiled_statements() -> None:
    """From now on, each new engine of this process looks for statements that another of its kind has compiled."""
    compiled: LRUCache[Any, Any] = LRUCache(5000)
    sa.Engine._compiled_cache = property(lambda _: compiled, lambda _, _own: None)  # type: ignore[assignment]
    for dialect in (SQLiteDialect_pysqlite, PGDialect_psycopg):
        # Statements are found by dialect, too.
        dialect.__eq__ = _is_alike  # type: ignore[method-assign]
        dialect.__hash__ = lambda self: hash(type(self))  # type: ignore[method-assign]


def _is_alike(self: Any, other: object) -> bool:
    return type(self) is type(other) and all(getattr(self, fact) == getattr(other, fact) for fact in _FACTS)
