"""Environment variables that hold secrets, and who gets them.

A process that we start gets none of ours: keys are for the one program that was called with them.
The keeper, the front door and batch jobs open the database, whose password the environment may
hold; replicas, and the code of users that they run, do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

OURS: Final = frozenset(
    {
        "CALOTYPE_KEY",
        "CALOTYPE_MANAGEMENT_KEY",
        "CALOTYPE_NEW_KEY",
        "CALOTYPE_PRIMARY_KEY",
        "CALOTYPE_SECONDARY_KEY",
    }
)
"""Keys of services and of the workspace."""

OF_DATABASE: Final = frozenset({"PGPASSWORD", "PGSSLPASSWORD"})
"""What opens a PostgreSQL database."""


def for_ours(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for a process of ours that opens the workspace."""
    return {name: value for name, value in variables.items() if name not in OURS}


def for_scripts(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for a process that scores, or runs code of a user."""
    return {name: value for name, value in variables.items() if name not in OURS | OF_DATABASE}
