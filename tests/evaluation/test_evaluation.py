"""Evaluate Model from files to files."""

from __future__ import annotations

import csv
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drawn import Drawn, draw
from pyarrow import csv as arrow_csv

from calotype.evaluation import evaluate
from calotype.evaluation.confusion import UNKNOWN
from calotype.evaluation.metrics import METRICS
from calotype.scored_dataset import ERRORS_FILE, ScoredSchema, errors_schema, part_file

CONTRACT = (
    *("overall_accuracy", "average_accuracy", "micro_precision", "macro_precision"),
    *("micro_recall", "macro_recall", "macro_f1", "log_loss", "top_5_accuracy", "roc_auc", "ece"),
)
STRANGE = ("01", "NA", "null", "true", "", "é漢字", "<script>", 'a "b", c\n')


def document_of(path: Path, tmp_path: Path, **options: Any) -> Any:
    """Evaluate one set quickly and return what evaluation.json holds."""
    evaluate(path, out=tmp_path / "out", resamples=20, **options)
    return json.loads((tmp_path / "out" / "evaluation.json").read_text())


def rows_of(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_one_set_gives_one_object_with_every_metric_and_its_interval(tmp_path: Path) -> None:
    document = document_of(draw(80, 3).write(tmp_path / "scored"), tmp_path)
    for name in (*CONTRACT, *METRICS):
        metric = document[name]
        assert set(metric) == {"value", "low", "high"}
        assert metric["low"] <= metric["value"] <= metric["high"]
    assert document["name"] == "scored"
    assert document["scored_dataset"] == str(tmp_path / "scored")
    assert document["model"] == {"digest": "0123456789abcdef"}
    assert document["classes"] == ["class 00", "class 01", "class 02"]
    assert document["top_k"] == 3
    assert document["intervals"]["resamples"] == 20


def test_the_files_are_those_of_the_contract_and_nothing_else(tmp_path: Path) -> None:
    folder = draw(30, 3).write(tmp_path / "scored")
    evaluation = evaluate(folder, out=tmp_path / "out", resamples=5)
    names = {"evaluation.json", "metrics.parquet", "confusion_matrix.csv", "per_class.csv"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*names, "report.html"}
    assert {path.name for path in tmp_path.iterdir()} == {"scored", "out"}
    assert evaluation.report == tmp_path / "out" / "report.html"
    assert json.loads((tmp_path / "out/evaluation.json").read_text()) == evaluation.document


def test_the_same_evaluation_gives_the_same_files(tmp_path: Path) -> None:
    folder = draw(60, 3).write(tmp_path / "scored")
    for out in ("one", "two"):
        evaluate(folder, out=tmp_path / out, resamples=20, seed=5)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_an_earlier_evaluation_is_replaced_as_a_whole(tmp_path: Path) -> None:
    left, right = (draw(30, 3, seed=k).write(tmp_path / f"scored{k}") for k in (1, 2))
    (tmp_path / "out").mkdir()
    evaluate(left, right, out=tmp_path / "out", resamples=5)
    assert (tmp_path / "out" / "per_class_right.csv").exists()
    evaluate(right, out=tmp_path / "out", resamples=5)
    assert not (tmp_path / "out" / "per_class_right.csv").exists()
    assert json.loads((tmp_path / "out/evaluation.json").read_text())["name"] == "scored2"


def test_two_sets_give_a_list_of_two_left_first(tmp_path: Path) -> None:
    left = draw(90, 4, skill=1).write(tmp_path / "weak")
    right = draw(90, 4, skill=4).write(tmp_path / "strong")
    evaluation = evaluate(left, right, out=tmp_path / "out", resamples=50)
    documents = json.loads((tmp_path / "out/evaluation.json").read_text())
    assert [document["name"] for document in documents] == ["weak", "strong"]
    assert "comparison" not in documents[0]
    comparison = documents[1]["comparison"]
    assert comparison["paired"] is True
    assert comparison["images"] == {"both": 90, "only_left": 0, "only_right": 0}
    assert set(comparison["differences"]) == set(METRICS)
    assert comparison["differences"]["overall_accuracy"]["low"] > 0
    assert comparison["mcnemar"]["p_value"] < 0.05
    table = pq.read_table(tmp_path / "out/metrics.parquet").to_pylist()
    assert [row["name"] for row in table] == ["weak", "strong"]
    for row, evaluated in zip(table, evaluation.sets, strict=True):
        for name in METRICS:
            assert row[name] == evaluated.estimates[name].value
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"confusion_matrix_right.csv", "per_class_right.csv"} <= names


