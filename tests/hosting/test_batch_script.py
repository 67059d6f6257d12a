"""Batch jobs with scripts, without a workspace: real workers, real files."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from batch_services import images

from calotype import errors
from calotype.hosting.batch.script_job import ScriptJob
from calotype.hosting.batch.settings import BatchSettings
from calotype.hosting.batch.worker_client import BatchScript

SIMPLE = """
import os
from pathlib import Path
def init():
    global model
    model = Path(os.environ["AZUREML_MODEL_DIR"], "name.txt").read_text()
    print("model is", model)
def run(mini_batch):
    assert all(Path(file).read_bytes()[:4] == b"\\x89PNG" for file in mini_batch)
    return [f"{os.path.basename(file)}: {model}" for file in mini_batch]
"""


def job(folder: Path, script: str, source: Path, *, workers: int = 1, **settings: Any) -> ScriptJob:
    """Return a job with a script of this text; results go to `folder/out`."""
    (folder / "code").mkdir(exist_ok=True)
    (folder / "code/score.py").write_text(script)
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model/name.txt").write_text("ridge")
    values: dict[str, Any] = {"mini_batch_size": 5, "retries": 0, "timeout_s": 20} | settings
    return ScriptJob(
        BatchScript(folder / "code/score.py", folder / "code", folder / "model"),
        {"script": script},
        source,
        folder / "out",
        folder / "scratch",
        BatchSettings(**values),
        workers=workers,
        part_s=0.0,
    )


def predictions(folder: Path) -> list[dict[str, Any]]:
    return pq.read_table(folder / "out/predictions.parquet").to_pylist()


def failures(folder: Path) -> list[dict[str, Any]]:
    return pq.read_table(folder / "out/errors.parquet").to_pylist()


@pytest.mark.parametrize("workers", [1, 2])
def test_every_file_has_its_row_in_the_order_of_the_images(tmp_path: Path, workers: int) -> None:
    run = job(tmp_path, SIMPLE, images(tmp_path / "images"), workers=workers).run()
    assert run["counts"] == {"images": 12, "predictions": 12, "errors": 0, "mini_batches": 3}
    rows = predictions(tmp_path)
    ordered = sorted(path.name for path in (tmp_path / "images").rglob("*.png"))
    assert sorted(row["prediction"] for row in rows) == [f"{name}: ridge" for name in ordered]
    assert [row["path"] for row in rows] == sorted(
        path.relative_to(tmp_path / "images").as_posix() for path in tmp_path.rglob("*.png")
    )
    assert all(Path(row["path"]).name in row["prediction"] for row in rows)
    assert pa_csv.read_csv(tmp_path / "out/predictions.csv").to_pylist() == rows
    assert json.loads((tmp_path / "out/run.json").read_text()) == run
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"run.json", "predictions.parquet", "predictions.csv", ".lock"}


def test_images_of_an_archive_are_files_for_the_script(tmp_path: Path) -> None:
    folder = images(tmp_path / "images")
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for path in sorted(folder.rglob("*.png")):
            archive.write(path, path.relative_to(folder))
    run = job(tmp_path, SIMPLE, tmp_path / "images.zip").run()
    assert run["counts"]["predictions"] == 12
    assert list((tmp_path / "scratch").iterdir()) == []  # unpacked only while they were needed


def test_what_a_script_raises_costs_its_mini_batch_and_no_other(tmp_path: Path) -> None:
    script = """
def run(mini_batch):
    if any("003" in file for file in mini_batch):
        raise ValueError("a bad file")
    return [{"label": "x"} for file in mini_batch]
"""
    source = images(tmp_path / "images")
    run = job(tmp_path, script, source, mini_batch_size=2).run()
    assert run["counts"] == {"images": 12, "predictions": 10, "errors": 2, "mini_batches": 6}
    assert {row["error_number"] for row in failures(tmp_path)} == {85}
    assert "ValueError: a bad file" in failures(tmp_path)[0]["message"]
    assert "cat/003.png" in {row["path"] for row in failures(tmp_path)}
    assert "cat/003.png" not in {row["path"] for row in predictions(tmp_path)}


ONCE_BAD = """
import os, sys, time
from pathlib import Path
tries = Path(__file__).with_name("tries")
def run(mini_batch):
    tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
    if len(tries.read_text()) < {good}:
        {bad}
    return mini_batch
"""
WAYS_TO_FAIL = {
    "it raises": "raise ValueError('not yet')",
    "it hangs": "time.sleep(600)",
    "it kills itself": "os.kill(os.getpid(), 9)",
    "it leaves": "os._exit(7)",
    "it ends the interpreter": "sys.exit(1)",
}


@pytest.mark.parametrize("bad", WAYS_TO_FAIL.values(), ids=WAYS_TO_FAIL)
def test_a_mini_batch_that_fails_is_tried_again(tmp_path: Path, bad: str) -> None:
    script = ONCE_BAD.format(good=2, bad=bad)
    timeout_s = 3 if "sleep" in bad else 60  # the second try has to answer in time, too
    work = job(tmp_path, script, images(tmp_path / "images", 3), retries=1, timeout_s=timeout_s)
    assert work.run()["counts"]["errors"] == 0
    assert (tmp_path / "code/tries").read_text() == "xx"


def test_after_the_last_retry_the_reason_stands_in_the_table(tmp_path: Path) -> None:
    script = ONCE_BAD.format(good=9, bad="time.sleep(600)")
    work = job(tmp_path, script, images(tmp_path / "images", 3), retries=1, timeout_s=0.3)
    assert work.run()["counts"] == {"images": 3, "predictions": 0, "errors": 3, "mini_batches": 1}
    assert "no end within 0.3 s" in failures(tmp_path)[0]["message"]
    assert predictions(tmp_path) == []
    tries = tmp_path / "code/tries"  # not even begun, if the machine is busy
    assert not tries.exists() or len(tries.read_text()) <= 2


FEWER = """
def run(mini_batch):
    return ["fine" for file in mini_batch][1:]
