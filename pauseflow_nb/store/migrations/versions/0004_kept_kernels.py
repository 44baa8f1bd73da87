"""Executions that wait with their kernel, because it alone holds a variable."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("segments") as table:
        table.add_column(sa.Column("bound", sa.JSON(none_as_null=True), nullable=True))