def test_classes_in_another_order_are_the_same_classes(tmp_path: Path) -> None:
    drawn = draw(90, ["a", "b", "c"], decimals=None)
    turned = Drawn(("c", "b", "a"), 2 - drawn.actual, drawn.scores[::-1], 2 - drawn.predicted)
    left, right = drawn.write(tmp_path / "left"), turned.write(tmp_path / "right")
    evaluation = evaluate(left, right, out=tmp_path / "out", resamples=20)
    assert evaluation.comparison is not None
    for name, difference in evaluation.comparison.differences.items():
        assert difference.value == pytest.approx(0, abs=1e-12), name
        assert difference.high == pytest.approx(0, abs=1e-12), name
    left_matrix, right_matrix = (
        rows_of(tmp_path / "out" / f"confusion_matrix{side}.csv") for side in ("", "_right")
    )
    assert left_matrix == right_matrix


def test_pairs_are_drawn_together_whatever_the_order_of_the_rows(tmp_path: Path) -> None:
    drawn = draw(90, 3)
    left = drawn.write(tmp_path / "left")
    right = drawn.write(tmp_path / "right")
    shuffled = np.random.default_rng(0).permutation(90)
    pq.write_table(drawn.table.take(shuffled), right / "scored.parquet")
    evaluation = evaluate(left, right, out=tmp_path / "out", resamples=20)
    assert evaluation.comparison is not None
    for name, difference in evaluation.comparison.differences.items():
        assert abs(difference.low) + abs(difference.high) < 1e-9, name


def test_sets_of_other_images_are_compared_unpaired_and_that_is_said(tmp_path: Path) -> None:
    drawn = draw(90, 3)
    left = drawn.write(tmp_path / "left")
    right = drawn.rows(np.arange(60)).write(tmp_path / "right")
    evaluate(left, right, out=tmp_path / "out", resamples=50)
    comparison = json.loads((tmp_path / "out/evaluation.json").read_text())[1]["comparison"]
    assert comparison["paired"] is False
    assert comparison["images"] == {"both": 60, "only_left": 30, "only_right": 0}
    assert comparison["mcnemar"]["only_left_correct"] == 0
    assert comparison["differences"]["overall_accuracy"]["low"] < 0
    assert "only in the first" in (tmp_path / "out/report.html").read_text()


def test_sets_of_other_images_are_drawn_independently(tmp_path: Path) -> None:
    drawn = draw(2000, 2, skill=1)
    hits_first = np.argsort(drawn.actual != drawn.predicted, kind="stable")
    left = drawn.rows(hits_first).write(tmp_path / "left")
    # The same rows without their names: were they drawn together, the difference would be 0.
    pq.write_table(drawn.rows(hits_first).table.drop_columns(["path"]), tmp_path / "right.parquet")
    evaluation = evaluate(left, tmp_path / "right.parquet", out=tmp_path / "out", resamples=200)
    assert evaluation.comparison is not None
    difference = evaluation.comparison.differences["overall_accuracy"]
    accuracy = evaluation.sets[0].estimates["overall_accuracy"]
    wider = (difference.high - difference.low) / (accuracy.high - accuracy.low)
    assert wider == pytest.approx(2**0.5, rel=0.25)


def test_without_common_images_there_is_no_test(tmp_path: Path) -> None:
    left = draw(30, 3).write(tmp_path / "left")
    table = draw(30, 3).table.drop_columns(["id", "path"])
    pq.write_table(table, tmp_path / "right.parquet")
    evaluate(left, tmp_path / "right.parquet", out=tmp_path / "out", resamples=5)
    comparison = json.loads((tmp_path / "out/evaluation.json").read_text())[1]["comparison"]
    assert comparison["mcnemar"] is None
    assert "which image each row is" in comparison["reason"]


def test_sets_of_one_name_are_told_apart(tmp_path: Path) -> None:
    paths = [draw(20, 2, seed=k).write(tmp_path / f"{k}" / "scored") for k in (1, 2)]
    evaluation = evaluate(*paths, out=tmp_path / "out", resamples=5)
    assert [evaluated.name for evaluated in evaluation.sets] == ["1/scored", "2/scored"]
    evaluation = evaluate(paths[0], paths[0], out=tmp_path / "out", resamples=5)
    assert [evaluated.name for evaluated in evaluation.sets] == ["left", "right"]