"""


def test_files_without_a_row_count_as_failed(tmp_path: Path) -> None:
    run = job(tmp_path, FEWER, images(tmp_path / "images"), mini_batch_size=6).run()
    assert run["counts"] == {"images": 12, "predictions": 10, "errors": 2, "mini_batches": 2}
    told = failures(tmp_path)
    assert [row["path"] for row in told] == ["mini-batch 0", "mini-batch 1"]
    assert "returned 5 rows for 6 files" in told[0]["message"]


def test_the_job_ends_with_the_error_that_is_one_too_many(tmp_path: Path) -> None:
    source = images(tmp_path / "images")
    with pytest.raises(errors.OperationFailed, match=r"at most 1 images to fail. Got 2"):
        job(tmp_path, FEWER, source, mini_batch_size=3, error_threshold=1).run()
    assert len(failures(tmp_path)) == 2
    run = job(tmp_path, FEWER, source, mini_batch_size=3, error_threshold=4).run()
    assert run["counts"] == {"images": 12, "predictions": 8, "errors": 4, "mini_batches": 4}


def test_a_broken_image_fails_alone(tmp_path: Path) -> None:
    source = images(tmp_path / "images")
    (source / "cat/000.png").write_bytes(b"no picture")
    run = job(tmp_path, SIMPLE, source).run()
    assert run["counts"]["predictions"] == 11
    assert [row["path"] for row in failures(tmp_path)] == ["cat/000.png"]


def test_a_summary_has_counts_and_no_rows(tmp_path: Path) -> None:
    run = job(tmp_path, SIMPLE, images(tmp_path / "images"), output_action="summary_only").run()
    assert run["counts"]["predictions"] == 12
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"run.json", ".lock"}


def test_init_that_fails_ends_the_job_with_its_trace(tmp_path: Path) -> None:
    script = "def init():\n    raise RuntimeError('no weights')\ndef run(mini_batch): ..."
    with pytest.raises(errors.ScriptFailed, match="RuntimeError: no weights") as caught:
        job(tmp_path, script, images(tmp_path / "images", 3), retries=3).run()
    assert 'score.py", line 2, in init' in caught.value.trace
    assert "script_worker" not in caught.value.trace


def test_a_script_without_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(errors.ScriptFailed, match=r"expected a function run\(mini_batch\)"):
        job(tmp_path, "x = 1", images(tmp_path / "images", 3)).run()


def test_old_names_can_be_imported_and_prints_do_not_mix_with_answers(tmp_path: Path) -> None:
    script = """
import os
from azureml.core.model import Model
def run(mini_batch):
    print("a line")
    os.write(1, b"to descriptor 1\\n")
    return [os.path.basename(Model.get_model_path("any")) for file in mini_batch]
"""
    job(tmp_path, script, images(tmp_path / "images", 3)).run()
    assert [row["prediction"] for row in predictions(tmp_path)] == ["name.txt"] * 3


def test_a_job_that_failed_goes_on_with_what_ended_it(tmp_path: Path) -> None:
    script = """
import os
from pathlib import Path
seen = Path(__file__).with_name("seen")
def run(mini_batch):
    if Path(__file__).with_name("stop").exists() and "/dog/" in mini_batch[0]:
        raise KeyboardInterrupt
    seen.write_text((seen.read_text() if seen.exists() else "") + f"{mini_batch[0]}\\n")
    return [os.path.basename(file) for file in mini_batch]
"""
    source = images(tmp_path / "images")
    work = job(tmp_path, script, source, mini_batch_size=4, error_threshold=0)
    (tmp_path / "code/stop").touch()
    with pytest.raises(errors.OperationFailed):
        work.run()
    assert len(failures(tmp_path)) == 4
    (tmp_path / "code/stop").unlink()
    assert work.run()["counts"]["predictions"] == 12
    assert len((tmp_path / "code/seen").read_text().split()) == 3  # each mini-batch once
    assert not (tmp_path / "out/errors.parquet").exists()


def test_a_finished_result_is_left_alone_and_another_is_not_overwritten(tmp_path: Path) -> None:
    source = images(tmp_path / "images")
    first = job(tmp_path, SIMPLE, source).run()
    before = (tmp_path / "out/predictions.parquet").stat().st_mtime_ns
    assert job(tmp_path, SIMPLE, source).run() == first
    assert (tmp_path / "out/predictions.parquet").stat().st_mtime_ns == before
    with pytest.raises(errors.AlreadyExists, match="one with other script"):
        job(tmp_path, SIMPLE + "\n", source).run()
    (tmp_path / "out/run.json").unlink()
    with pytest.raises(errors.AlreadyExists, match="the result of an earlier job"):
        job(tmp_path, SIMPLE, source).run()
