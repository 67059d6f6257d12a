"""What is wrong with parameters in the words of whoever wrote them: keys of a file, or options.

The rules know parameters by their names in Python, which is what a caller of the SDK has written.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Generator, Iterator, Mapping
from typing import Any, Final

from calotype import errors
from calotype.webservice.deployment_parameters import BY_KEY, BY_NAME, PARAMETERS

Words = Mapping[str, str]
"""By the name of a parameter in Python: how the reader knows it."""

# One word alone is a name only where a clause begins: "port" and "workers" may be plain words.
_NAMES: Final = re.compile(r"\b[a-z]\w*_\w+|^[a-z]\w*")
_FLAG_VALUE: Final = re.compile(r"=?\b(True|False)\b")
_FIELDS: Final = {
    field: parameter.name
    for parameter in PARAMETERS
    for field in (parameter.runtime, parameter.access)
    if field
}


def flat(document: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Give keys with dots and their values; null is as good as nothing.

    Dictionaries that are values stay whole.
    """
    for name, value in document.items():
        key = f"{above}{name}"
        if isinstance(value, dict) and key not in BY_KEY:
            yield from flat(value, f"{key}.")  # pyright: ignore[reportUnknownArgumentType]
        elif value is not None:
            yield key, value


def keys_of(document: Mapping[str, Any]) -> Words:
    """Return the keys of all parameters: as the document has them, else as it should."""
    written = {BY_KEY[key].name: key for key, _ in flat(document) if key in BY_KEY}
    return {name: parameter.key for name, parameter in BY_NAME.items()} | written


def words_of(document: Mapping[str, Any], values: Mapping[str, Any], options: Words) -> Words:
    """Return how parameters are called that a file and options give together.

    Args:
        document: the file's; what nobody has given would belong there, unless it says nothing.
        values: what options gave, by parameter.
        options: flags of all parameters that have some.
    """
    if document.keys() <= {"computeType"}:
        return {**keys_of({}), **options}
    return {**keys_of(document), **{name: options[name] for name in values if name in options}}


def as_written(clause: str, words: Words) -> str:
    """Return a clause with the reader's words for parameters and flags."""
    told = _NAMES.sub(lambda found: words.get(found[0], found[0]), clause)
    return _FLAG_VALUE.sub(
        lambda found: (" " if found[0][0] == "=" else "") + found[1].lower(), told
    )


def hint(key: str) -> str:
    """Return what was probably meant by a key that no document has; nothing when nobody knows."""
    last = key.rpartition(".")[2]
    meant = [
        parameter.key
        for parameter in PARAMETERS
        if last in (parameter.name, parameter.key.rpartition(".")[2])
    ]
    return f"Did you mean '{meant[0]}'?" if len(meant) == 1 else errors.suggest(key, BY_KEY)


@contextlib.contextmanager
def told_in(words: Words, *, where: str = "") -> Generator[None]:
    """Name a parameter as the reader does when the workspace refuses its value."""
    try:
        yield
    except errors.ParameterError as error:
        found = re.fullmatch(r"parameter '(\w+)'", error.where)
        if found is not None and found[1] in _FIELDS:
            name = words.get(_FIELDS[found[1]], found[1])
            error.where = f"{where}: {name}" if where else name
        raise
