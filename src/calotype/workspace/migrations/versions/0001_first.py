"""The tables of the first version."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _described() -> list[sa.Column[Any]]:
    return [
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("properties", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(255), nullable=False),
    ]


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "facts",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_facts"),
        comment="Single values about the workspace: its name, id, front door, sealed management "
        "key.",
    )
    _registered()
    _services()
    op.create_table(
        "runs",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column(
            "subject",
            sa.String(255),
            nullable=False,
            comment="The service or pipeline it is of.",
        ),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("inputs", sa.JSON(), nullable=False),
        sa.Column("outputs", sa.JSON(), nullable=False),
        sa.Column("progress", sa.JSON(), nullable=False),
        sa.Column("error", sa.JSON()),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        *_described(),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
    )
    op.create_index("ix_runs_subject", "runs", ["subject"])
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("who", sa.String(255), nullable=False),
        sa.Column(
            "action", sa.String(64), nullable=False, comment="Such as service.regenerate_key."
        ),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False, comment="Never a secret."),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )


def _registered() -> None:
    op.create_table(
        "datasets",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column(
            "source", sa.JSON(), nullable=False, comment="Where its files are; see datasets.py."
        ),
        sa.Column("artifact", sa.String(64), comment="Digest of its tree when it was copied."),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        *_described(),
        sa.PrimaryKeyConstraint("id", name="pk_datasets"),
        sa.UniqueConstraint("name", "version", name="uq_datasets_name"),
    )
    op.create_table(
        "models",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("artifact", sa.String(64), nullable=False, comment="Digest of its tree."),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("framework", sa.String(32), nullable=False),
        sa.Column("framework_version", sa.String(64)),
        sa.Column("run_id", sa.String(64)),
        sa.Column("details", sa.JSON(), nullable=False, comment="Datasets, samples, resources."),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        *_described(),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.UniqueConstraint("name", "version", name="uq_models_name"),
    )
    op.create_table(
        "environments",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("definition", sa.JSON(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        *_described(),
        sa.PrimaryKeyConstraint("id", name="pk_environments"),
        sa.UniqueConstraint("name", "version", name="uq_environments_name"),
    )


def _services() -> None:
    op.create_table(
        "services",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("target", sa.String(16), nullable=False),
        sa.Column("is_endpoint", sa.Boolean(), nullable=False),
        sa.Column(
            "access", sa.JSON(), nullable=False, comment="AccessSettings: address, auth, TLS."
        ),
        sa.Column(
            "credentials",
            sa.LargeBinary(),
            nullable=False,
            comment="Sealed: keys, signing key.",
        ),
        sa.Column("desired", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("error", sa.JSON()),
        sa.Column("host", sa.String(255), nullable=False, comment="The machine that runs it."),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        *_described(),
        sa.PrimaryKeyConstraint("name", name="pk_services"),
    )
    op.create_table(
        "service_versions",
        sa.Column("service", sa.String(32), nullable=False),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("traffic_percent", sa.Integer(), nullable=False),
        sa.Column("mirror_percent", sa.Integer(), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("is_control", sa.Boolean(), nullable=False),
        sa.Column("wanted_revision", sa.Integer(), nullable=False),
        sa.Column("serving_revision", sa.Integer(), comment="The last one that became ready."),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("error", sa.JSON()),
        sa.Column(
            "rollout",
            sa.JSON(),
            nullable=False,
            comment="Rules and progress of a canary; else {}.",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["service"],
            ["services.name"],
            name="fk_service_versions_service_services",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("service", "name", name="pk_service_versions"),
    )
    op.create_table(
        "service_revisions",
        sa.Column("service", sa.String(32), nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("models", sa.JSON(), nullable=False, comment="List of name:version."),
        sa.Column(
            "inference",
            sa.JSON(),
            nullable=False,
            comment="Inference of services.py, or {}.",
        ),
        sa.Column("runtime", sa.JSON(), nullable=False, comment="RuntimeSettings."),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["service", "version"],
            ["service_versions.service", "service_versions.name"],
            name="fk_service_revisions_service_service_versions",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("service", "version", "number", name="pk_service_revisions"),
    )
