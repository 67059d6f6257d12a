"""The history of a service by minute, and that replicas write it with what they collect."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hosted import hosting

from calotype.hosting import history
from calotype.hosting.history import COLUMNS, History, percentile_ms, read, together
from calotype.serving.daily_tables import append_lines, rows_of
from calotype.serving.metrics import BUCKETS_MS, Meter

LABELS = "def init(): pass\ndef run(data): return ['cat']\n"
NEVER_S = 1e9  # else a new minute could begin in the midst of a test
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def answer(meter: Meter, status: int, total_ms: float) -> None:
    meter.begin()
    meter.end(status, total_ms, {})


def written(folder: Path, minute: str, replica: str, *, version: str = "default") -> None:
    buckets = [10, *[0] * len(BUCKETS_MS)]
    values = [minute, version, replica, 10, 1, 2, 5.0, *buckets]
    append_lines([folder / f"{minute[:10]}.csv"], COLUMNS, ",".join(map(str, values)) + "\n")


def test_what_was_counted_is_written_and_nothing_twice(tmp_path: Path) -> None:
    meter = Meter()
    answer(meter, 200, 3.0)  # before: of nobody's history
    first = History(tmp_path, version="default", replica="a", meter=meter, period_s=NEVER_S)
    answer(meter, 200, 3.0)
    answer(meter, 500, 30.0)
    answer(meter, 422, 0.5)
    meter.refuse(413)
    first.close()
    History(tmp_path, version="default", replica="a", meter=meter).close()
    (path,) = tmp_path.iterdir()
    assert len(list(rows_of(path))) == 1
    (minute,) = read(tmp_path, since=LONG_AGO)
    assert (minute.requests, minute.failures, minute.refused) == (3, 1, 2)
    assert minute.total_ms == pytest.approx(33.5)
    assert sum(minute.buckets) == 3
    assert path.stat().st_mode & 0o777 == 0o600


def test_replicas_are_added_up_by_minute_and_version(tmp_path: Path) -> None:
    written(tmp_path, "2026-01-01T23:59Z", "a")
    written(tmp_path, "2026-01-01T23:59Z", "b", version="next")
    written(tmp_path, "2026-01-02T00:00Z", "a")
    with (tmp_path / "2026-01-02.csv").open("a") as file:
        file.write("2026-01-02T00:01Z,default,a,1")  # its replica was killed
    both = read(tmp_path, since=LONG_AGO)
    assert [minute.requests for minute in both] == [20, 10]
    assert [minute.requests for minute in read(tmp_path, since=LONG_AGO, version="next")] == [10]
    assert len(read(tmp_path, since=datetime(2026, 1, 2, tzinfo=UTC))) == 1
    all_of_it = together(both)
    assert all_of_it is not None
    assert (all_of_it.requests, all_of_it.failures, all_of_it.refused) == (30, 3, 6)
    assert all_of_it.mean_ms == 0.5
    assert all_of_it.percentile_ms(50) == 0.5
    assert together([]) is None


def test_percentiles_are_between_the_bounds() -> None:
    rest = (0,) * (len(BUCKETS_MS) - 2)
    assert percentile_ms((0, 0, *rest, 0), 50) is None
    assert percentile_ms((0, 10, *rest, 0), 50) == 1.5
    assert percentile_ms((0, 10, *rest, 10), 99) == BUCKETS_MS[-1]


def test_old_days_go(tmp_path: Path) -> None:
    old = (datetime.now(UTC) - timedelta(days=history.KEPT_DAYS + 1)).strftime("%Y-%m-%dT%H:%MZ")
    written(tmp_path, old, "a")
    meter = Meter()
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    kept = History(tmp_path, version="default", replica="a", meter=meter, period_s=NEVER_S)
    answer(meter, 200, 1.0)
    kept.close()
    days = {day, datetime.now(UTC).strftime("%Y-%m-%d")}
    assert [path.stem in days for path in tmp_path.iterdir()] == [True]


def test_a_replica_writes_its_history_and_collects_when_asked() -> None:
    with hosting() as hosted:
        hosted.add("labels", LABELS, telemetry=True, collect_model_data=True)
        hosted.until_state("labels", "Healthy")
        for number in range(3):
            assert hosted.score("labels", {"number": number})[0] == 200
        layout = hosted.layout
        log = next(layout.logs("labels").glob("*.log"))
        assert log.stat().st_mode & 0o077 == 0
        hosted.update("labels", LABELS.replace("cat", "dog"))
        hosted.until(
            "labels", lambda seen: {one.revision for one in seen.replicas} == {2}, "it left"
        )
        assert sum(one.requests for one in read(layout.history("labels"), since=LONG_AGO)) == 3
        tables = [path for path in layout.collected("labels").rglob("data.csv")]
        rows = [row for path in tables for row in rows_of(path) if "number" in row]
        assert sorted(row["number"] for row in rows) == ["0", "1", "2"]
        labels = [row["label"] for path in tables for row in rows_of(path) if "label" in row]
        assert labels == ["cat"] * 3
