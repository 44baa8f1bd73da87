"""Store the keys that sign links, manifests and decisions, in the database, so that links survive upgrades.

Each key has two parts: a secret for what only this store verifies, and an Ed25519 pair for what anybody verifies.
The newest key signs, the older ones verify, and withdrawn ones are only recognised.
"""

import base64
import functools
import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from pauseflow_nb.errors import LinkWithdrawn, UnknownKey
from pauseflow_nb.links import Claim, Signer
from pauseflow_nb.store.audit import add_line
from pauseflow_nb.store.database import now, reading, transaction
from pauseflow_nb.store.executions import FINAL, Row
from pauseflow_nb.store.tables import callbacks, executions, keys, segments, steps

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_ALL = sa.select(keys).order_by(keys.c.id)
_WITHDRAWN = sa.select(keys.c.id).where(keys.c.withdrawn_at.is_not(None))


@dataclass(frozen=True)
class Key:
    """The public facts about a key."""

    number: int
    #: SHA-256 of the public half, in hexadecimal.
    fingerprint: str
    created_at: float
    #: `"user:NAME"`; None for the key that came with the store.
    created_by: str | None
    withdrawn_at: float | None
    withdrawn_by: str | None
    #: `"signs"`, `"verifies"` or `"withdrawn"`.
    state: str


def add_first(engine: sa.Engine) -> None:
    """Create the first key if there is none."""
    with reading(engine) as connection:
        if _all(connection):
            return
    with transaction(engine) as connection:
        if not _all(connection):
            # A fixed id: of two processes that start at the same time, the second waits for the first and finds its
            # key.
            try:
                with connection.begin_nested():
                    _add(connection, 1)
            except sa.exc.IntegrityError:
                pass


def read_signer(connection: sa.Connection) -> Signer:
    """Read the current keys.

    A transaction that stores something signed must lock its segment's row first: see `rotate`.
    """
    found = _all(connection)
    return _make_signer(
        tuple(key.secret for key in found), frozenset(key.id for key in found if key.withdrawn_at is not None)
    )


@functools.lru_cache(maxsize=4)
def _make_signer(secrets_of_keys: tuple[str, ...], withdrawn: frozenset[int]) -> Signer:
    return Signer(secrets_of_keys, withdrawn=withdrawn)


def list_keys(connection: sa.Connection) -> list[Key]:
    """Describe all keys, oldest first."""
    found = _all(connection)
    return [
        Key(
            number=key.id,
            fingerprint=_fingerprint(_public(key)),
            created_at=key.created_at,
            created_by=key.created_by,
            withdrawn_at=key.withdrawn_at,
            withdrawn_by=key.withdrawn_by,
            state=_state(key, found[-1]),
        )
        for key in found
    ]


