"""Alembic's entrance. The connection comes from `store/migrate.py`, inside a transaction that holds the lock."""

from alembic import context

from pauseflow_nb.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,  # the transaction is the caller's
    render_as_batch=True,  # SQLite cannot alter most of a table
)
context.run_migrations()
