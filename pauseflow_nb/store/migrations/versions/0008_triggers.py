"""What starts executions: triggers, and what they started."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True)
_DUE = sa.text("state = 'active' AND next_at IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "triggers",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("notebook", sa.Text, nullable=False),
        sa.Column("cwd", sa.Text, nullable=False),
        sa.Column("parameters", _JSON, nullable=False),
        sa.Column("options", _JSON, nullable=False),
        sa.Column("schedule", _JSON),
        sa.Column("missed", sa.String(12)),
        sa.Column("overlap", sa.String(12)),
        sa.Column("next_at", sa.Float(53)),
        sa.Column("held_since", sa.Float(53)),
        sa.Column("last", _JSON),
        sa.Column("rotations", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
    )
    op.create_index("triggers_due", "triggers", ["next_at"], sqlite_where=_DUE, postgresql_where=_DUE)
    op.create_table(
        "starts",
        sa.Column("execution", sa.String(40), sa.ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("trigger", sa.String(40), nullable=False),
        sa.Column("key", sa.String(300)),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("event", _JSON),
        sa.Column("response", _JSON),
    )
    op.create_index("starts_of_a_trigger", "starts", ["trigger"])
    op.create_index("one_start_for_a_key", "starts", ["trigger", "key"], unique=True)
