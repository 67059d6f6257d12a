"""What `?top=` and `?explain=` of a request mean."""

from __future__ import annotations

from typing import Final

from calotype.serving import refusals
from calotype.serving.images.work import Options
from calotype.serving.query import query_pairs

NO_OPTIONS: Final = Options()
_TRUE: Final = ("true", "1", "yes", "")
_FALSE: Final = ("false", "0", "no")


def read_options(query: bytes) -> Options:
    """Return the options of an undecoded query string; names it does not know are ignored.

    Raises:
        Refusal: 400, a value has no meaning.
    """
    if not query:
        return NO_OPTIONS
    given = dict(query_pairs(query))  # the last of equal names
    return Options(
        top=_top(given["top"]) if "top" in given else None,
        explain=_truth(given["explain"]) if "explain" in given else False,
    )


def _top(text: str) -> int:
    # isdecimal alone would take the digits of every script.
    if text.isascii() and text.isdecimal() and len(text) <= 9 and int(text) >= 1:
        return int(text)
    raise refusals.bad_request(
        f"Expected a whole number from 1 for 'top', such as ?top=5. Got {_shown(text)}."
    )


def _truth(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise refusals.bad_request(f"Expected true or false for 'explain'. Got {_shown(text)}.")


def _shown(text: str) -> str:
    return ascii(text[:40]) if text else "nothing"
