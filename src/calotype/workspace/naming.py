"""Names, versions and filters of what is registered: datasets, models, environments."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy
from sqlalchemy import Connection, Table

from calotype import errors
from calotype.workspace import tables

NAME_RULE: Final = "1 to 255 letters (a-z, A-Z), digits, dots, dashes and underscores"
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,255}")

Filters = Mapping[str, str] | Iterable[str | Sequence[str]]
"""What tags or properties must be there: a key, or a key with its value."""


@dataclass(frozen=True, slots=True)
class Reference:
    """`name` or `name:version`; without a version, the latest is meant."""

    name: str
    version: int | None = None

    @classmethod
    def parse(cls, text: str, *, kind: str) -> Reference:
        """Read a reference.

        Args:
            text: what was typed.
            kind: "model", "dataset" or "environment", for the message.

        Raises:
            UnparsableValue: the name or the version is none.
        """
        name, colon, version = text.partition(":")
        check_name(name, kind=kind)
        if not colon:
            return cls(name)
        if not version.isascii() or not version.isdigit() or not 1 <= int(version[:10]) < 1 << 31:
            raise errors.UnparsableValue(
                "expected name:version, with a version of 1 or more",
                where=f"{kind} '{text}'",
                got=f"version '{version}'",
                action="Leave the version out for the latest.",
            )
        return cls(name, int(version))

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}:{self.version}"


def is_name(text: str) -> bool:
    """Return whether something can be registered under this name."""
    return _NAME.fullmatch(text) is not None and text not in (".", "..")


def check_name(name: str, *, kind: str) -> None:
    """Refuse a name that breaks the rule.

    Raises:
        UnparsableValue: it does.
    """
    if not is_name(name):
        raise errors.UnparsableValue(
            f"expected {NAME_RULE}",
            where=f"name of a {kind}",
            got=f"'{name[:80]}'" if name else "nothing",
            action="Choose another name.",
        )


def next_version(connection: Connection, table: Table, name: str) -> int:
    """Return the version for a new row; ask inside the transaction that writes it.

    A version that was deleted is never given again: what once referred to it must not find
    something else.
    """
    newest = connection.execute(
        sqlalchemy.select(sqlalchemy.func.max(table.c.version)).where(table.c.name == name)
    ).scalar_one()
    return max(newest or 0, _highest_deleted(connection, table, name)) + 1


def note_deleted(connection: Connection, table: Table, name: str, version: int) -> None:
    """Remember that a version was given, in the transaction that deletes it."""
    if version <= _highest_deleted(connection, table, name):
        return
    fact = _deleted_fact(table, name)
    connection.execute(sqlalchemy.delete(tables.facts).where(tables.facts.c.name == fact))
    connection.execute(sqlalchemy.insert(tables.facts).values(name=fact, value=version))


def not_found(
    kind: str, reference: Reference, versions: Sequence[int], names: Iterable[str]
) -> errors.NotFound:
    """Return the error for something that nobody registered.

    Args:
        kind: of what is missing.
        reference: what was asked for.
        versions: those that there are of the name.
        names: all that there are of the kind, for a suggestion.
    """
    if versions:
        shown = ", ".join(str(version) for version in sorted(versions)[-5:])
        got = f"versions {shown}" if len(versions) < 6 else f"versions …, {shown}"
        return errors.NotFound(
            f"expected version {reference.version} of it",
            where=f"{kind} '{reference.name}'",
            got=got,
            action="Leave the version out for the latest.",
        )
    hint = errors.suggest(reference.name, names) or f"`calotype {kind} list` shows all."
    return errors.NotFound(
        f"expected a registered {kind}",
        where=f"{kind} '{reference}'",
        got="none of that name",
        action=hint,
    )


def matches(values: Mapping[str, str], wanted: Filters | None) -> bool:
    """Return whether tags or properties have all that is wanted.

    >>> matches({"area": "mnist"}, ["area"]), matches({"area": "mnist"}, [["area", "cars"]])
    (True, False)
    """
    return all(
        key in values and (not rest or values[key] == rest[0]) for key, *rest in pairs(wanted)
    )


def pairs(wanted: Filters | None) -> list[tuple[str, ...]]:
    """Return filters in one form: (key,) or (key, value).

    Raises:
        UnparsableValue: they have another form.
    """
    if wanted is None:
        return []
    if isinstance(wanted, Mapping):
        return [(str(key), str(value)) for key, value in wanted.items()]
    if isinstance(wanted, str):
        return [(wanted,)]
    if not isinstance(wanted, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance] - from callers
        raise _no_filter(wanted)
    return [_pair(one) for one in wanted]


def checked_texts(values: Mapping[str, Any] | None, *, what: str) -> dict[str, str]:
    """Return tags or properties as text by text.

    Raises:
        UnparsableValue: they are no mapping, or a key is empty.
    """
    if not isinstance(values, Mapping | None):  # pyright: ignore[reportUnnecessaryIsInstance] - from callers
        raise errors.UnparsableValue(
            "expected names with their values",
            where=what,
            got=repr(values)[:80],
            action='Write them as {"name": "value"}.',
        )
    made = {str(key): str(value) for key, value in (values or {}).items()}
    if "" in made:
        raise errors.UnparsableValue(
            "expected a key", where=what, got="an empty one", action="Write them as key=value."
        )
    return made


def tag_names(given: Iterable[str]) -> tuple[str, ...]:
    """Return names of tags; a text is one of them."""
    return (given,) if isinstance(given, str) else tuple(given)


def changed_tags(
    old: Mapping[str, str],
    *,
    tags: Mapping[str, Any] | None = None,
    add: Mapping[str, Any] | None = None,
    remove: Iterable[str] = (),
) -> dict[str, str]:
    """Return tags as they become; some go before others are added.

    >>> changed_tags({"a": "1", "b": "2"}, add={"a": 3}, remove=["a", "b"])
    {'a': '3'}

    Args:
        old: those that are there.
        tags: take their place.
        add: are added, or change those of the same names.
        remove: names of those that go.

    Raises:
        UnparsableValue: some are none.
    """
    gone = set(tag_names(remove))
    kept = old if tags is None else checked_texts(tags, what="tags")
    left = {name: value for name, value in kept.items() if name not in gone}
    return left | checked_texts(add, what="tags")


def added_properties(
    old: Mapping[str, str], more: Mapping[str, Any] | None, *, where: str
) -> dict[str, str]:
    """Return properties and more of them.

    >>> added_properties({"a": "1"}, {"b": 2}, where="model 'm:1'")
    {'a': '1', 'b': '2'}

    Args:
        old: those that are there; they stay as they are.
        more: are added.
        where: whose they are.

    Raises:
        UnparsableValue: some are none.
        NotSupported: one of those that are there would be changed (2006).
    """
    added = checked_texts(more, what="properties")
    for name, value in added.items():
        if old.get(name, value) != value:
            raise errors.NotSupported(
                "expected properties to be added only",
                where=f"property '{name}' of {where}",
                got=f"another value than '{old[name]}'",
                action="Use a tag for what changes.",
            )
    return {**old, **added}


def _pair(given: Any) -> tuple[str, ...]:
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, list | tuple):
        raise _no_filter(given)
    parts = tuple(str(one) for one in given)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if len(parts) not in (1, 2):
        raise _no_filter(given)
    return parts


def _no_filter(given: object) -> errors.UnparsableValue:
    return errors.UnparsableValue(
        "expected a key, or a key with its value",
        where="tags or properties to look for",
        got=repr(given)[:80],
        action='Write them as ["key", ["key", "value"]], or {"key": "value"}.',
    )


def _highest_deleted(connection: Connection, table: Table, name: str) -> int:
    fact = tables.facts.c
    query = sqlalchemy.select(fact.value).where(fact.name == _deleted_fact(table, name))
    return connection.execute(query).scalar_one_or_none() or 0


def _deleted_fact(table: Table, name: str) -> str:
    # Names may be four times as long as those of facts.
    return f"deleted:{table.name}:{hashlib.sha256(name.encode()).hexdigest()[:32]}"
