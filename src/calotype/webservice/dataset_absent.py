"""Methods of datasets that have no meaning here: they are found, and a call tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NoReturn

from calotype.webservice import unsupported
from calotype.webservice.retired import Retired
from calotype.webservice.unsupported_datasets import METHODS

_ROWS: Final = {entry.name.partition(".")[2]: entry.name for entry in METHODS}


def _telling(owner: type, name: str) -> Callable[..., NoReturn]:
    if name not in _ROWS:
        raise AttributeError(f"'{owner.__name__}' has no attribute '{name}'")

    def tell(*_given: Any, **_named: Any) -> NoReturn:
        unsupported.refuse(_ROWS[name])

    return tell


class _WithAbsentMethods(type):
    if not TYPE_CHECKING:  # or every name would pass

        def __getattr__(cls, name: str) -> Callable[..., NoReturn]:
            return _telling(cls, name)


class AbsentMethods(metaclass=_WithAbsentMethods):
    """What a dataset of the retired SDK could do and one of ours cannot."""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Callable[..., NoReturn]:
            return _telling(type(self), name)

    partition_keys = Retired("partition_keys")
