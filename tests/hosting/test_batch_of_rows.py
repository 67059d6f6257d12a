"""Batch jobs of ONNX files and scikit-learn models over rows: no script of the user's."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import skops.io
from batch_services import add_service
from onnx import TensorProto, helper
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from calotype import errors
from calotype.hosting.batch import preparing
from calotype.hosting.batch.jobs import BatchJobs
from calotype.hosting.batch.mini_batches import MiniBatch, mini_batches
from calotype.hosting.batch.row_items import RowItems
from calotype.hosting.batch.rows import table_of
from calotype.hosting.batch.script_job import ScriptJob
from calotype.hosting.batch.settings import BatchSettings
from calotype.hosting.batch.worker_client import BatchScript
from calotype.images.sources.source import printable
from calotype.progress import SILENCE
from calotype.serving.no_code.onnx_rows import OnnxRows
from calotype.serving.no_code.sklearn_script import script_for
from calotype.workspace.workspace import Workspace

ENTRY = Path(preparing.__file__).parent / "no_code_entry" / "score.py"
FRAME = pd.DataFrame({"age": [20, 30, 40, 50], "sex": ["f", "m", "m", "f"]})


def network(path: Path, first: int | str = "rows") -> Path:
    """Write a network that adds up the three values of a row."""
    value = partial(helper.make_tensor_value_info, elem_type=TensorProto.FLOAT)
    weights = [helper.make_tensor("w", TensorProto.FLOAT, [3, 1], [1.0, 1.0, 1.0])]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["sum"])],
        "made",
        [value("x", shape=[first, 3])],
        [value("sum", shape=[first, 1])],
        weights,
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def classifier(path: Path) -> Path:
    """Write a model that knows the names of its columns."""
    encoder = make_column_transformer((OneHotEncoder(), ["sex"]), remainder="passthrough")
    model = make_pipeline(encoder, LogisticRegression())
    skops.io.dump(model.fit(FRAME, ["no", "yes", "yes", "no"]), path)
    return path


def job(folder: Path, model: Path, source: Path, **settings: Any) -> ScriptJob:
    """Return a job as its process makes it; results go to `folder/out`."""
    if model.suffix == ".onnx":
        variables, directory = {"CALOTYPE_MODEL_FILE": model.name}, model.parent
    else:
        _, directory, variables = script_for(model)
    values = BatchSettings.of({"mini_batch_size": 4, "retries": 0, "timeout_s": 60} | settings)
    return ScriptJob(
        BatchScript(ENTRY, ENTRY.parent, directory, variables=variables),
        {"models": str(model)},
        source,
        folder / "out",
        folder / "scratch",
        values,
        part_s=0.0,
        opened=partial(RowItems.opened, columns=values.columns),
    )


def table(folder: Path, name: str = "predictions.parquet") -> list[dict[str, Any]]:
    return pq.read_table(folder / "out" / name).to_pylist()


def as_csv(path: Path, frame: pd.DataFrame) -> None:
    frame.to_csv(path, index=False)


def as_parquet(path: Path, frame: pd.DataFrame) -> None:
    frame.to_parquet(path)


def as_lines(path: Path, frame: pd.DataFrame) -> None:
    frame.to_json(path, orient="records", lines=True)


@pytest.mark.parametrize(
    ("name", "write"), [("a.csv", as_csv), ("a.parquet", as_parquet), ("a.jsonl", as_lines)]
)
def test_rows_of_every_format_are_the_same(
    tmp_path: Path, name: str, write: Callable[[Path, pd.DataFrame], None]
) -> None:
    frame = FRAME.assign(share=[0.5, 1.5, math.nan, 2.0])
    write(tmp_path / name, frame)
    for columns in ([], ["share", "sex"]):
        with RowItems.opened(tmp_path / name, SILENCE, columns) as items:
            rows = [json.loads(entry.line) for entry in items.entries(0)]
        assert pd.DataFrame(rows).equals(frame[columns or [*frame.columns]])


def test_a_classifier_gives_labels_and_probabilities_by_column_name(tmp_path: Path) -> None:
    shuffled = FRAME[["sex", "age"]].assign(label="x")
    folder = tmp_path / "tables" / "of 2026"
    folder.mkdir(parents=True)
    shuffled.head(1).to_parquet(folder / "b.parquet")
    shuffled.tail(3).to_csv(folder / "a.csv", index=False)
    model = classifier(tmp_path / "model.skops")
    run = job(tmp_path, model, tmp_path / "tables").run()
    assert run["rows"]["count"] == 4
    rows = table(tmp_path)
    assert [(row["path"], row["row"]) for row in rows] == [
        *(("of 2026/a.csv", index) for index in range(3)),
        ("of 2026/b.parquet", 0),
    ]
    assert [row["prediction"] for row in rows] == ["yes", "yes", "no", "no"]
    for row in rows:
        shares = {one: row[f"probability_{one}"] for one in ("no", "yes")}
        assert math.isclose(sum(shares.values()), 1)
        assert max(shares, key=lambda one: shares[one]) == row["prediction"]
    assert not [*(tmp_path / "scratch").iterdir()]  # only while they were needed


def test_a_row_that_the_model_refuses_fails_alone(tmp_path: Path) -> None:
    lines = ['{"x": [1, 2, 3]}', "[4, 5, 6]", "[7, 8]", "", "no json", '{"x": ["a", 1, 2]}']
    (tmp_path / "rows.jsonl").write_text("\n".join([*lines, "[null, 1, 2]", "[Infinity, 1, 1]"]))
    work = job(tmp_path, network(tmp_path / "sum.onnx"), tmp_path / "rows.jsonl", error_threshold=2)
    with pytest.raises(errors.OperationFailed, match=r"at most 2 rows to fail\. Got 3 of them"):
        work.run()
    run = replace(work, settings=work.settings.model_copy(update={"error_threshold": 3})).run()
    assert run["counts"] == {"rows": 7, "predictions": 4, "errors": 3, "mini_batches": 2}
    assert [row["row"] for row in table(tmp_path)] == [0, 1, 5, 6]
    assert table(tmp_path)[3]["prediction"] == "[Infinity]"
    failures = {row["id"]: row["message"] for row in table(tmp_path, "errors.parquet")}
    assert list(failures) == [2, 3, 4]
    assert failures[2] == "Input 'x': expected float32 of shape (any, 3). Got shape (1, 2)."
    assert "Expected a line of JSON" in failures[3]
    assert {row["path"] for row in table(tmp_path, "errors.parquet")} == {"rows.jsonl"}


def test_a_network_of_one_row_at_a_time_takes_many(tmp_path: Path) -> None:
    model = OnnxRows(network(tmp_path / "one.onnx", first=1))
    assert model.score([[1, 2, 3], {"a": 4, "b": 5, "c": 6}, {"x": [7, 8, 9]}]) == [
        [6.0],
        [15.0],
        [24.0],
    ]


def test_values_of_csv_have_the_type_that_all_of_a_column_have(tmp_path: Path) -> None:
    # More than what a reader looks at to guess the types.
    many = "\n".join("1,2,true,x" for _ in range(200_000))
    (tmp_path / "a.csv").write_text(f"whole,part,yes,text\n{many}\n2,2.5,,7\n")
    with RowItems.opened(tmp_path / "a.csv", SILENCE) as items:
        assert len(items) == 200_001
        assert [json.loads(entry.line) for entry in items.entries(199_999 + 1)] == [
            {"whole": 2, "part": 2.5, "yes": None, "text": "7"}
        ]


def test_a_resumed_job_goes_on_at_the_right_row(tmp_path: Path) -> None:
    for name, first in (("a.parquet", 0), ("b.parquet", 5)):
        pq.write_table(pa.table({"n": range(first, first + 5)}), tmp_path / name, row_group_size=2)
    with RowItems.opened(tmp_path, SILENCE) as items:
        left = [one for batch in mini_batches(items, size=3, start=2) for one in batch.entries]
        assert [json.loads(one.line)["n"] for one in left] == [6, 7, 8, 9]
        assert [(one.path, one.id) for one in left] == [("b.parquet", id) for id in range(1, 5)]


def test_names_of_tables_may_be_large_and_no_utf_8(tmp_path: Path) -> None:
    as_parquet(tmp_path / "A.PARQUET", FRAME)
    as_lines(tmp_path / "C.JSONL", FRAME)
    as_csv(tmp_path / "B.CSV", FRAME)
    with contextlib.suppress(OSError):  # not every system has such names
        for name in ("A.PARQUET", "B.CSV"):
            (tmp_path / name).rename(tmp_path / name.replace(".", "\udcff."))
    first, *_ = names = sorted(path.name for path in tmp_path.iterdir())
    with RowItems.opened(tmp_path, SILENCE) as items:
        entries = [*items.entries(0)]
        assert list(dict.fromkeys(one.path for one in entries)) == [*map(printable, names)]
        assert pd.DataFrame(json.loads(one.line) for one in entries[:4]).equals(FRAME)
        assert {one.line for one in entries[:4]} == {one.line for one in entries[4:8]}
        matched, _ = items.matched(table_of([1] * 12), MiniBatch(0, tuple(entries)), entries)
        assert matched.num_rows == 12
    with RowItems.opened(tmp_path / first, SILENCE) as items:
        assert len(items) == 4


def test_where_a_row_came_from_stays_whatever_the_outputs_are_called(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("[1]\n[2]")
    with RowItems.opened(tmp_path, SILENCE) as items:
        entries = [*items.entries(0)]
        results = table_of([{"row": 7, "path": "x", "p": 0.5}, {"row": 8, "path": "y", "p": 0.7}])
        matched, _ = items.matched(results, MiniBatch(0, tuple(entries)), entries)
    assert matched.to_pydict() == {
        "path": ["a.jsonl", "a.jsonl"],
        "row": [0, 1],
        "output_row": [7, 8],
        "output_path": ["x", "y"],
        "p": [0.5, 0.7],
    }


def test_what_has_no_rows_and_no_such_column_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"x")
    with pytest.raises(errors.InvalidDataset, match="expected rows: a "):
        RowItems.opened(tmp_path, SILENCE).__enter__()
    (tmp_path / "a.csv").write_text("age,sex\n1,f\n")
    with pytest.raises(errors.ColumnMissing, match="expected a column 'agee'"):
        RowItems.opened(tmp_path, SILENCE, ["agee"]).__enter__()


def test_a_service_of_a_registered_onnx_file_takes_a_dataset_of_rows(tmp_path: Path) -> None:
    workspace = Workspace.create("test", tmp_path)
    model = workspace.models.register(network(tmp_path / "sum.onnx"), "sum")
    add_service(workspace, models=(model.id,), workers=2)
    pd.DataFrame(np.ones((5, 3))).to_csv(tmp_path / "rows.csv", index=False)
    workspace.datasets.register("ones", tmp_path / "rows.csv")
    jobs = BatchJobs(workspace)
    settings = BatchSettings(mini_batch_size=2)
    over = jobs.wait(jobs.submit("batch", "dataset:ones", settings=settings).id, timeout_s=60)
    assert over.state == "Completed", jobs.log(over.id)
    assert over.outputs["counts"]["predictions"] == over.progress["total"] == 5
    assert over.progress["unit"] == "rows"
    assert over.outputs["rows_per_s"] > 0
    workspace.close()
