"""The number of a version, as scripts write it: 2, or "2"."""

from __future__ import annotations

from calotype import errors


def version_of(given: int | str | None) -> int | None:
    """Return a version as a number; None for the latest.

    Args:
        given: a number, as text too; None or "latest".

    Raises:
        UnparsableValue: it is none.
    """
    if given is None or given == "latest":
        return None
    text = "" if isinstance(given, bool) else str(given)
    if text.isascii() and text.isdigit() and 1 <= int(text[:10]) < 1 << 31:
        return int(text)
    raise errors.UnparsableValue(
        "expected a number, 1 or more",
        where="version",
        got=repr(given)[:80],
        action="Leave it out for the latest.",
    )
