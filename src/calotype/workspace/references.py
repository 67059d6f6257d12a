"""Which artifacts the records of a workspace need."""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy
from sqlalchemy import JSON, Integer, String

from calotype.workspace import tables

if TYPE_CHECKING:
    from calotype.workspace.database import Database

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
# Under these names stands the digest of a tree, in columns and in JSON of any depth.
_NAMES: Final = frozenset({"artifact"})
_READ: Final = (JSON, String, Integer)
_SOURCE: Final = ("service_revisions", "inference", "source")


@dataclass(frozen=True, slots=True)
class References:
    """What the records say.

    Attributes:
        trees: digest of each tree that must be there: what needs it.
        others: what else looks like a digest; kept when there is a blob of that name, as deleting
            too little costs room only.
    """

    trees: dict[str, str]
    others: frozenset[str]


def read(database: Database) -> References:
    """Return what all records of a workspace refer to, at one moment."""
    trees: dict[str, str] = {}
    others: set[str] = set()
    with database.reading() as connection:
        for table in tables.metadata.sorted_tables:
            if table is tables.audit:  # what it tells of may be gone
                continue
            columns = [item for item in table.c if isinstance(item.type, _READ)]
            for row in connection.execute(sqlalchemy.select(*columns)).mappings():
                for name, digest in _digests(table.name, dict(row)):
                    if name:
                        trees.setdefault(digest, _title(table.name, dict(row)))
                    else:
                        others.add(digest)
    return References(trees, frozenset(others - trees.keys()))


def _digests(table: str, row: dict[str, Any]) -> Generator[tuple[bool, str]]:
    """Give each digest in a row, and whether it must be that of a tree."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((table,), row)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [((*path, str(key)), item) for key, item in value.items()]
        elif isinstance(value, list):
            waiting += [(path, item) for item in value]
        elif isinstance(value, str) and _DIGEST.fullmatch(value):
            yield path[-1] in _NAMES or path == _SOURCE, value


def _title(table: str, row: dict[str, Any]) -> str:
    kind = table.replace("_", " ").removesuffix("s")
    names = [row.get("service"), row.get("name", row.get("id")), row.get("version")]
    return f"{kind} '{':'.join(str(name) for name in names if name is not None)}'"
