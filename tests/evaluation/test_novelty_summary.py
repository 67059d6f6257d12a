"""Evaluation of the column Novelty."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drawn import draw
from sklearn.metrics import roc_auc_score

from calotype import errors
from calotype.evaluation import evaluate
from calotype.scored_dataset import ScoredSchema


def write(folder: Path, novelty: Any, *, is_perfect: bool = False) -> Path:
    scored = draw(200, 3, seed=5, skill=40.0 if is_perfect else 2.0)
    path = scored.write(folder)
    table = scored.table.append_column("Novelty", pa.array(novelty))
    pq.write_table(table, path / "scored.parquet")
    ScoredSchema.of(scored.classes, has_category=True, has_novelty=True).write(path)
    return path


def test_it_is_summed_up_in_document_and_report(tmp_path: Path) -> None:
    novelty = np.random.default_rng(1).random(200).astype(np.float32)
    path = write(tmp_path / "scored", novelty)
    result = evaluate(path, out=tmp_path / "out", resamples=10)
    document = json.loads((tmp_path / "out/evaluation.json").read_text())["novelty"]
    is_wrong = ~result.sets[0].measurement.outcomes.is_correct
    assert document == {
        "images": 200,
        "median": pytest.approx(float(np.median(novelty))),
        "above_95": pytest.approx((novelty > 0.95).mean()),
        "above_99": pytest.approx((novelty > 0.99).mean()),
        "mistakes_auc": pytest.approx(roc_auc_score(is_wrong, novelty)),
    }
    report = (tmp_path / "out/report.html").read_text()
    assert "<h3>Novelty</h3>" in report
    assert f"{np.median(novelty):.4f}" in report


def test_without_the_column_there_is_none(tmp_path: Path) -> None:
    evaluate(draw(50, 3).write(tmp_path / "scored"), out=tmp_path / "out", resamples=10)
    assert json.loads((tmp_path / "out/evaluation.json").read_text())["novelty"] is None
    assert "<h3>Novelty</h3>" not in (tmp_path / "out/report.html").read_text()


def test_without_mistakes_there_is_nothing_to_tell_apart(tmp_path: Path) -> None:
    path = write(tmp_path / "scored", np.full(200, 0.5), is_perfect=True)
    evaluate(path, out=tmp_path / "out", resamples=10)
    document = json.loads((tmp_path / "out/evaluation.json").read_text())["novelty"]
    assert document["mistakes_auc"] is None
    assert "–" in (tmp_path / "out/report.html").read_text()


@pytest.mark.parametrize("wrong", [[1.5] * 200, [None] + [0.5] * 199, ["x"] * 200])
def test_what_is_no_novelty_is_refused(wrong: list[Any], tmp_path: Path) -> None:
    path = write(tmp_path / "scored", wrong)
    with pytest.raises(errors.InvalidDataset, match="Novelty"):
        evaluate(path, out=tmp_path / "out", resamples=10)
