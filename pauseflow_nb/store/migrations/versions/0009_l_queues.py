"""Which queue cells run in, and which queues a worker serves."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("executions", sa.Column("queues", sa.Text))
    op.add_column("workers", sa.Column("queues", sa.Text))
    op.add_column("workers", sa.Column("concurrency", sa.Integer))
    op.add_column("workers", sa.Column("version", sa.Text))
    op.add_column("workers", sa.Column("clock_ahead", sa.Float(53)))
