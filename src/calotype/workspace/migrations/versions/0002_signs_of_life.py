"""Runs tell when they were last heard of; sizes may pass 2 GB; the audit log has an index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add a time to runs and an index to the audit log, and widen the sizes."""
    with op.batch_alter_table("runs") as runs:
        runs.add_column(
            sa.Column("updated_at", sa.DateTime(timezone=True), comment="Last sign of life.")
        )
    op.execute("UPDATE runs SET updated_at = coalesce(ended_at, started_at, created_at)")
    with op.batch_alter_table("runs") as runs:
        runs.alter_column(
            "updated_at",
            existing_type=sa.DateTime(timezone=True),
            existing_comment="Last sign of life.",
            nullable=False,
        )
    for table in ("datasets", "models"):
        with op.batch_alter_table(table) as registered:
            registered.alter_column(
                "bytes", existing_type=sa.Integer(), type_=sa.BigInteger(), existing_nullable=False
            )
    op.create_index("ix_audit_subject", "audit", ["subject"])
