"""`calotype evaluate` as its users see it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from calotype import errors
from calotype.cli.main import program
from calotype.scored_dataset import ScoredSchema

CLASSES = ("01", "NA", "é漢字")


def write(folder: Path, *, skill: float) -> Path:
    """Write 60 scored images of three classes; five have no category."""
    random = np.random.default_rng(0)
    actual = random.integers(0, 3, 60)
    logits = random.normal(size=(60, 3)) + skill * np.eye(3)[actual]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    categories = [None if row < 5 else CLASSES[k] for row, k in enumerate(actual)]
    labels = [CLASSES[k] for k in scores.argmax(axis=1)]
    columns = [range(60), [f"{row}.jpg" for row in range(60)], categories]
    columns += [scores[:, k].astype(np.float32) for k in range(3)] + [labels]
    schema = ScoredSchema.of(CLASSES, has_category=True)
    folder.mkdir()
    schema.write(folder)
    table = pa.table([pa.array(column) for column in columns], schema=schema.arrow_schema())
    pq.write_table(table, folder / "scored.parquet")
    return folder


def run(*arguments: str | Path) -> Result:
    """Run the program; errors of ours come out as they are."""
    return CliRunner().invoke(program, ["evaluate", *map(str, arguments)], prog_name="calotype")


def test_the_table_shows_metrics_with_intervals_counts_and_the_report(tmp_path: Path) -> None:
    scored = write(tmp_path / "scored", skill=2)
    result = run(scored, "--out", tmp_path / "out")
    assert result.exit_code == 0
    line = next(line for line in result.stdout.splitlines() if "Accuracy" in line)
    document = json.loads((tmp_path / "out/evaluation.json").read_text())
    accuracy = document["overall_accuracy"]
    assert f"{accuracy['value']:.4f}" in line
    assert f"{accuracy['low']:.4f} – {accuracy['high']:.4f}" in line
    assert "55 evaluated, 5 without a category" in result.stdout
    assert "report.html" in "".join(result.stdout.split())  # a long path is folded
    assert "Top-3 accuracy" in result.stdout


def test_two_sets_stand_side_by_side_with_their_difference(tmp_path: Path) -> None:
    left, right = write(tmp_path / "weak", skill=1), write(tmp_path / "strong", skill=4)
    result = run(left, right, "--out", tmp_path / "out")
    heading = next(line for line in result.stdout.splitlines() if "Metric" in line)
    assert heading.split() == ["Metric", "weak", "strong", "Difference"]
    assert max(map(len, result.stdout.splitlines()[:19])) <= 100
    assert "Images of weak" in result.stdout
    assert "Images of strong" in result.stdout


def test_json_is_the_document_and_nothing_else(tmp_path: Path) -> None:
    scored = write(tmp_path / "scored", skill=2)
    result = run(scored, "--out", tmp_path / "out", "-o", "json")
    assert json.loads(result.stdout) == json.loads((tmp_path / "out/evaluation.json").read_text())
    result = run(scored, scored, "--out", tmp_path / "out", "-o", "json")
    assert [each["name"] for each in json.loads(result.stdout)] == ["left", "right"]


def test_quiet_prints_nothing(tmp_path: Path) -> None:
    result = run(write(tmp_path / "scored", skill=2), "--out", tmp_path / "out", "-q")
    assert result.output == ""
    assert (tmp_path / "out/report.html").exists()


def test_help_shows_examples() -> None:
    result = run("--help")
    assert "calotype evaluate scored --out report" in result.output
    assert "SCORED [SCORED2]" in result.output


def test_out_is_required(tmp_path: Path) -> None:
    assert run(tmp_path).exit_code == 2


def test_errors_keep_their_number(tmp_path: Path) -> None:
    result = run(tmp_path / "nothing", "--out", tmp_path / "out")
    assert isinstance(result.exception, errors.InvalidDataset)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").touch()
    result = run(write(tmp_path / "scored", skill=2), "--out", tmp_path / "out")
    assert isinstance(result.exception, errors.AlreadyExists)


@pytest.mark.parametrize("name", ["scored.csv", "scored.parquet"])
def test_a_file_will_do(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path / "folder", skill=2)
    if name.endswith("csv"):
        from pyarrow import csv

        csv.write_csv(pq.read_table(folder / "scored.parquet"), folder / name)
    result = run(folder / name, "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert f"Images of {name}" in result.stdout
