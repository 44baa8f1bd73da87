"""The cells that records are about, apart from the records, so that to settle an answer writes little."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cell_lists",
        sa.Column("execution", sa.String(40), sa.ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("cells", sa.LargeBinary, nullable=False),
        sa.Column("subjects", sa.LargeBinary, nullable=False),
    )
    op.add_column("decisions", sa.Column("digest", sa.String(64)))
    op.add_column("decisions", sa.Column("cells", sa.String(64)))
