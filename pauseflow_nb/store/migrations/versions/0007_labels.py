"""The author's words on the buttons under a question."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("suspensions") as table:
        table.add_column(sa.Column("labels", sa.JSON(none_as_null=True), nullable=True))
