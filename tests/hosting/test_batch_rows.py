"""What a batch script may return, and how rows of different shapes come together."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from calotype.hosting.batch.rows import fitted, of_bytes, table_of, to_bytes, together


def test_a_list_of_anything_has_one_column() -> None:
    assert table_of(["a.png: cat", "b.png: dog"]).to_pydict() == {
        "prediction": ["a.png: cat", "b.png: dog"]
    }
    assert table_of(np.array([1.5, 2.5])).to_pydict() == {"prediction": [1.5, 2.5]}
    assert table_of([[0.1, 0.9]]).to_pydict() == {"prediction": ["[0.1, 0.9]"]}


def test_dictionaries_have_their_keys_as_columns() -> None:
    rows = [{"label": "cat", "p": np.float32(0.5)}, {"label": "dog", "box": [1, 2]}]
    assert table_of(rows).to_pydict() == {
        "label": ["cat", "dog"],
        "p": [0.5, None],
        "box": [None, "[1, 2]"],
    }


def test_a_data_frame_keeps_its_columns() -> None:
    frame = pd.DataFrame({"file": ["a", "b"], "score": [1, 2], "mixed": [1, "x"]}, index=[5, 9])
    table = of_bytes(to_bytes(frame))
    assert table.to_pydict() == {"file": ["a", "b"], "score": [1, 2], "mixed": ["1", "x"]}
    assert table.schema.field("score").type == pa.int64()


def test_no_rows_are_a_table_too() -> None:
    assert of_bytes(to_bytes([])).num_rows == 0


@pytest.mark.parametrize("result", [None, "text", 3, {"a": 1}])
def test_anything_else_is_refused_by_its_name(result: object) -> None:
    with pytest.raises(TypeError, match=f"not {type(result).__name__}"):
        table_of(result)


def test_rows_of_different_types_meet() -> None:
    tables = [table_of([1, 2]), table_of([0.5]), table_of([{"label": "cat"}])]
    schema = together([table.schema for table in tables])
    whole = pa.concat_tables([fitted(table, schema) for table in tables])
    assert whole.to_pydict() == {
        "prediction": [1.0, 2.0, 0.5, None],
        "label": [None, None, None, "cat"],
    }


def test_rows_whose_types_never_meet_become_text() -> None:
    tables = [table_of([1, True]), table_of(["cat"]), table_of([{"other": 2}])]
    schema = together([table.schema for table in tables])
    assert schema.field("prediction").type == pa.string()
    assert schema.field("other").type == pa.int64()
    whole = pa.concat_tables([fitted(table, schema) for table in tables])
    assert whole.column("prediction").to_pylist() == ["1", "true", "cat", None]
