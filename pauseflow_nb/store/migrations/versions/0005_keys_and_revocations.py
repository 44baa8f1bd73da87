"""Keys that can be withdrawn and have a public half; links that can be revoked."""

import base64
import secrets

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("executions") as table:
        table.add_column(sa.Column("revocations", sa.Integer, nullable=False, server_default="0"))
    with op.batch_alter_table("keys") as table:
        table.add_column(sa.Column("private", sa.Text, nullable=True))
        table.add_column(sa.Column("created_by", sa.Text, nullable=True))
        table.add_column(sa.Column("withdrawn_at", sa.Float(53), nullable=True))
        table.add_column(sa.Column("withdrawn_by", sa.Text, nullable=True))
    keys = sa.table("keys", sa.column("id", sa.Integer), sa.column("private", sa.Text))
    for number in op.get_bind().execute(sa.select(keys.c.id)).scalars().all():
        private = base64.b64encode(secrets.token_bytes(32)).decode()
        op.execute(keys.update().where(keys.c.id == number).values(private=private))
    with op.batch_alter_table("keys") as table:
        table.alter_column("private", existing_type=sa.Text, nullable=False)
