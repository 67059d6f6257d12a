"""Environment variables of scripts: names in clear for everybody, values sealed by the key file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Self

from calotype import errors
from calotype.workspace.secrets import KeyFile

MASK: Final = "********"
"""Stands for every value where a document or a page is shown."""

VARIABLES: Final = "environment_variables"
_NAME_RULE: Final = re.compile(r"[A-Za-z_.-][A-Za-z0-9_.-]*")
_SEALED: Final = "sealed_variables"


class SealedVariables(Mapping[str, str]):
    """Variables whose values are opened when somebody asks for one.

    So whoever has no key file can still see what there is, and what it is called.

    Args:
        names: of the variables.
        token: their values, sealed.
        key_file: what sealed them.
    """

    def __init__(self, names: Iterable[str], token: str, key_file: KeyFile) -> None:
        self._names = tuple(names)
        self._token = token
        self._key_file = key_file
        self._values: dict[str, str] | None = None

    @classmethod
    def of(cls, variables: Mapping[str, str], key_file: KeyFile) -> Self:
        """Return variables sealed by that key file; as they are when they have been already.

        Raises:
            CorruptWorkspace: it is not the key file of the workspace.
        """
        if isinstance(variables, cls) and variables._key_file.path == key_file.path:
            return variables
        said = {name: str(value) for name, value in variables.items()}
        return cls(said, key_file.seal(said).decode(), key_file)

    def to_document(self) -> dict[str, Any]:
        """Return this as the database keeps it."""
        return {"names": list(self._names), "sealed": self._token}

    def __repr__(self) -> str:
        return repr(dict.fromkeys(self._names, MASK))

    def __getitem__(self, name: str) -> str:
        if name not in self._names:
            raise KeyError(name)
        if self._values is None:
            self._values = self._key_file.open(self._token.encode())
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def check_variables(variables: Mapping[str, str]) -> None:
    """Refuse what no process could be started with.

    Raises:
        UnparsableValue: it is no name of a variable, or its value has a NUL character, or is
            what stands for a value that is not shown.
    """
    for name in variables:
        if not _NAME_RULE.fullmatch(name):
            raise errors.UnparsableValue(
                "expected letters, digits, dots, dashes and underscores, and no digit first",
                where="the name of an environment variable",
                got=repr(name[:80]),
            )
    for name, value in variables.items():
        if "\0" in str(value):
            raise errors.UnparsableValue(
                "expected a value without NUL characters",
                where=f"environment variable '{name}'",
                got="one with some",
            )
        if value == MASK:  # of a document that was shown: the script would get the asterisks
            raise errors.UnparsableValue(
                "expected its value",
                where=f"environment variable '{name}'",
                got=f"{MASK}, which stands for a value that is not shown",
                action="Write the value itself, or name the registered environment.",
            )


def masked(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document of an environment as it may be shown."""
    shown = dict(document)
    if shown.get(VARIABLES):
        shown[VARIABLES] = dict.fromkeys(shown[VARIABLES], MASK)
    return shown


def sealed(document: Mapping[str, Any], key_file: KeyFile) -> dict[str, Any]:
    """Return the document of an environment as the database keeps it.

    Raises:
        CorruptWorkspace: it is not the key file of the workspace.
    """
    kept = {name: value for name, value in document.items() if name != VARIABLES}
    if variables := document.get(VARIABLES):
        kept[_SEALED] = SealedVariables.of(variables, key_file).to_document()
    return kept


def unsealed(kept: Mapping[str, Any], key_file: KeyFile) -> dict[str, Any]:
    """Return the document that the database keeps; rows of earlier builds have values in clear."""
    document = {name: value for name, value in kept.items() if name != _SEALED}
    if said := kept.get(_SEALED):
        document[VARIABLES] = SealedVariables(said["names"], said["sealed"], key_file)
    return document
