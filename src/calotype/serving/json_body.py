"""JSON bodies for every kind of service: decoding, the limit on nesting, and the words of refusal.

Two ways of decoding accept what `json.loads` does; they differ in integers beyond 64 bits. The
strict way accepts what can be written back as JSON.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

import orjson

from calotype.serving.refusals import Refusal, bad_request

_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(code for code in range(256) if code not in b"[]{}")
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_TWENTY_DIGITS = b"0" * 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@lru_cache(maxsize=64)
def is_json(content_type: bytes | None) -> bool:
    """Say whether a content type is JSON: `application/json` or `application/*+json`."""
    kind = (content_type or b"").partition(b";")[0].strip().lower()
    return kind == b"application/json" or (
        kind.startswith(b"application/") and kind.endswith(b"+json")
    )


def require_json(content_type: bytes | None) -> None:
    """Let a content type pass that is JSON.

    Raises:
        Refusal: 415 for every other one.
    """
    if not is_json(content_type):
        raise Refusal(415, "Expects Content-Type to be application/json")


def parsed(body: bytes, *, max_depth: int) -> Any:
    """Return the value of a JSON body in UTF-8, -16 or -32.

    As in `json.loads`, the last of equal keys counts, NaN and Infinity are numbers and integers
    have any size.

    Raises:
        Refusal: 400, it is no JSON, or is nested deeper than `max_depth`.
    """
    check_depth(body, max_depth)
    # orjson would make floats of integers that do not fit into 64 bits.
    if _TWENTY_DIGITS in body.translate(_DIGITS):
        return _parsed_by_python(body)
    return _parsed_quickly(body)


def json_object(body: bytes, *, max_depth: int) -> dict[str, Any]:
    """Return the object in a JSON body, as `parsed` does, with integers beyond 64 bits as floats.

    Raises:
        Refusal: 400, it is no JSON, no object, or is nested deeper than `max_depth`.
    """
    if len(body) > 2 * max_depth:
        check_depth(body, max_depth)
    try:  # without a call more: caches are cold between two runs of a network
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = _parsed_by_python(body)
    return value if type(value) is dict else as_object(value)


def as_object(value: Any) -> dict[str, Any]:
    """Return the value of a body that has to be an object.

    Raises:
        Refusal: 400, it is none.
    """
    if type(value) is not dict:
        raise bad_request("POST body should be a JSON dictionary.")
    return value


def parsed_strictly(body: bytes) -> Any:
    """Return the value of a JSON body in UTF-8, all of which `orjson` can write again.

    Raises:
        Refusal: 400, it is no JSON by the letter of its standard.
    """
    try:
        return orjson.loads(body.removeprefix(_BYTE_ORDER_MARK))
    except orjson.JSONDecodeError as error:
        problem = error
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise not_utf8(error) from None
    raise _undecodable(problem)


def check_depth(body: bytes, limit: int) -> None:
    """Check how deep JSON is nested, before it is parsed; what is no JSON may pass.

    Raises:
        Refusal: 400, deeper than the limit.
    """
    if len(body) > 2 * limit and _is_deeper(body, limit):
        raise _undecodable(f"nested deeper than {limit} levels (max_json_depth)")


def not_utf8(error: UnicodeDecodeError) -> Refusal:
    """400: the body is no text."""
    return bad_request(f"Input cannot be decoded as UTF-8: {error}")


def _parsed_quickly(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        # What it refuses may still be what Python takes; the sentences are Python's.
        return _parsed_by_python(body)


def _parsed_by_python(body: bytes) -> Any:
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        if not body:
            raise bad_request("POST body is empty. Expecting a JSON dictionary.") from None
        raise _undecodable(error) from None
    except UnicodeDecodeError as error:
        raise not_utf8(error) from None
    except RecursionError:
        raise _undecodable("nested too deeply") from None
    except ValueError:  # Python's limit against numbers that take minutes to convert
        raise _undecodable("an integer has too many digits") from None


def _undecodable(why: object) -> Refusal:
    return bad_request(f"POST body could not be decoded as JSON: {why}")


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
