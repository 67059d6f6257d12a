"""What a batch script returns, as a table: a list with a row for each file, or a DataFrame."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from calotype.tables import ArrowColumn, ArrowSchema, ArrowTable

PREDICTION: Final = "prediction"
ROW_ERROR: Final = "\0error"
"""The column in which a script of ours says why a row has no result; no name of a user's."""


def to_bytes(result: Any) -> bytes:
    """Return the table of what `run` returned, for another process.

    Raises:
        TypeError: it returned something else.
    """
    table = table_of(result)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def of_bytes(data: bytes) -> ArrowTable:
    """Return the table that `to_bytes` has packed."""
    with pa.ipc.open_stream(data) as reader:
        return reader.read_all()


def table_of(result: Any) -> ArrowTable:
    """Return a table whose cells are numbers, truth values, times and text.

    A list of dictionaries has their keys as columns, any other list the column `prediction`; lists
    and dictionaries in cells become JSON text.

    Raises:
        TypeError: `result` is neither a list nor a DataFrame.
    """
    if hasattr(result, "to_dict") and hasattr(result, "columns"):
        columns = {str(name): result[name].tolist() for name in result.columns}
        return _table(columns)
    if hasattr(result, "tolist"):  # an array
        result = result.tolist()
    if not isinstance(result, Sequence) or isinstance(result, str | bytes):
        raise TypeError(
            f"run() must return a list or a DataFrame with a row for each file, "
            f"not {type(result).__name__}"
        )
    rows = [row if isinstance(row, Mapping) else {PREDICTION: row} for row in result]
    names = dict.fromkeys(str(name) for row in rows for name in row)
    return _table({name: [row.get(name) for row in rows] for name in names})


def _table(columns: Mapping[str, Sequence[Any]]) -> ArrowTable:
    return pa.table({name: _column(values) for name, values in columns.items()})


def _column(values: Sequence[Any]) -> ArrowColumn:
    plain = [_plain(value) for value in values]
    try:
        return pa.array(plain)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):  # of several types
        return pa.array([None if value is None else _text(value) for value in plain])


def _plain(value: Any) -> Any:
    """Return a value that has a column type; JSON text for what is made of several."""
    if hasattr(value, "tolist"):  # of NumPy
        value = value.tolist()
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        listed = value if isinstance(value, Mapping) else list(value)
        return json.dumps(listed, ensure_ascii=False, default=str)
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def together(schemas: Sequence[ArrowSchema]) -> ArrowSchema:
    """Return a schema that rows of all these can have; text where their types do not meet."""
    try:
        return pa.unify_schemas(schemas, promote_options="permissive")
    except pa.ArrowTypeError:
        names = dict.fromkeys(name for schema in schemas for name in schema.names)
        return pa.schema([(name, _type(name, schemas)) for name in names])


def _type(name: str, schemas: Sequence[ArrowSchema]) -> Any:
    fields = [pa.schema([one.field(name)]) for one in schemas if name in one.names]
    try:
        return pa.unify_schemas(fields, promote_options="permissive").field(name).type
    except pa.ArrowTypeError:
        return pa.string()


def fitted(table: ArrowTable, schema: ArrowSchema) -> ArrowTable:
    """Return a table with the columns of `schema`; empty where it has none of them."""
    arrays: list[Any] = []
    for field in schema:
        if field.name in table.column_names:
            arrays.append(_cast(table.column(field.name), field.type))
        else:
            arrays.append(pa.nulls(table.num_rows, field.type))
    return pa.table(arrays, schema=schema)


def _cast(column: ArrowColumn, kind: Any) -> ArrowColumn:
    try:
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        texts = [None if one is None else _text(one) for one in column.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.string())])