def test_no_row_is_dropped_silently(tmp_path: Path) -> None:
    drawn = replace(draw(50, 3, strangers=4), unlabelled=frozenset(range(7)))
    folder = drawn.write(tmp_path / "scored")
    failed = [{"id": 50, "path": "x.jpg", "error_number": 48, "message": "cut off"}]
    pq.write_table(pa.Table.from_pylist(failed, errors_schema()), folder / ERRORS_FILE)
    document = document_of(folder, tmp_path)
    assert document["rows"] == {
        "total": 50,
        "labelled": 43,
        "unlabelled": 7,
        "unknown_category": 4,
        "errors": 1,
    }
    assert document["unknown_categories"] == {"stranger": 4}
    known = drawn.rows(np.arange(7, 46)).measure().values["overall_accuracy"]
    assert document["overall_accuracy"]["value"] == pytest.approx(known * 39 / 43)


def test_the_confusion_matrix_has_actual_rows_and_predicted_columns(tmp_path: Path) -> None:
    drawn = replace(draw(50, ["a", "b"], strangers=3), unlabelled=frozenset({0}))
    document = document_of(drawn.write(tmp_path / "scored"), tmp_path)
    counts = [[0, 0], [0, 0], [0, 0]]
    for row in range(1, 50):
        counts[drawn.actual[row]][drawn.predicted[row]] += 1
    rows = rows_of(tmp_path / "out/confusion_matrix.csv")
    assert rows[0] == ["actual", "a", "b"]
    assert [row[0] for row in rows[1:]] == ["a", "b", UNKNOWN]
    assert [[int(cell) for cell in row[1:]] for row in rows[1:]] == counts
    assert document["confusion_matrix"]["images"] == counts
    assert document["confusion_matrix"]["actual"] == ["a", "b", UNKNOWN]


def test_the_table_of_classes_agrees_with_the_averages(tmp_path: Path) -> None:
    document = document_of(draw(80, 4).write(tmp_path / "scored"), tmp_path)
    heading, *rows = rows_of(tmp_path / "out/per_class.csv")
    columns = dict(zip(heading, zip(*rows, strict=True), strict=True))
    assert columns["class"] == ("class 00", "class 01", "class 02", "class 03")
    assert sum(map(int, columns["support"])) == sum(map(int, columns["predicted"])) == 80
    for name in ("precision", "recall", "f1"):
        mean = np.mean([float(value) for value in columns[name]])
        assert document[f"macro_{name}"]["value"] == pytest.approx(mean)
    for name in ("roc_auc", "pr_auc"):
        mean = np.mean([float(value) for value in columns[name]])
        assert document[name]["value"] == pytest.approx(mean)


def test_what_has_no_value_is_null_with_its_reason(tmp_path: Path) -> None:
    drawn = draw(20, 2, skill=0)
    drawn.actual[:] = 0
    document = document_of(drawn.write(tmp_path / "scored"), tmp_path)
    reason = document["roc_auc"].pop("reason")
    assert "images of others" in reason
    assert document["roc_auc"] == {"value": None, "low": None, "high": None}
    assert document["per_class"][0]["roc_auc"] is None
    assert rows_of(tmp_path / "out/per_class.csv")[1][-1] == ""
    assert pq.read_table(tmp_path / "out/metrics.parquet").column("pr_auc").to_pylist() == [None]
    assert document["curves"] == []


def test_of_two_classes_the_second_is_the_positive_one(tmp_path: Path) -> None:
    drawn = draw(60, ["good", "bad"])
    binary = document_of(drawn.write(tmp_path / "scored"), tmp_path)["binary"]
    is_bad, is_called_bad = drawn.actual == 1, drawn.predicted == 1
    assert binary["positive_class"] == "bad"
    assert binary["true_positive"] == (is_bad & is_called_bad).sum()
    assert binary["false_positive"] == (~is_bad & is_called_bad).sum()
    assert binary["false_negative"] == (is_bad & ~is_called_bad).sum()
    assert binary["true_negative"] == (~is_bad & ~is_called_bad).sum()


def test_reliability_bins_are_in_the_document(tmp_path: Path) -> None:
    bins = document_of(draw(60, 3).write(tmp_path / "scored"), tmp_path)["calibration"]
    assert len(bins) == 15
    assert sum(each["images"] for each in bins) == 60
    assert bins[0] == {"low": 0, "high": 1 / 15, "images": 0, "confidence": None, "accuracy": None}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_strange_class_names_go_through_every_file(tmp_path: Path, suffix: str) -> None:
    drawn = draw(200, STRANGE, skill=3)
    folder = drawn.write(tmp_path / "scored")
    if suffix == "csv":
        (folder / "scored.parquet").unlink()
        arrow_csv.write_csv(drawn.table, folder / "scored.csv")
    document = document_of(folder, tmp_path)
    assert document["classes"] == list(STRANGE)
    assert document["rows"]["labelled"] == 200
    expected = drawn.measure().values
    for name in METRICS:
        assert document[name]["value"] == pytest.approx(expected[name]), name
    assert tuple(rows_of(tmp_path / "out/confusion_matrix.csv")[0][1:]) == STRANGE
    assert tuple(row[0] for row in rows_of(tmp_path / "out/per_class.csv")[1:]) == STRANGE


