"""Patterns of `.gitignore` and `.amlignore`: what of a source directory stays at home."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: re.Pattern[str]
    is_exception: bool
    for_folders: bool


class IgnoreRules:
    """Decides as git does, for one file of patterns at the top of a folder.

    Args:
        lines: of the file.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._rules = [rule for line in lines if (rule := _rule(line)) is not None]

    def ignores(self, path: str, *, is_folder: bool) -> bool:
        """Whether a path, relative and with slashes, is left out; the last rule that fits counts.

        What lies in an ignored folder is ignored with it: callers do not go into it.
        """
        verdict = False
        for rule in self._rules:
            if (is_folder or not rule.for_folders) and rule.pattern.fullmatch(path):
                verdict = not rule.is_exception
        return verdict


def _rule(line: str) -> _Rule | None:
    text = line.rstrip("\n")
    text = text if text.endswith("\\ ") else text.rstrip()
    if not text or text.startswith("#"):
        return None
    is_exception = text.startswith("!")
    text = text[1:] if is_exception else text
    text = text[1:] if text.startswith(("\\#", "\\!")) else text
    for_folders = text.endswith("/")
    text = text.rstrip("/")
    if not text:
        return None
    # With a slash in it, a pattern is about one place; without, about a name anywhere.
    expression = _expression(text.lstrip("/"))
    if "/" not in text:
        expression = f"(?:.*/)?{expression}"
    try:
        return _Rule(re.compile(expression, re.DOTALL), is_exception, for_folders)
    except re.error:  # a class of characters that git would not take either
        return None


def _expression(text: str) -> str:
    """Return the regular expression of one pattern.

    >>> _expression("logs/**/*.txt")
    'logs/(?:.*/)?[^/]*\\\\.txt'
    """
    made, place = "", 0
    while place < len(text):
        rest = text[place:]
        if rest.startswith("**/"):
            made, place = made + "(?:.*/)?", place + 3
        elif rest == "**":
            made, place = made + ".*", place + 2
        elif rest[0] == "*":
            made, place = made + "[^/]*", place + 1
        elif rest[0] == "?":
            made, place = made + "[^/]", place + 1
        elif rest[0] == "[" and "]" in rest[2:]:
            end = rest.index("]", 2)
            inner = rest[1:end].replace("\\", "\\\\")
            inner = "^" + inner[1:] if inner.startswith("!") else inner
            made, place = f"{made}[{inner}]", place + end + 1
        elif rest[0] == "\\" and len(rest) > 1:
            made, place = made + re.escape(rest[1]), place + 2
        else:
            made, place = made + re.escape(rest[0]), place + 1
    return made
