"""One input of an ONNX file: from JSON to the array that the network takes, or a clear refusal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from calotype import errors
from calotype.serving.openapi.contract import Schema
from calotype.serving.openapi.schemas import type_name
from calotype.serving.refusals import Refusal, bad_request

Array = npt.NDArray[Any]

_DTYPES: dict[str, tuple[str, Schema]] = {
    "tensor(float16)": ("float16", {"type": "number", "format": "float"}),
    "tensor(float)": ("float32", {"type": "number", "format": "float"}),
    "tensor(double)": ("float64", {"type": "number", "format": "double"}),
    "tensor(int8)": ("int8", {"type": "integer", "format": "int32"}),
    "tensor(int16)": ("int16", {"type": "integer", "format": "int32"}),
    "tensor(int32)": ("int32", {"type": "integer", "format": "int32"}),
    "tensor(int64)": ("int64", {"type": "integer", "format": "int64"}),
    "tensor(uint8)": ("uint8", {"type": "integer", "format": "int32"}),
    "tensor(uint16)": ("uint16", {"type": "integer", "format": "int32"}),
    "tensor(uint32)": ("uint32", {"type": "integer", "format": "int64"}),
    "tensor(uint64)": ("uint64", {"type": "integer", "format": "int64"}),
    "tensor(bool)": ("bool", {"type": "boolean"}),
    "tensor(string)": ("object", {"type": "string"}),
}
_JSON_KINDS = {
    "b": "booleans",
    "i": "whole numbers",
    "u": "whole numbers",
    "f": "numbers",
    "U": "texts",
    "O": "values of several types, or null",
}

# A free dimension is one long in the example; two rows show that it is a list of rows.
_EXAMPLE_ROWS = 2

_MAX_DIMENSIONS = 32


@dataclass(frozen=True, slots=True)
class TensorInput:
    """What one input takes.

    Attributes:
        name: in the file, and in requests when there are several.
        dtype: numpy's name of its type; `object` for texts.
        shape: length of each dimension, None for any; None for any number of dimensions.
        item: JSON schema of one value.
        read: turns parsed JSON into the array; with numbers, JSON that holds no texts.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None
    item: Schema
    read: Callable[[Any], Array]

    def read_suspicious(self, value: Any) -> Array:
        """Read JSON that may hold texts anywhere.

        numpy would make room for the longest text at the place of every number: a few megabytes of
        body could ask for all memory. So numbers are looked through before.
        """
        if self.dtype != "object" and _holds_texts(value):
            raise bad_request(f"{_wanted(self.name, self.dtype, self.shape)} Got texts or objects.")
        return self.read(value)

    @property
    def schema(self) -> Schema:
        """The JSON schema of the nested lists, in the dialect of Swagger 2.0."""
        schema = dict(self.item)
        for _ in self.shape or ():
            schema = {"type": "array", "items": schema}
        return schema if self.shape is not None else {}

    def example(self, rows: int = _EXAMPLE_ROWS) -> Any:
        """Return JSON that fits: zeros, empty texts, false."""
        return self.array(rows).tolist()

    def array(self, rows: int) -> Array:
        """Return an array that fits, with so many rows where the number of rows is free."""
        lengths = [1 if length is None else length for length in self.shape or ()]
        if self.has_rows:
            lengths[0] = rows
        return np.full(lengths, "" if self.dtype == "object" else 0, dtype=self.dtype)

    @property
    def has_rows(self) -> bool:
        """Whether the first dimension is free."""
        return bool(self.shape) and self.shape[0] is None


def tensor_input(
    name: str, onnx_type: str, shape: Sequence[object] | None, *, where: str
) -> TensorInput:
    """Return what an input of an ONNX file takes.

    Args:
        name: of the input.
        onnx_type: such as `tensor(float)`.
        shape: lengths; names and None are free.
        where: the file, for the message.

    Raises:
        InvalidModel: JSON has nothing that such an input takes.
    """
    if onnx_type not in _DTYPES:
        raise errors.InvalidModel(
            "expected inputs that are tensors of numbers, booleans or texts",
            where=where,
            got=f"'{name}' of type {onnx_type}",
            action="Export the model with tensor inputs, or serve it with an entry script.",
        )
    dtype, item = _DTYPES[onnx_type]
    # ONNX Runtime gives no dimensions both for a single value and for a shape that is not known.
    lengths = tuple(one if isinstance(one, int) and one >= 0 else None for one in shape or ())
    known = lengths if shape else None
    reader = _read_texts if dtype == "object" else _reader_of_numbers(np.dtype(dtype))
    return TensorInput(name, dtype, known, item, _shaped(name, dtype, known, reader))


