"""Checkpoints of every step, nested executions, answers to a kernel that waits, reminders."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("steps") as table:
        table.add_column(sa.Column("snapshot", sa.Text(), nullable=True))
        table.add_column(sa.Column("digest", sa.Text(), nullable=True))
        table.add_column(sa.Column("signature", sa.Text(), nullable=True))
    with op.batch_alter_table("executions") as table:
        table.add_column(sa.Column("nested", sa.JSON(none_as_null=True), nullable=True))
        table.add_column(sa.Column("suspend_by", sa.Text(), nullable=True))
    op.create_index(
        "executions_of_a_parent",
        "executions",
        ["parent"],
        unique=False,
        sqlite_where=sa.text("parent IS NOT NULL"),
        postgresql_where=sa.text("parent IS NOT NULL"),
    )
    with op.batch_alter_table("suspensions") as table:
        table.add_column(sa.Column("envelope", sa.JSON(none_as_null=True), nullable=True))
        table.add_column(sa.Column("notice", sa.JSON(none_as_null=True), nullable=True))
        table.add_column(sa.Column("remind_at", sa.Float(precision=53), nullable=True))
    op.create_index(
        "suspensions_to_remind",
        "suspensions",
        ["remind_at"],
        unique=False,
        sqlite_where=sa.text("state = 'open' AND remind_at IS NOT NULL"),
        postgresql_where=sa.text("state = 'open' AND remind_at IS NOT NULL"),
    )
