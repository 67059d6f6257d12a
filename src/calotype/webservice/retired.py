"""Members of classes of the retired SDK that have no meaning here."""

from __future__ import annotations

from typing import Any, NoReturn, Self, overload

from calotype.webservice import unsupported


class Retired:
    """A method or property that says, when somebody uses it, why it is not here.

    Args:
        row: of the table of `unsupported`; `Class.member` when left out.
    """

    def __init__(self, row: str = "") -> None:
        self._row = row
        self._name = self._used = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name, self._used = name, f"{owner.__name__}.{name}"

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> NoReturn: ...

    def __get__(self, instance: object, owner: type) -> Self:
        """Refuse to give it of an object; of the class, give what refuses when it is called."""
        if instance is not None:
            unsupported.refuse(self._row or self._used, used=f"{owner.__name__}.{self._name}")
        return self

    def __call__(self, *_args: Any, **_named: Any) -> NoReturn:
        """Refuse.

        Raises:
            WebserviceException: always (2006).
        """
        unsupported.refuse(self._row or self._used, used=self._used)
