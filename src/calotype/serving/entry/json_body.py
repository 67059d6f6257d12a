"""A JSON body as Python values: exactly what `json.loads` gives, at the speed of orjson."""

from __future__ import annotations

import json
import re

import orjson

from calotype.serving.refusals import Refusal, bad_request

_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(code for code in range(256) if code not in b"[]{}")
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_TWENTY_DIGITS = b"0" * 20


def parsed(body: bytes, *, max_depth: int) -> object:
    """Return the value of a JSON body in UTF-8, -16 or -32.

    As in `json.loads`, the last of equal keys counts, NaN and Infinity are numbers and integers
    have any size.

    Raises:
        Refusal: it is no JSON, or is nested deeper than `max_depth`.
    """
    if body.count(b"[") + body.count(b"{") > max_depth and _is_deeper(body, max_depth):
        raise bad_request(_undecodable(f"nested deeper than {max_depth} levels (max_json_depth)"))
    # orjson would make floats of integers that do not fit into 64 bits.
    if _TWENTY_DIGITS not in body.translate(_DIGITS):
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            pass  # what it refuses may still be what Python takes; the sentences are Python's
    return _parsed_by_python(body)


def _parsed_by_python(body: bytes) -> object:
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        if not body:
            raise bad_request("POST body is empty. Expecting a JSON dictionary.") from None
        raise bad_request(_undecodable(error)) from None
    except UnicodeDecodeError as error:
        raise not_utf8(error) from None
    except RecursionError:
        raise bad_request(_undecodable("nested too deeply")) from None
    except ValueError:  # Python's limit against numbers that take minutes to convert
        raise bad_request(_undecodable("an integer has too many digits")) from None


def not_utf8(error: UnicodeDecodeError) -> Refusal:
    """400: the body is no text."""
    return bad_request(f"Input cannot be decoded as UTF-8: {error}")


def _undecodable(why: object) -> str:
    return f"POST body could not be decoded as JSON: {why}"


def _is_deeper(body: bytes, limit: int) -> bool:
    """Say whether brackets nest deeper than `limit`; False when they do not match anyway."""
    if _peeled(body, limit) == b"":
        return False
    # Brackets inside of texts do not count; looking for texts is slow, so only now.
    return _peeled(_TEXT.sub(b"", body), limit) not in (b"", None)


def _peeled(body: bytes, levels: int) -> bytes | None:
    """Return the brackets that are left without the `levels` innermost ones; None: no match."""
    brackets = body.translate(None, _NO_BRACKETS).translate(_BRACKETS)
    for _ in range(levels):
        shorter = brackets.replace(b"[]", b"")
        if len(shorter) == len(brackets):
            return brackets and None
        brackets = shorter
    return brackets