def _shaped(
    name: str,
    dtype: str,
    shape: tuple[int | None, ...] | None,
    reader: Callable[[Any], Array],
) -> Callable[[Any], Array]:
    """Return `reader` with the check of the shape that is right for this input."""
    dimensions = None if shape is None else len(shape)
    fixed = [(index, one) for index, one in enumerate(shape or ()) if one is not None]

    def read(value: Any) -> Array:
        try:
            array = reader(value)
        except Refusal as refusal:
            raise bad_request(f"{_wanted(name, dtype, shape)} {refusal.message}") from None
        got = array.shape
        if dimensions is None or len(got) == dimensions:
            for index, length in fixed:
                if got[index] != length:
                    break
            else:
                return array
        raise bad_request(f"{_wanted(name, dtype, shape)} Got shape {_shown(got)}.")

    return read


def _reader_of_numbers(dtype: np.dtype[Any]) -> Callable[[Any], Array]:
    """Return a reader of numbers for one type; JSON's own types are looked at before converting."""
    accepted = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}[dtype.kind]

    def read(value: Any) -> Array:
        try:
            array = np.array(value)
        except (ValueError, OverflowError):  # lists of several lengths
            raise bad_request(_ragged(value)) from None
        if array.dtype.kind not in accepted:
            array = _unusual(array, dtype)
        return array if array.dtype == dtype else _narrowed(array, dtype)

    return read


def _holds_texts(value: Any) -> bool:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if type(one) is list:
            waiting += one
        elif type(one) is str or type(one) is dict:
            return True
    return False


def _unusual(array: Array, dtype: np.dtype[Any]) -> Array:
    """Return numbers from JSON that has other types at first sight, or refuse."""
    if array.size == 0:
        return array.astype(dtype)
    if dtype.kind == "f" and array.dtype.kind == "O":
        # null stands for a value that is missing
        values = [np.nan if one is None else one for one in array.flat]
        if all(type(one) in (int, float) for one in values):
            return np.array(values, dtype=np.float64).reshape(array.shape)
    # Clients whose language has one type of number write 1.0 for 1.
    if dtype.kind in "iu" and array.dtype.kind == "f" and _is_whole(array):
        return array.astype(np.int64)
    raise bad_request(f"Got {_JSON_KINDS.get(array.dtype.kind, 'something else')}.")


def _is_whole(array: Array) -> bool:
    return bool(((array == np.floor(array)) & (np.abs(array) < 2.0**53)).all())


def _narrowed(array: Array, dtype: np.dtype[Any]) -> Array:
    if dtype.kind == "f":
        try:
            with np.errstate(over="raise"):
                return array.astype(dtype)
        except FloatingPointError:
            raise bad_request("Got a number that is too large.") from None
    if array.size:
        bounds = np.iinfo(dtype)
        lowest, highest = int(array.min()), int(array.max())
        if lowest < bounds.min or highest > bounds.max:
            outside = lowest if lowest < bounds.min else highest
            raise bad_request(f"Got {outside}, outside of {bounds.min} to {bounds.max}.")
    return array.astype(dtype)


def _read_texts(value: Any) -> Array:
    """Read texts into an array of objects: numpy's own texts would be padded and cost more."""
    lengths: list[int] = []
    first = value
    while type(first) is list and first and len(lengths) < _MAX_DIMENSIONS:
        lengths.append(len(first))
        first = first[0]
    if type(first) is list:
        lengths.append(0)
    try:
        array = np.empty(lengths, dtype=object)
        array[...] = np.array(value, dtype=object).reshape(lengths) if lengths else value
    except (ValueError, OverflowError):
        raise bad_request(_ragged(value)) from None
    for one in array.flat:
        if type(one) is not str:
            if type(one) is list:
                raise bad_request(_ragged(value))
            raise bad_request(f"Got {type_name(one)} among the texts.")
    return array


def _ragged(value: Any) -> str:
    if type(value) is list and value and type(value[0]) is list:
        for index, row in enumerate(value):
            if type(row) is not list or len(row) != len(value[0]):
                got = f"{len(row)} values" if type(row) is list else "no list"
                return f"Got {len(value[0])} values in row 0 and {got} in row {index}."
    return "Got lists of several lengths."


def _wanted(name: str, dtype: str, shape: tuple[int | None, ...] | None) -> str:
    kind = "string" if dtype == "object" else dtype
    of_shape = "" if shape is None else f" of shape {_shown(shape)}"
    return f"Input '{name}': expected {kind}{of_shape}."


def _shown(shape: Sequence[int | None]) -> str:
    """Return a shape in words.

    >>> _shown((None, 10))
    '(any, 10)'
    """
    return "(" + ", ".join("any" if one is None else str(one) for one in shape) + ")"
