"""What the retired SDK had and what has no meaning on one's own machine: one table.

The code says it when somebody asks for such a thing, and the documentation prints it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Final, NoReturn

from calotype import errors
from calotype.webservice.exceptions import told_as
from calotype.webservice.unsupported_datasets import DATASETS
from calotype.webservice.unsupported_members import MEMBERS
from calotype.webservice.unsupported_names import NAMES
from calotype.webservice.unsupported_parameters import PARAMETERS, Unsupported

__all__ = [
    "UNSUPPORTED",
    "NoMeaningHere",
    "Unsupported",
    "ignore",
    "ignore_given",
    "ignore_retired",
    "refuse",
]


class NoMeaningHere(UserWarning):
    """Something was passed that changes nothing here."""


UNSUPPORTED: Final = {entry.name: entry for entry in (*PARAMETERS, *MEMBERS, *DATASETS, *NAMES)}


def ignore(*names: str, stacklevel: int = 2) -> None:
    """Warn that things change nothing here, or refuse them, as the table says.

    Raises:
        WebserviceException: the table says so (2006).
    """
    by_reason: dict[str, list[str]] = {}
    for name in names:
        entry = UNSUPPORTED[name]
        if entry.answer == "error":
            refuse(name)
        by_reason.setdefault(f"{entry.why} {entry.instead}".strip(), []).append(f"'{name}'")
    for reason, named in by_reason.items():
        verb = "changes" if len(named) == 1 else "change"
        text = f"{', '.join(named)} {verb} nothing here. {reason}"
        warnings.warn(text, NoMeaningHere, stacklevel=stacklevel + 1)


def ignore_given(*, stacklevel: int = 2, **values: object) -> None:
    """Warn about what was passed: each value that is not None."""
    given = (name for name, value in values.items() if value is not None)
    ignore(*given, stacklevel=stacklevel + 1)


def ignore_retired(
    given: Mapping[str, object], names: str, *, of: str, stacklevel: int = 2
) -> None:
    """Warn about keyword arguments that the retired SDK took; others are mistyped.

    Args:
        given: what a function got beside its own parameters.
        names: of those that it took, with spaces between.
        of: name of the function.
        stacklevel: as of warnings.

    Raises:
        TypeError: one is none of them, as for any unknown argument.
        WebserviceException: the table refuses one (2006).
    """
    known = names.split()
    for name in given:
        if name not in known:
            raise TypeError(f"{of}() got an unexpected keyword argument '{name}'")
    ignore_given(stacklevel=stacklevel + 1, **given)


def refuse(name: str, *, used: str = "") -> NoReturn:
    """Raise that `name` does not exist here, and what does the job.

    Args:
        name: in the table.
        used: what somebody wanted, when the table has the whole it is of.

    Raises:
        WebserviceException: always (2006).
    """
    entry = UNSUPPORTED[name]
    with told_as():
        why = because(name).removesuffix(".")
        raise errors.NotSupported(f"expected no '{used or name}': {why}", action=entry.instead)


def because(name: str) -> str:
    """Return why there is no such thing, as the end of a sentence."""
    why = UNSUPPORTED[name].why
    return why[0].lower() + why[1:]
