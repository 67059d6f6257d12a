"""What `run` returned, as the JSON of the answer."""

from __future__ import annotations

import base64
import datetime
import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from json import encoder as json_encoder
from typing import Any, cast

_NOT_FINITE = (
    "run() returned NaN or Infinity, which JSON cannot write: callers get null instead. "
    "Replace such values in the script. Said once."
)
_ENCODED_TWICE = (
    "run() returned a text that is JSON already: it is encoded a second time, and callers get a "
    "string in quotes. Return the object itself, without json.dumps. Said once."
)


class ResultEncoder:
    """Writes results as `json.dumps` does, byte for byte, with null for NaN and Infinity.

    Beside the types of JSON it takes arrays and scalars of numpy, frames and series of pandas
    (a frame as a list of records), dates and times in ISO 8601, decimals, sets, bytes in base64.

    Args:
        warn: told, once, about what callers will not like.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._tell = warn
        self._warned: set[str] = set()
        self._markers: dict[int, Any] = {}
        self._chunks = self._made_once()

    def encode(self, value: object) -> bytes:
        """Return the JSON of a result; None gives an empty object, as ever.

        Raises:
            TypeError: it has no form in JSON.
            ValueError: it contains itself.
            RecursionError: it is nested too deeply.
        """
        if value is None:
            return b"{}"
        if isinstance(value, str) and _ENCODED_TWICE not in self._warned and _is_json(value):
            self._warn(_ENCODED_TWICE)
        try:
            return "".join(self._chunks(value, 0)).encode("ascii")
        except (ValueError, TypeError):  # NaN, a key that is no text, or a type without a form
            return json.dumps(self._cleaned(value, set())).encode("ascii")
        finally:
            self._markers.clear()  # kept after a failure, they would make a later list circular

    def _made_once(self) -> Callable[[Any, int], Iterable[str]]:
        """Return an encoder that is ready to use; `json.dumps` makes a new one for each call."""
        fast = cast("Any", json_encoder).c_make_encoder
        if fast is None:  # no accelerator in this Python

            def slow(value: Any, _: int) -> Iterable[str]:
                return json.JSONEncoder(default=json_value, allow_nan=False).iterencode(value)

            return slow
        escape = json_encoder.encode_basestring_ascii
        return fast(self._markers, json_value, escape, None, ": ", ", ", False, False, False)

    def _warn(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            self._tell(message)

    def _cleaned(self, value: Any, inside: set[int]) -> Any:
        """Return `value` with what JSON cannot write replaced; slow, for results that need it."""
        if value is None or isinstance(value, str | int):
            return value
        if isinstance(value, float):
            if math.isfinite(value):
                return value
            self._warn(_NOT_FINITE)
            return None
        if id(value) in inside:
            raise ValueError("Circular reference detected")
        inside.add(id(value))
        if isinstance(value, Mapping):
            cleaned = {_key(key): self._cleaned(item, inside) for key, item in value.items()}
        elif isinstance(value, list | tuple):
            cleaned = [self._cleaned(item, inside) for item in value]
        else:
            cleaned = self._cleaned(json_value(value), inside)
        inside.discard(id(value))
        return cleaned


def json_value(value: Any) -> Any:
    """Return what JSON can write for a value of another type.

    Raises:
        TypeError: it has no form in JSON.
    """
    package = type(value).__module__.partition(".")[0]
    is_time = isinstance(value, datetime.datetime)  # those of pandas are such too
    if package == "pandas" and not is_time:
        return _value_of_pandas(value)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic):
        return _value_of_numpy(value)
    match value:
        case datetime.date() | datetime.time():  # a datetime is a date
            return None if value != value else value.isoformat()  # noqa: PLR0124 - NaT of pandas
        case Decimal():
            return float(value)
        case bytes() | bytearray():
            return base64.b64encode(value).decode("ascii")
        case set() | frozenset():
            return list(cast("set[Any]", value))
        case _:
            raise _no_form("result", value)


def _value_of_numpy(value: Any) -> Any:
    # As nanoseconds, times would become plain integers.
    return (value.astype("datetime64[us]") if value.dtype.kind == "M" else value).tolist()


def _value_of_pandas(value: Any) -> Any:
    pandas = sys.modules["pandas"]
    if isinstance(value, pandas.DataFrame):
        return value.to_dict(orient="records")
    if isinstance(value, pandas.Series | pandas.Index):
        return value.tolist()
    if value is pandas.NA:
        return None
    raise _no_form("result", value)


def _no_form(what: str, value: object) -> TypeError:
    return TypeError(f"a {what} of type {type(value).__name__} has no form in JSON")


def _key(key: Any) -> Any:
    if isinstance(key, float):
        return repr(float(key)) if math.isfinite(key) else json.dumps(float(key))
    if key is None or isinstance(key, str | int):
        return key
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(key, numpy.generic):
        return _key(key.item())
    if isinstance(key, datetime.date):
        return key.isoformat()
    raise _no_form("key", key)


def _is_json(text: str) -> bool:
    """Say whether a text is a JSON object or array of its own."""
    if not text.startswith(("{", "[")) or not text.rstrip().endswith(("}", "]")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
