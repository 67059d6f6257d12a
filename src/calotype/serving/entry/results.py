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
    (a frame as a list of records), dates and times in ISO 8601, decimals, sets, and bytes in base64.

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
            self._markers.clear()  # it forgets nothing when it fails: a later list would be circular

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
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    if pandas is not None:
        if value is pandas.NA or value is pandas.NaT:
            return None
        if isinstance(value, pandas.DataFrame):
            return value.to_dict(orient="records")
        if isinstance(value, pandas.Series | pandas.Index):
            return value.tolist()
    if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic):
        if value.dtype.kind == "M":  # nanoseconds would become plain integers
            value = value.astype("datetime64[us]")
        return value.tolist()
    match value:
        case datetime.date() | datetime.time():  # a datetime is a date
            return value.isoformat()
        case Decimal():
            return float(value)
        case bytes() | bytearray():
            return base64.b64encode(value).decode("ascii")
        case set() | frozenset():
            return list(cast("set[Any]", value))
        case Mapping():
            return dict(cast("Mapping[Any, Any]", value))
        case _:
            raise TypeError(f"a result of type {type(value).__name__} has no form in JSON")


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
    raise TypeError(f"a key of type {type(key).__name__} has no form in JSON")


def _is_json(text: str) -> bool:
    """Say whether a text is a JSON object or array of its own."""
    if not text.startswith(("{", "[")) or not text.rstrip().endswith(("}", "]")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
