"""What a kernel could not bring back, which people are to see."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("segments") as table:
        table.add_column(sa.Column("losses", sa.JSON(none_as_null=True), nullable=True))
