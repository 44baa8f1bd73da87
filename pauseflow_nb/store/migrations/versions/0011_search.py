"""An index of trigrams, so that a search does not read every execution."""

from alembic import op

from pauseflow_nb.store.search import create_index

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Not written out: it holds nothing that is not in the table, and the database may be unable to have it.
    create_index(op.get_bind())