def test_parts_give_what_the_whole_gives(tmp_path: Path) -> None:
    drawn = replace(draw(90, 3), unlabelled=frozenset({1, 40, 89}))
    whole = drawn.write(tmp_path / "a" / "scored")
    parts = drawn.write(tmp_path / "b" / "scored")
    (parts / "scored.parquet").unlink()
    for number, start in enumerate((0, 10, 60)):
        rows = drawn.table.slice(start, (10, 50, 30)[number])
        pq.write_table(rows, parts / part_file(number))
    documents = [document_of(path, tmp_path) | {"scored_dataset": ""} for path in (whole, parts)]
    assert documents[0] == documents[1]


def test_a_table_of_another_program_is_enough(tmp_path: Path) -> None:
    table = draw(40, 3).table.drop_columns(["id", "path"])
    category = table.column("category").cast(pa.dictionary(pa.int8(), pa.string()))
    table = table.set_column(0, "category", category)
    pq.write_table(table, tmp_path / "table.parquet")
    document = document_of(tmp_path / "table.parquet", tmp_path)
    assert document["rows"]["labelled"] == 40
    assert document["model"] is None


def test_integer_labels_on_both_sides_are_names(tmp_path: Path) -> None:
    table = pa.table(
        {
            "category": [3, 7, 7],
            "Scored Probabilities_3": [0.9, 0.2, 0.6],
            "Scored Probabilities_7": [0.1, 0.8, 0.4],
            "Scored Labels": [3, 7, 3],
        }
    )
    pq.write_table(table, tmp_path / "table.parquet")
    document = document_of(tmp_path / "table.parquet", tmp_path)
    assert document["overall_accuracy"]["value"] == pytest.approx(2 / 3)


def test_the_designers_double_precision_is_kept(tmp_path: Path) -> None:
    low = 1e-12  # a float32 would be clipped at 1.2e-7
    table = pa.table(
        {
            "category": ["a", "b"],
            "id": [0, 1],
            "Scored Probabilities_a": [1 - low, low],
            "Scored Probabilities_b": [low, 1 - low],
            "Scored Labels": ["a", "b"],
        }
    )
    (tmp_path / "scored").mkdir()
    pq.write_table(table, tmp_path / "scored" / "_data.parquet")
    document = document_of(tmp_path / "scored", tmp_path)
    assert document["log_loss"]["value"] == pytest.approx(low, rel=1e-3)


def test_a_failed_write_leaves_the_earlier_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = draw(30, 3).write(tmp_path / "scored")
    evaluate(folder, out=tmp_path / "out", resamples=5)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    def fail(*_: object, **__: object) -> str:
        raise RuntimeError("no report today")

    monkeypatch.setattr("calotype.evaluation.output.render", fail)
    with pytest.raises(RuntimeError, match="no report today"):
        evaluate(folder, out=tmp_path / "out", resamples=5, seed=1)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert sorted(os.listdir(tmp_path)) == ["out", "scored"]


def test_a_thousand_classes_take_seconds_and_little_room(tmp_path: Path) -> None:
    drawn = draw(5000, 1000, skill=6)
    document = document_of(drawn.write(tmp_path / "scored"), tmp_path)
    assert document["confusion_matrix"] is None
    assert 0 < len(document["most_confused"]) <= 30
    assert len(document["curves"]) == 11  # the ten largest classes and the mean
    assert len(rows_of(tmp_path / "out/confusion_matrix.csv")) == 1001
    assert (tmp_path / "out/report.html").stat().st_size < 1_000_000
    assert (tmp_path / "out/evaluation.json").stat().st_size < 1_000_000
    shutil.rmtree(tmp_path / "out")


def test_the_schema_names_columns_that_the_reader_follows(tmp_path: Path) -> None:
    drawn = draw(20, ["a", "b"])
    folder = drawn.write(tmp_path / "scored")
    renamed = {"Scored Probabilities_a": "p1", "Scored Probabilities_b": "p2", "category": "truth"}
    table = drawn.table.rename_columns([renamed.get(n, n) for n in drawn.table.column_names])
    pq.write_table(table, folder / "scored.parquet")
    columns = {"a": "p1", "b": "p2"}
    ScoredSchema(label_column="truth", classes=("a", "b"), probability_columns=columns).write(
        folder
    )
    document = document_of(folder, tmp_path)
    assert document["overall_accuracy"]["value"] == drawn.measure().values["overall_accuracy"]
