"""An ONNX file over rows of a table: which values of a row go into which input, and what comes out.

Each row is a record by column name, a list of values, or one value.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from calotype import errors
from calotype.models.onnx_file import open_session
from calotype.serving.no_code.tensors import Array, TensorInput, tensor_input
from calotype.serving.refusals import bad_request, unprocessable


class OnnxRows:
    """Scores rows with an ONNX file.

    A file whose inputs have a free first dimension takes all rows in one call, any other one row
    in a call.

    Args:
        path: the file.

    Raises:
        ModelError: it is no ONNX file, or has inputs that rows cannot give (0082, 0159).
    """

    def __init__(self, path: Path) -> None:
        self._session = open_session(path)
        self._inputs = [
            tensor_input(one.name, one.type, one.shape, where=path.name)
            for one in self._session.get_inputs()
        ]
        self._outputs = [one.name for one in self._session.get_outputs()]
        self._takes_many = all(one.has_rows or one.shape is None for one in self._inputs)

    def score(self, rows: Sequence[Any]) -> list[Any]:
        """Return for each row its output, or a record of its outputs by name.

        Raises:
            Refusal: the network does not take the values.
            InvalidModel: it gives something else than a result for each row.
        """
        if self._takes_many:
            feeds = {one.name: [self._value(one, row) for row in rows] for one in self._inputs}
            columns = [self._of_rows(value, len(rows)) for value in self._run(feeds)]
        else:
            each = [self._scored_alone(row) for row in rows]
            columns = [list(column) for column in zip(*each, strict=True)]
        if len(columns) == 1:
            return columns[0]
        named = zip(*columns, strict=True)
        return [dict(zip(self._outputs, values, strict=True)) for values in named]

    def _scored_alone(self, row: Any) -> list[Any]:
        feeds: dict[str, Any] = {}
        for one in self._inputs:
            value = self._value(one, row)
            feeds[one.name] = [value] if _has_one_row(one) else value
        without_rows = all(_has_one_row(one) for one in self._inputs)
        return [self._of_one(value, is_row=without_rows) for value in self._run(feeds)]

    def _run(self, values: dict[str, Any]) -> list[Any]:
        feeds: dict[str, Array] = {
            one.name: one.read_suspicious(values[one.name]) for one in self._inputs
        }
        try:
            return list(self._session.run(self._outputs, feeds))
        except Exception as error:  # its exceptions have no common base
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise unprocessable(f"The model cannot score these values: {first[:300]}") from error

    def _value(self, one: TensorInput, row: Any) -> Any:
        """Return what a row says for an input."""
        value = self._cell(one, row)
        dimensions = None if one.shape is None else len(one.shape)
        if dimensions == 2 and type(value) is not list:  # a column of single values
            return [value]
        if dimensions == 1 and type(value) is list and len(value) == 1 and self._takes_many:
            return value[0]
        return value

    def _cell(self, one: TensorInput, row: Any) -> Any:
        if type(row) is not dict:
            if len(self._inputs) == 1:
                return row
            raise bad_request(f"Expected columns for the inputs {self._names()}, got no names.")
        if one.name in row:
            return row[one.name]
        if len(self._inputs) > 1:
            raise bad_request(f"Expected columns for the inputs {self._names()}.")
        cells = list(row.values())
        return cells[0] if len(cells) == 1 and type(cells[0]) is list else cells

    def _names(self) -> str:
        return ", ".join(f"'{one.name}'" for one in self._inputs)

    def _of_rows(self, value: Any, count: int) -> list[Any]:
        if isinstance(value, np.ndarray):
            if value.ndim and value.shape[0] == count:
                return value.tolist()
            raise _no_rows(f"shape {value.shape} for {count} rows")
        if isinstance(value, list) and len(value) == count:
            return value
        raise _no_rows(f"{type(value).__name__} for {count} rows")

    def _of_one(self, value: Any, *, is_row: bool) -> Any:
        listed = value.tolist() if isinstance(value, np.ndarray) else value
        return listed[0] if is_row and isinstance(listed, list) and len(listed) == 1 else listed


def _has_one_row(one: TensorInput) -> bool:
    return bool(one.shape) and one.shape[0] == 1


def _no_rows(got: str) -> errors.InvalidModel:
    return errors.InvalidModel(
        "expected outputs with a result for each row",
        where="the ONNX file",
        got=got,
        action="Use an entry script with run(mini_batch).",
    )
