"""What was shown to the person who decides, and the signed records of decisions."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("suspensions") as table:
        table.add_column(sa.Column("shown", sa.JSON(none_as_null=True), nullable=True))
    op.create_table(
        "decisions",
        sa.Column("execution", sa.String(40), sa.ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.Column("envelope", sa.JSON(none_as_null=True), nullable=False),
    )
