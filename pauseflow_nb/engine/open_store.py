"""Open a store: its database, files and queue of jobs, as the functions of the engine need it."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self, TypeVar

import sqlalchemy as sa

from pauseflow_nb.engine.jobs import Jobs
from pauseflow_nb.errors import NoStore, NotebookGone, StoreUnavailable
from pauseflow_nb.forms.check_process import default_checker
from pauseflow_nb.links import Claim, Signer
from pauseflow_nb.protocol import Links
from pauseflow_nb.settings import Settings
from pauseflow_nb.store import keys, workers
from pauseflow_nb.store.database import find_missing_file, is_conflict, open_engine, reading, transaction
from pauseflow_nb.store.executions import Row
from pauseflow_nb.store.files import Files
from pauseflow_nb.store.migrate import migrate

if TYPE_CHECKING:
    from pauseflow_nb.runner.document import Document

#: How often a change is repeated that PostgreSQL has rolled back because of concurrent changes.
_MOST_CONFLICTS = 3
#: Reminders that are sent at once: a mail server may be slow.
_MOST_REMINDERS = 32

T = TypeVar("T")


class OpenStore:
    """The database and the files that the settings name; thread-safe."""

    def __init__(self, settings: Settings, engine: sa.Engine, *, base_url: str | None = None) -> None:
        """Use `open`."""
        self.settings = settings
        self.engine = engine
        self.files = Files(settings.storage)
        self.jobs = Jobs(engine)
        #: Checks answers; it starts its processes for the first one.
        self.checker = default_checker()
        #: Sends reminders; a process that ends waits for those that it has taken, because no other one sends them.
        self.reminders = ThreadPoolExecutor(_MOST_REMINDERS, "pauseflow-reminder")
        self._base_url = base_url
        keys.add_first(engine)

    @classmethod
    def open(cls, settings: Settings, *, base_url: str | None = None, creates: bool = True) -> Self:
        """Open the store that the settings name, and create or migrate its tables.

        Args:
            settings: Which store.
            base_url: Base of the links while no server of this store is alive and no `public_url` is set.
            creates: Create the SQLite file if there is none.

        Raises:
            NoStore: If there is no SQLite file, and none is created.
            StoreUnavailable: If the database is locked, missing or unusable.
        """
        if not creates and (missing := find_missing_file(settings.db)) is not None:
            raise NoStore(str(missing), settings.source("db") or settings.source("data_dir"))
        engine = open_engine(settings.db)
        migrate(engine)
        return cls(settings, engine, base_url=base_url)

    def close(self) -> None:
        """Wait for the reminders that are being sent, and close all connections."""
        self.reminders.shutdown()
        self.jobs.close()
        self.engine.dispose()

    def change(self, change: Callable[[sa.Connection], T]) -> T:
        """Call a change in a transaction that may queue jobs; it may be called several times, and is committed once."""

        def attempt() -> T:
            with transaction(self.engine) as connection:
                return change(connection)

        for _ in range(_MOST_CONFLICTS):
            try:
                return self.jobs.ready(attempt)
            except StoreUnavailable as problem:
                if not is_conflict(problem):
                    raise
        return self.jobs.ready(attempt)

    # Notebooks

    def read_document(self, execution: Row) -> "Document":
        """Read the notebook of an execution.

        Raises:
            NotebookGone: If its file was removed.
        """
        from pauseflow_nb.runner.document import Document  # lazily: most processes do not work with notebooks

        try:
            return Document.from_bytes(self.files.read(execution.document))
        except FileNotFoundError:
            raise self.explain_missing_notebook(execution) from None

    def require_document(self, execution: Row) -> None:
        """Check that an execution's notebook exists, without reading it.

        Raises:
            NotebookGone: If its file was removed.
        """
        if not self.files.exists(execution.document):
            raise self.explain_missing_notebook(execution)

    def explain_missing_notebook(self, execution: Row) -> NotebookGone:
        """Make the error for a notebook whose file was removed."""
        return NotebookGone(execution.id, execution.notebook, f"{self.files.url}/{execution.document}")

    # Links

    @property
    def signer(self) -> Signer:
        """Read the current keys, which other processes may have rotated."""
        with reading(self.engine) as connection:
            return keys.read_signer(connection)

    def base_url(self) -> str:
        """Return the URL that all links begin with, without a trailing slash.

        In order: the setting `public_url`; the address that JupyterHub gives this process; a server that is
        registered in the store and alive; this process's own listener; the configured port on this machine.
        """
        found = (
            self.settings.public_url
            or os.environ.get("JUPYTERHUB_PUBLIC_URL")
            or self.live_server_url()
            or self._base_url
            or f"http://127.0.0.1:{self.settings.port}"
        )
        return found.rstrip("/")

    def live_server_url(self) -> str | None:
        """Find the address at which a server of this store answers."""
        with reading(self.engine) as connection:
            found = [row.url for row in workers.list_alive(connection, "server") if row.url]
        return found[0] if found else None

    def link_maker(self) -> Callable[[Claim], Links]:
        """Return a function that makes links with the current base URL and key."""
        base, signer = self.base_url(), self.signer
        return lambda claim: signer.links(
            base, claim.execution, claim.segment, claim.step, claim.ordinal, revocations=claim.revocations
        )