def export_public_pem(connection: sa.Connection, number: int) -> str:
    """Export the public half of a key as PEM.

    Raises:
        UnknownKey: If there is no key with this number.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # lazily: few commands need it

    found = connection.execute(sa.select(keys).where(keys.c.id == number)).first()
    if found is None:
        raise UnknownKey(number)
    return _public(found).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def signing_key(connection: sa.Connection) -> "Ed25519PrivateKey":
    """Return the private half of the newest key, which signs decisions."""
    return _load_private(_all(connection)[-1])


def rotate(connection: sa.Connection, *, by: str, withdraw: bool = False) -> list[int]:
    """Add a key, which signs from now on.

    Args:
        connection: The transaction.
        by: Who requests it.
        withdraw: Whether to withdraw the older keys: their links are refused, early answers through them are
            dropped, and the current snapshots are signed again.

    Returns:
        The numbers of the withdrawn keys.
    """
    if connection.dialect.name == "postgresql":
        # Transactions that sign lock a row of this table: everything signed by old keys is committed when this is
        # granted.
        connection.execute(sa.text("LOCK TABLE segments IN EXCLUSIVE MODE"))
    before = read_signer(connection)
    found = _all(connection)
    _add(connection, found[-1].id + 1, by)
    if not withdraw:
        return []
    withdrawn = [key.id for key in found if key.withdrawn_at is None]
    connection.execute(
        keys.update().where(keys.c.id.in_(withdrawn)).values(withdrawn_at=now(connection), withdrawn_by=by)
    )
    after = read_signer(connection)
    for table in (segments, steps):
        _sign_again(connection, table, before, after)
    _withdraw_links(connection, executions.c.state.not_in(FINAL), by, "links withdrawn")
    return withdrawn


def revoke(connection: sa.Connection, execution: str, *, by: str) -> None:
    """Make all links of an execution made so far invalid."""
    where = executions.c.id == execution
    connection.execute(executions.update().where(where).values(revocations=executions.c.revocations + 1))
    _withdraw_links(connection, where, by, "links revoked")


def require_valid(connection: sa.Connection, claim: Claim) -> None:
    """Check that the link of a verified claim was not withdrawn since; claims without a link pass.

    Raises:
        LinkWithdrawn: If it was.
    """
    if claim.key is None:
        return
    is_withdrawn = sa.select(keys.c.withdrawn_at).where(keys.c.id == claim.key)
    revocations = sa.select(executions.c.revocations).where(executions.c.id == claim.execution)
    if connection.execute(is_withdrawn).scalar() is not None:
        raise LinkWithdrawn
    if connection.execute(revocations).scalar() not in (None, claim.revocations):
        raise LinkWithdrawn


def list_withdrawn(connection: sa.Connection) -> set[int]:
    """List the numbers of the withdrawn keys."""
    return set(connection.execute(_WITHDRAWN).scalars())


def _sign_again(connection: sa.Connection, table: sa.Table, before: Signer, after: Signer) -> None:
    """Sign the snapshots in one table again; an invalid signature stays invalid."""
    identity = list(table.primary_key)
    where = table.c.signature.is_not(None)
    for row in connection.execute(sa.select(*identity, table.c.digest, table.c.signature).where(where)).all():
        if before.is_manifest_signed(row.execution, row.digest, row.signature):
            is_it = [column == getattr(row, column.name) for column in identity]
            signature = after.sign_manifest(row.execution, row.digest)
            connection.execute(table.update().where(*is_it).values(signature=signature))


def _withdraw_links(connection: sa.Connection, which: sa.ColumnElement[bool], by: str, what: str) -> None:
    ids = list(connection.execute(sa.select(executions.c.id).where(which)).scalars())
    for execution in ids:
        early = (callbacks.c.execution == execution, callbacks.c.verdict.is_(None), callbacks.c.by == "link")
        dropped = connection.execute(callbacks.update().where(*early).values(verdict="void")).rowcount
        details: dict[str, Any] = {"dropped": dropped} if dropped else {}
        add_line(connection, execution, what, by, **details)


def _add(connection: sa.Connection, number: int, by: str | None = None) -> None:
    values = {"secret": secrets.token_urlsafe(32), "private": _new_private(), "created_at": now(connection)}
    connection.execute(keys.insert().values(id=number, created_by=by, **values))


def _new_private() -> str:
    """Make a private Ed25519 key: any 32 random bytes are one (RFC 8032)."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _all(connection: sa.Connection) -> list[Row]:
    return list(connection.execute(_ALL))


def _state(key: Row, newest: Row) -> str:
    if key.withdrawn_at is not None:
        return "withdrawn"
    return "signs" if key.id == newest.id else "verifies"


def _load_private(key: Row) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # lazily: few commands need it

    return Ed25519PrivateKey.from_private_bytes(base64.b64decode(key.private))


def _public(key: Row) -> "Ed25519PublicKey":
    return _load_private(key).public_key()


def _fingerprint(public: "Ed25519PublicKey") -> str:
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()
