"""The tables of a workspace. `migrations` brings older databases to this state."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

# Named, so that later migrations can drop them on every database.
metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _described() -> list[Column[Any]]:
    """Return the columns that everything registered has."""
    return [
        Column("description", Text, nullable=False, default=""),
        Column("tags", JSON, nullable=False),
        Column("properties", JSON, nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False),
        Column("created_by", String(255), nullable=False),
    ]


facts = Table(
    "facts",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", JSON, nullable=False),
    comment="Single values about the workspace: its name, id, front door, sealed management key.",
)

datasets = Table(
    "datasets",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(255), nullable=False),
    Column("version", Integer, nullable=False),
    Column("source", JSON, nullable=False, comment="Where its files are; see datasets.py."),
    Column("artifact", String(64), comment="Digest of its tree when it was copied."),
    Column("files", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    *_described(),
    UniqueConstraint("name", "version"),
)

models = Table(
    "models",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(255), nullable=False),
    Column("version", Integer, nullable=False),
    Column("artifact", String(64), nullable=False, comment="Digest of its tree."),
    Column("bytes", BigInteger, nullable=False),
    Column("framework", String(32), nullable=False),
    Column("framework_version", String(64)),
    Column("run_id", String(64)),
    Column("details", JSON, nullable=False, comment="Datasets, samples, resources."),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    *_described(),
    UniqueConstraint("name", "version"),
)

environments = Table(
    "environments",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(255), nullable=False),
    Column("version", Integer, nullable=False),
    Column("definition", JSON, nullable=False),
    Column("labels", JSON, nullable=False),
    *_described(),
    UniqueConstraint("name", "version"),
)

services = Table(
    "services",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("target", String(16), nullable=False),
    Column("is_endpoint", Boolean, nullable=False, default=False),
    Column("access", JSON, nullable=False, comment="AccessSettings: address, auth, TLS."),
    Column("credentials", LargeBinary, nullable=False, comment="Sealed: keys, signing key."),
    Column("desired", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("error", JSON),
    Column("host", String(255), nullable=False, comment="The machine that runs it."),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    *_described(),
)

service_versions = Table(
    "service_versions",
    metadata,
    Column("service", ForeignKey("services.name", ondelete="CASCADE"), primary_key=True),
    Column("name", String(32), primary_key=True),
    Column("traffic_percent", Integer, nullable=False),
    Column("mirror_percent", Integer, nullable=False, default=0),
    Column("is_default", Boolean, nullable=False),
    Column("is_control", Boolean, nullable=False),
    Column("wanted_revision", Integer, nullable=False),
    Column("serving_revision", Integer, comment="The last one that became ready."),
    Column("state", String(16), nullable=False),
    Column("error", JSON),
    Column("rollout", JSON, nullable=False, comment="Rules and progress of a canary; else {}."),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
)

service_revisions = Table(
    "service_revisions",
    metadata,
    Column("service", String(32), primary_key=True),
    Column("version", String(32), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("models", JSON, nullable=False, comment="List of name:version."),
    Column("inference", JSON, nullable=False, comment="Inference of services.py, or {}."),
    Column("runtime", JSON, nullable=False, comment="RuntimeSettings."),
    Column("created_at", DateTime(timezone=True), nullable=False),
    ForeignKeyConstraint(
        ["service", "version"],
        ["service_versions.service", "service_versions.name"],
        ondelete="CASCADE",
    ),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("subject", String(255), nullable=False, comment="The service or pipeline it is of."),
    Column("state", String(16), nullable=False),
    Column("inputs", JSON, nullable=False),
    Column("outputs", JSON, nullable=False),
    Column("progress", JSON, nullable=False),
    Column("error", JSON),
    Column("host", String(255), nullable=False),
    Column("started_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True), nullable=False, comment="Last sign of life."),
    *_described(),
    Index("ix_runs_subject", "subject"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("who", String(255), nullable=False),
    Column("action", String(64), nullable=False, comment="Such as service.regenerate_key."),
    Column("subject", String(255), nullable=False),
    Column("details", JSON, nullable=False, comment="Never a secret."),
    Index("ix_audit_subject", "subject"),
)
