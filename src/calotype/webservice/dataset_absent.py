"""Methods of datasets that have no meaning here: they are there, and a call tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from calotype.webservice import unsupported
from calotype.webservice.unsupported_datasets import METHODS


class AbsentMethods:
    """What a dataset of the retired SDK could do and one of ours cannot."""

    @property
    def partition_keys(self) -> NoReturn:
        """Not here."""
        unsupported.refuse("partition_keys")


def _telling(row: str) -> Callable[..., NoReturn]:
    def tell(*_given: Any, **_named: Any) -> NoReturn:
        """Not here."""
        unsupported.refuse(row)

    return tell


for _entry in METHODS:
    setattr(AbsentMethods, _entry.name.partition(".")[2], staticmethod(_telling(_entry.name)))
