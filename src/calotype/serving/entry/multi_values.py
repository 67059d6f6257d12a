"""Names with several values, as the request and response objects of entry scripts show them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Generic, TypeVar, cast

Value = TypeVar("Value")

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class MultiValues(Mapping[str, Value], Generic[Value]):
    """Values by name; `[]` and `get` give the first one, `getlist` all."""

    def __init__(self, pairs: Iterable[tuple[str, Value]]) -> None:
        self._values: dict[str, list[Value]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> Value:
        return self._values[name][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._values!r})"

    def get(
        self, name: str, default: Any = None, type: Callable[[Value], Any] | None = None
    ) -> Any:
        """Return the first value, through `type` if given; `default` when that fails."""
        if name not in self._values:
            return default
        if type is None:
            return self[name]
        try:
            return type(self[name])
        except (ValueError, TypeError):
            return default

    def getlist(self, name: str) -> list[Value]:
        """Return all values of a name."""
        return list(self._values.get(name, ()))

    def lists(self) -> Iterator[tuple[str, list[Value]]]:
        """Go through names and all their values."""
        return iter(self._values.items())

    def to_dict(self, flat: bool = True) -> dict[str, Any]:
        """Return the first value of each name, or all of them."""
        return dict(self) if flat else {name: list(values) for name, values in self.lists()}


class HeaderLines(MutableMapping[str, str]):
    """Header lines in order, whose names may be written in any case."""

    def __init__(self, lines: Iterable[tuple[str, str]] = ()) -> None:
        self._lines: list[tuple[str, str]] = []
        for name, value in lines:
            self.add(name, value)

    def __getitem__(self, name: str) -> str:
        for key, value in self._lines:
            if key.lower() == name.lower():
                return value
        raise KeyError(name)

    def __setitem__(self, name: str, value: object) -> None:
        checked = _checked(name, value)
        self._lines = [line for line in self._lines if line[0].lower() != name.lower()]
        self._lines.append(checked)

    def __delitem__(self, name: str) -> None:
        self._lines = [line for line in self._lines if line[0].lower() != name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self._lines))

    def __len__(self) -> int:
        return len(dict.fromkeys(name.lower() for name, _ in self._lines))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and any(key.lower() == name.lower() for key, _ in self._lines)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._lines!r})"

    def add(self, name: str, value: object, **options: object) -> None:
        """Add a line beside those of the same name; options become `; name=value`."""
        further = "".join(f'; {key.replace("_", "-")}="{item}"' for key, item in options.items())
        self._lines.append(_checked(name, f"{value}{further}"))

    add_header = add

    def set(self, name: str, value: object) -> None:
        """Replace all lines of a name."""
        self[name] = value  # pyright: ignore[reportArgumentType]

    def remove(self, name: str) -> None:
        """Remove all lines of a name."""
        del self[name]

    def extend(self, lines: Mapping[str, object] | Iterable[tuple[str, object]]) -> None:
        """Add lines."""
        pairs = lines.items() if isinstance(lines, Mapping) else lines
        for name, value in cast("Iterable[tuple[str, object]]", pairs):
            self.add(name, value)

    def getlist(self, name: str) -> list[str]:
        """Return all values of a name."""
        return [value for key, value in self._lines if key.lower() == name.lower()]

    get_all = getlist

    def lines(self) -> list[tuple[str, str]]:
        """Return all lines, several of one name too."""
        return list(self._lines)


def _checked(name: str, value: object) -> tuple[str, str]:
    """Return a header line that cannot end early and begin another one."""
    text = str(value)
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a header")
    if "\r" in text or "\n" in text or "\0" in text:
        raise ValueError(f"the header {name} must not have line breaks")
    text.encode("latin-1")  # what HTTP can carry
    return name, text
