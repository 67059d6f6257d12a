"""How a JSON value is written in the source of a language: brackets, keys, strings, line breaks.

What comes from elsewhere (names, examples) reaches a source only through here. Characters that
cannot be seen, line separators and marks that turn the direction of text among them, are always
written as escapes: the source does what it looks like.
"""

from __future__ import annotations

import functools
import json
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_COLUMNS = 88
_SHORT = {"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"}


def quoted(text: str, *, is_ascii: bool = False) -> str:
    """Return `text` in double quotes, as JSON, JavaScript, Java, C# and Go (ASCII only) read it.

    Args:
        text: any text, halves of surrogate pairs included.
        is_ascii: write everything else as escapes too, for compilers that guess the encoding.

    >>> quoted('say "hi" 😀' + chr(0x2028))
    '"say \\\\"hi\\\\" 😀\\\\u2028"'
    """
    return _escaped(text, _utf_16, is_ascii=is_ascii)


def python_quoted(text: str) -> str:
    """Return `text` in double quotes, as Python reads it: there a pair of escapes stays two."""
    return _escaped(text, _code_point, is_ascii=False)


def m_quoted(text: str) -> str:
    """Return `text` in double quotes, as Power Query reads it.

    >>> m_quoted('5" #(tab)')
    '"5"" #(#)(tab)"'
    """
    written = text.replace("#(", "#(#)(").replace('"', '""')
    return '"' + "".join(c if c.isprintable() else f"#({ord(c):08X})" for c in written) + '"'


def m_field(name: str) -> str:
    """Return the name of a field or column as Power Query reads it."""
    is_plain = re.fullmatch(r"[A-Z][A-Za-z0-9]*", name)
    return name if is_plain else f"#{m_quoted(name)}"


def javascript_key(name: str) -> str:
    """Return the key of a property; in brackets where a plain one would set the prototype."""
    if name == "__proto__":
        return '["__proto__"]: '
    return f"{name if re.fullmatch('[A-Za-z_][A-Za-z0-9_]*', name) else quoted(name)}: "


def comment(text: str) -> str:
    """Return `text` so that no comment of any language ends in it, or means something.

    Java reads `\\u000a` as the end of a line even in a comment.
    """
    visible = "".join(c if c.isprintable() else " " for c in text)
    return visible.replace("\\", "/").replace('"', "'").replace("*/", "* /")


@dataclass(frozen=True)
class Notation:
    """How a language writes the values of JSON.

    Attributes:
        string: writes a text.
        key: writes the key of an object with what stands between it and the value.
        words: of `null`, `true` and `false`.
        objects: the brackets of an object.
        lists: the brackets of a list.
        indent: spaces of one level.
        ends_with_comma: whether one stands after the last item when each has its own line.
    """

    string: Callable[[str], str] = quoted
    key: Callable[[str], str] = field(default=lambda name: f"{quoted(name)}: ")
    words: Mapping[bool | None, str] = field(
        default_factory=lambda: {None: "null", True: "true", False: "false"}
    )
    objects: tuple[str, str] = ("{", "}")
    lists: tuple[str, str] = ("[", "]")
    indent: int = 2
    ends_with_comma: bool = False

    def write(self, value: Any, *, level: int = 0, column: int = 0) -> str:
        """Return a value of JSON as source, in lines of at most 88 columns where that can be.

        Args:
            value: what `json.loads` returned.
            level: how deep the line is indented on which it begins.
            column: how much of the first line is taken.
        """
        flat = self._flat(value)
        if not isinstance(value, dict | list) or not value or column + len(flat) < _COLUMNS:
            return flat
        margin = " " * self.indent * (level + 1)
        end = "," if self.ends_with_comma else ""
        opening, closing = self.objects if isinstance(value, dict) else self.lists
        return "\n".join(
            [opening, self._lines(value, level + 1, margin) + end, margin[self.indent :] + closing]
        )

    def _lines(self, value: dict[str, Any] | list[Any], level: int, margin: str) -> str:
        if isinstance(value, dict):
            pairs = ((self.key(name), one) for name, one in value.items())
        elif any(isinstance(one, dict | list | str) for one in value):
            pairs = (("", one) for one in value)
        else:  # numbers fill their lines
            flat = ", ".join(map(self._flat, value))
            return textwrap.fill(flat, _COLUMNS, initial_indent=margin, subsequent_indent=margin)
        return ",\n".join(
            margin + key + self.write(one, level=level, column=len(margin + key))
            for key, one in pairs
        )

    def _flat(self, value: Any) -> str:
        if isinstance(value, dict):
            inside = ", ".join(self.key(name) + self._flat(one) for name, one in value.items())
            return inside.join(self.objects)
        if isinstance(value, list):
            return ", ".join(map(self._flat, value)).join(self.lists)
        if isinstance(value, str):
            return self.string(value)
        if value is None or isinstance(value, bool):
            return self.words[value]
        return json.dumps(value, allow_nan=False)


JSON = Notation()
ASCII_JSON = Notation(
    string=functools.partial(quoted, is_ascii=True),
    key=lambda name: f"{quoted(name, is_ascii=True)}: ",
)
PYTHON = Notation(
    string=python_quoted,
    key=lambda name: f"{python_quoted(name)}: ",
    words={None: "None", True: "True", False: "False"},
    indent=4,
    ends_with_comma=True,
)
JAVASCRIPT = Notation(key=javascript_key, ends_with_comma=True)
POWER_QUERY = Notation(
    string=m_quoted,
    key=lambda name: f"{m_field(name)} = ",
    objects=("[", "]"),
    lists=("{", "}"),
    indent=4,
)


def _escaped(text: str, escape: Callable[[str], str], *, is_ascii: bool) -> str:
    return '"' + "".join(_character(c, escape, is_ascii=is_ascii) for c in text) + '"'


def _character(character: str, escape: Callable[[str], str], *, is_ascii: bool) -> str:
    if character in _SHORT:
        return _SHORT[character]
    is_kept = character.isascii() if is_ascii else True
    return character if is_kept and character.isprintable() else escape(character)


def _utf_16(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _code_point(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
