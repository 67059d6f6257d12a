"""Whether what a service predicts has changed, and the page about it."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
from click.testing import CliRunner

from calotype import errors
from calotype.cli.main import program
from calotype.hosting.history import Minute
from calotype.hosting.layout import Layout
from calotype.models.validation_predictions import ValidationPredictions
from calotype.serving.collected_rows import PREDICTION_COLUMNS
from calotype.serving.collection import append_rows
from calotype.serving.metrics import BUCKETS_MS
from calotype.webservice import drift_statistics, metrics_page
from calotype.webservice.collected import CollectedDay, models_of, read_days
from calotype.webservice.drift_measurement import drift_of, measure
from calotype.webservice.drift_page import render, verdict
from calotype.webservice.drift_statistics import chi_square_tail, compare, holm, share_p_value
from calotype.workspace.service_settings import AccessSettings, Inference, RuntimeSettings
from calotype.workspace.services import Revision, Service, Version, machine, now
from calotype.workspace.workspace import Workspace

KNOWN = ValidationPredictions({"cat": 300, "dog": 150, "fox": 50}, (0,) * 19 + (500,))
TODAY = date(2026, 5, 20)


def day(back: int, confidences: tuple[float, ...] = (), **classes: int) -> CollectedDay:
    counts = Counter(classes)
    return CollectedDay(TODAY - timedelta(back), counts.total(), 0, counts, list(confidences))


def drawn(seed: int, count: int, **weights: float) -> dict[str, int]:
    names = random.Random(seed).choices(list(weights), list(weights.values()), k=count)
    return dict(Counter(names))


@pytest.mark.parametrize(
    ("value", "degrees", "expected"),
    [
        (3.841458820694124, 1, 0.05),
        (0.0157907740934312, 1, 0.9),
        (16.918977604620448, 9, 0.05),
        (1074.679, 1000, 0.05),
        (100.0, 10, 5.4e-17),
        (0.0, 5, 1.0),
    ],
)
def test_tail_of_chi_square(value: float, degrees: int, expected: float) -> None:
    assert chi_square_tail(value, degrees) == pytest.approx(expected, rel=1e-2)


def test_the_test_finds_as_many_drifts_by_chance_as_it_says() -> None:
    generator = np.random.default_rng(1)
    shares = [0.5, 0.3, 0.15, 0.05]
    p_values = [
        compare(
            generator.multinomial(400, shares).tolist(), generator.multinomial(300, shares).tolist()
        ).p_value
        for _ in range(1000)
    ]
    found = [p_value for p_value in p_values if p_value is not None and p_value < 0.05]
    assert 25 <= len(found) <= 80


def test_rare_classes_are_tested_together() -> None:
    reference = [100, *[1] * 40]
    assert compare(reference, [100, *[1] * 40]).groups == 2
    assert compare(reference, [100, *[1] * 40]).p_value == pytest.approx(1.0)
    assert compare([10], [10]).p_value is None
    assert compare([10, 0], [0, 0]).p_value is None
    shifted = drift_statistics.compare([100, 0], [50, 50])
    assert shifted.p_value is not None
    assert shifted.p_value < 1e-6
    assert shifted.psi > 1


def test_many_looks_are_paid_for() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert share_p_value(10, 100, 10, 100) == pytest.approx(1.0)
    assert share_p_value(0, 100, 0, 100) == 1.0
    assert share_p_value(10, 100, 40, 100) < 1e-4


def test_grown_and_shrunk_classes_are_named() -> None:
    days = [day(1, cat=40, dog=50, fox=10), day(0, cat=40, dog=50, fox=10)]
    found = drift_of("pets", "pets:1", KNOWN, "500 validation images", days)
    assert found.judgement == "drift"
    assert [shift.name for shift in found.grown] == ["dog"]
    assert [shift.name for shift in found.shrunk] == ["cat"]
    assert "More often than expected: dog (50.0 % instead of 30.0 %)" in verdict(found)
    assert found.document["classes"][0]["name"] in {"cat", "dog"}
    json.dumps(found.document)


def test_equal_distributions_are_no_drift_and_few_predictions_say_nothing() -> None:
    same = drift_of("pets", "m:1", KNOWN, "x", [day(0, cat=121, dog=59, fox=20)])
    assert same.judgement == "none"
    assert same.grown == same.shrunk == []
    few = drift_of("pets", "m:1", KNOWN, "x", [day(0, cat=1, dog=9)])
    assert few.judgement == "too few"
    many = ValidationPredictions({"cat": 30_000, "dog": 15_000, "fox": 5_000})
    slight = drift_of("pets", "m:1", many, "x", [day(0, cat=57_000, dog=32_000, fox=11_000)])
    assert slight.judgement == "slight"


def test_classes_that_the_model_does_not_know_count() -> None:
    found = drift_of("pets", "m:1", KNOWN, "x", [day(0, cat=60, dog=30, fox=10, wolf=40)])
    assert found.grown[0].name == "wolf"


def test_confidence_is_compared_when_both_know_it() -> None:
    unsure = day(0, tuple([0.55] * 200), **drawn(3, 200, cat=0.6, dog=0.3, fox=0.1))
    found = drift_of("pets", "m:1", KNOWN, "x", [unsure])
    assert found.confidence is not None
    assert found.confidence.p_value is not None
    assert found.confidence.p_value < 1e-9
    without = ValidationPredictions(KNOWN.classes)
    assert drift_of("pets", "m:1", without, "x", [unsure]).confidence is None


def test_the_page_is_whole_and_names_are_escaped() -> None:
    days = [
        day(back, tuple([0.9] * 50), **drawn(back, 100, **{"cat": 0.5, "<b>dog": 0.5}))
        for back in range(5, -1, -1)
    ]
    known = ValidationPredictions({"cat": 300, "<b>dog": 150, "fox": 50}, (0,) * 19 + (500,))
    page = render(drift_of("pets", "pets:1", known, "500 validation images", days))
    assert "<b>dog" not in page
    assert "&lt;b&gt;dog" in page
    assert "default-src 'none'" in page
    assert "http" not in page.split("</head>")[1]
    for word in ("Predicted classes by day", "Confidence", "Stability index", "Requests by day"):
        assert word in page
    render(drift_of("pets", "pets:1", known, "x", [day(0, cat=1)]))


# From the files of a service


def service_of(workspace: Workspace, *, collects: bool = False) -> Service:
    weights = workspace.place.root.parent / "weights.bin"
    weights.write_bytes(b"weights")
    workspace.models.register(weights, "pets")
    revision = Revision(1, ("pets:1",), Inference(), RuntimeSettings(collect_model_data=collects))
    version = Version("default", 100, True, True, 1, 1, "Healthy", None, (revision,))
    made = Service(
        "pets", "local", False, AccessSettings(), b"", "stopped", "Healthy", None, machine(),
        "", {}, {}, "me", now(), now(), (version,),
    )  # fmt: skip
    workspace.services.add(made)
    return made


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.create("drifting", tmp_path)


def collected(workspace: Workspace, back: int, *labels: str, status: int = 200) -> Path:
    at = datetime.now(UTC) - timedelta(days=back)
    folder = Layout.of(workspace.place).collected("pets") / "pets" / "1"
    lines = "".join(f"{at.isoformat()},r,0,{status},{label},0.9,\n" for label in labels)
    append_rows(folder / "predictions" / at.strftime("%Y/%m/%d"), PREDICTION_COLUMNS, lines)
    return folder


def test_days_are_read_and_failures_counted(workspace: Workspace) -> None:
    folder = collected(workspace, 0, "cat", "dog", "")
    collected(workspace, 0, "", status=500)
    collected(workspace, 2, "cat")
    collected(workspace, 9, "cat")
    days = read_days(folder, days=7)
    assert [one.requests for one in days] == [1, 4]
    collected(workspace, 2, "", status=422)  # refused: no failure of the service
    days = read_days(folder, days=7)
    assert [one.requests for one in days] == [2, 4]
    assert [one.failed for one in days] == [0, 1]
    assert days[1].classes == Counter({"cat": 1, "dog": 1})
    assert models_of(folder.parents[1]) == ["pets:1"]


def test_without_a_reference_the_first_day_is_one(workspace: Workspace) -> None:
    service_of(workspace)
    collected(workspace, 3, *["cat"] * 100, *["dog"] * 100)
    collected(workspace, 1, *["dog"] * 100)
    found = measure(workspace, "pets")
    assert found.judgement == "drift"
    assert found.grown[0].name == "dog"
    assert "the first day" in found.reference_is


def test_a_first_day_alone_is_compared_with_nothing(workspace: Workspace) -> None:
    service_of(workspace)
    collected(workspace, 0, *["cat"] * 100, *["dog"] * 100)
    found = measure(workspace, "pets")
    assert found.judgement == "no reference"
    assert verdict(found).startswith("There is nothing to compare with yet")
    assert (found.document["psi"], found.document["p_value"]) == (None, None)
    assert 'class="verdict no-reference"' in render(found)
    code, text = run(workspace, "drift", "-n", "pets")
    assert code == 0
    assert "nothing to compare with yet" in " ".join(text.split())
    assert "stability" not in text


def run(workspace: Workspace, *arguments: str) -> tuple[int, str]:
    place = str(workspace.place.root.parent)
    result = CliRunner().invoke(program, ["service", *arguments, "-w", place])
    return result.exit_code, result.output + str(result.exception or "")


def test_the_command_shows_and_writes_the_drift(workspace: Workspace, tmp_path: Path) -> None:
    service_of(workspace)
    collected(workspace, 1, *["cat"] * 100, *["dog"] * 100)
    collected(workspace, 0, *["dog"] * 100)
    code, text = run(workspace, "drift", "-n", "pets", "--out", str(tmp_path / "out"))
    assert code == 0, text
    assert "dog" in text
    assert "Drift of pets" in (tmp_path / "out" / "drift.html").read_text()
    written = json.loads((tmp_path / "out" / "drift.json").read_text())
    assert written["judgement"] == "drift"
    code, text = run(workspace, "drift", "-n", "pets", "-o", "json")
    assert json.loads(text) == written


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_what_was_collected_is_written_as_tables(
    workspace: Workspace, tmp_path: Path, format: str
) -> None:
    service_of(workspace)
    folder = collected(workspace, 0, "cat", "dog")
    day = datetime.now(UTC).strftime("%Y/%m/%d")
    append_rows(folder / "inputs" / day, ("age",), "2026-01-01T10:00:00.000Z,r1,0,3\n")
    append_rows(folder / "inputs" / day, ("name",), "2026-01-01T10:00:01.000Z,r2,0,Ann\n")
    out = tmp_path / "out"
    code, text = run(
        workspace, "collected", "-n", "pets", "--out", str(out), "--format", format, "-o", "json"
    )
    assert code == 0, text
    assert json.loads(text)["rows"] == {"inputs": 2, "predictions": 2}
    read = pyarrow.csv.read_csv if format == "csv" else pyarrow.parquet.read_table
    inputs = read(out / f"inputs.{format}")
    assert set(inputs.column_names) == {"time", "request_id", "row", "age", "name"}
    assert {3, None} == set(inputs["age"].to_pylist())
    code, text = run(workspace, "collected", "-n", "pets", "--out", str(out), "--model", "../a:1")
    assert code == 1
    assert "pets:1" in text


def test_a_service_that_collects_nothing_is_told_how_to(workspace: Workspace) -> None:
    service_of(workspace)
    with pytest.raises(errors.NotFound) as caught:
        measure(workspace, "pets")
    assert "--collect-model-data" in str(caught.value)
    workspace.services.delete("pets")
    service_of(workspace, collects=True)
    with pytest.raises(errors.NotFound) as caught:
        measure(workspace, "pets")
    assert "Call the service" in str(caught.value)
    collected(workspace, 0, "")
    with pytest.raises(errors.NotFound) as caught:
        measure(workspace, "pets")
    assert "class names" in str(caught.value)


def test_metrics_are_shown_and_drawn(workspace: Workspace, tmp_path: Path) -> None:
    from calotype.hosting.history import COLUMNS
    from calotype.serving.daily_tables import append_lines

    service_of(workspace)
    code, text = run(workspace, "metrics", "-n", "pets")
    assert code == 1
    assert "--enable-app-insights" in text
    folder = Layout.of(workspace.place).history("pets")
    for back in range(0, 180, 3):
        at = datetime.now(UTC) - timedelta(minutes=back)
        buckets = [10, 20 + back, 5, *[0] * (len(BUCKETS_MS) - 2)]
        numbers = [35 + back, back % 2, 1, 80.0, *buckets]
        line = [at.strftime("%Y-%m-%dT%H:%MZ"), "default", "a", *numbers]
        append_lines([folder / f"{at:%Y-%m-%d}.csv"], COLUMNS, ",".join(map(str, line)) + "\n")
    code, text = run(workspace, "metrics", "-n", "pets", "--out", str(tmp_path / "out"))
    assert code == 0, text
    assert "all 60 " in text
    assert "Metrics of pets" in (tmp_path / "out" / "metrics.html").read_text()
    code, text = run(workspace, "metrics", "-n", "pets", "-o", "json")
    document = json.loads(text)
    assert len(document["minutes"]) == 60
    assert document["total"]["requests"] == sum(35 + back for back in range(0, 180, 3))
    assert 1 < document["total"]["p50_ms"] < 2


def test_steps_of_a_chart_cover_the_time() -> None:
    since = datetime(2026, 1, 1, 10, 0, 30, tzinfo=UTC)
    steps = metrics_page.steps_of([], since=since, until=since + timedelta(hours=24))
    assert len(steps) <= 121
    assert {step.minutes for step in steps} == {12}


def minute(at: datetime, requests: int) -> Minute:
    buckets = [0] * (len(BUCKETS_MS) + 1)
    buckets[3] = requests
    return Minute(at, requests, 0, 0, 2.0 * requests, tuple(buckets))


def test_charts_cover_what_happened_with_dots_where_no_line_is() -> None:
    first = datetime(2026, 1, 1, 10, 0, tzinfo=UTC)
    minutes = [minute(first, 5), minute(first + timedelta(minutes=20), 7)]
    until = first + timedelta(minutes=21)
    page = metrics_page.render("pets", minutes, since=until - timedelta(hours=24), until=until)
    assert "Each place stands for 1 minute." in page
    assert page.count("<title>P50, 01 Jan 10:00") == page.count("<title>P50, 01 Jan 10:20") == 1
    requests = page.split("Failures:")[0].split("Requests: A minute")[1]
    ticks = re.findall(r'class="tick end"[^>]*>([^<]*)<', requests)
    assert ticks[0] == "0"
    assert all(tick.isdecimal() for tick in ticks)
    assert "2026-01-01 09:55 to 2026-01-01 10:21 UTC" in page
