"""Schemas of answers, and who may give them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("suspensions") as table:
        for name in ("schema", "errors", "rules", "given"):
            table.add_column(sa.Column(name, sa.JSON(none_as_null=True), nullable=True))
