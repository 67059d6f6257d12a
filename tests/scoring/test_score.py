"""Score Image Model: the scored dataset, and runs that are broken off."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from calotype import errors, files
from calotype.models.image_model import ImageModel
from calotype.scored_dataset import ScoredDataset
from calotype.scoring.score import score
from calotype.scoring.scorer import Scorer

# A run that closes a part every fraction of a second, so that a kill finds some closed; halfway it
# waits for its end, however late that comes.
SLOW_RUN = """
import signal, sys, time
from pathlib import Path
from calotype.scoring import score as module
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it in the background
from calotype.scoring.scorer import Scorer
module._ROWS_PER_GROUP = 8

is_resumed = "--resume" in sys.argv
done = 0

class Slow(module.SILENCE.__class__):
    def begin(self, task, **_):
        global done
        done = 0 if task == "scoring" else -1_000_000

    def advance(self, count=1, *, note=""):
        global done
        done += count
        time.sleep(0.005 * count)
        while done >= 104 and not is_resumed:
            time.sleep(0.005)

print("begun", flush=True)
module.score(Scorer(sys.argv[1], "fp32"), Path(sys.argv[2]), Path(sys.argv[3]),
             part_s=0.02, resume=is_resumed, progress=Slow())
"""


@pytest.fixture(scope="module")
def scorer(model: ImageModel) -> Scorer:
    return Scorer(model, "fp32")


def rows(folder: Path) -> Any:
    return pa.Table.from_batches(ScoredDataset.load(folder).batches())


def test_a_scored_dataset_is_as_documented(
    scorer: Scorer, photograph_folder: Path, tmp_path: Path
) -> None:
    result = score(scorer, photograph_folder, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"scored.parquet", "_schema.json", "run.json", ".lock"}
    run = json.loads((tmp_path / "out/run.json").read_text())
    assert run == result.run
    assert run["status"] == "complete"
    assert run["counts"] == {"images": 208, "scored": 208, "errors": 0}
    assert run["model"]["digest"] == scorer.model.digest
    assert run["precision"] == "fp32"
    assert run["images_per_s"] > 0
    table = rows(tmp_path / "out")
    assert table.column("id").to_pylist() == list(range(208))
    assert table.column_names[:3] == ["id", "path", "category"]
    assert table.column_names[-1] == "Scored Labels"


def test_unlabelled_images_have_no_category_column(
    scorer: Scorer, photograph_folder: Path, tmp_path: Path
) -> None:
    score(scorer, photograph_folder / "red", tmp_path / "out")
    assert "category" not in rows(tmp_path / "out").column_names


def test_csv_holds_the_same_rows(scorer: Scorer, photograph_folder: Path, tmp_path: Path) -> None:
    score(scorer, photograph_folder, tmp_path / "parquet")
    score(scorer, photograph_folder, tmp_path / "csv", format="csv")
    assert (tmp_path / "csv/scored.csv").is_file()
    assert rows(tmp_path / "csv").equals(
        rows(tmp_path / "parquet").cast(rows(tmp_path / "csv").schema)
    )


def test_unreadable_images_are_listed_with_their_reason(
    scorer: Scorer, photograph_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "Fotos — 写真"
    folder.mkdir()
    good = next(photograph_folder.rglob("*.jpg")).read_bytes()
    (folder / "a.jpg").write_bytes(good)
    (folder / "b ü.jpg").write_bytes(good[:3000])
    (folder / "c.jpg").write_bytes(good)
    result = score(scorer, folder, tmp_path / "out")
    assert result.run["counts"] == {"images": 3, "scored": 2, "errors": 1}
    (failure,) = ScoredDataset.load(tmp_path / "out").errors().to_pylist()
    assert (failure["id"], failure["path"], failure["error_number"]) == (1, "b ü.jpg", 48)
    assert "b ü.jpg" in failure["message"]
    with pytest.raises(errors.UnreadableFile):
        score(scorer, folder, tmp_path / "out2", on_error="fail")


def test_files_of_a_plain_folder_that_only_look_like_images_are_listed_too(
    scorer: Scorer, photograph_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    shutil.copytree(photograph_folder / "red", folder)
    (folder / "letter.jpg").write_text("Dear reader")
    (folder / "notes.txt").write_text("not meant as an image")
    result = score(scorer, folder, tmp_path / "out")
    assert result.run["counts"]["errors"] == 1
    (failure,) = ScoredDataset.load(tmp_path / "out").errors().to_pylist()
    assert (failure["id"], failure["path"], failure["error_number"]) == (None, "letter.jpg", 48)
    with pytest.raises(errors.UnreadableFile, match=r"letter\.jpg"):
        score(scorer, folder, tmp_path / "out2", on_error="fail")


def test_a_second_run_of_the_same_says_that_it_is_done(
    scorer: Scorer, photograph_folder: Path, tmp_path: Path
) -> None:
    first = score(scorer, photograph_folder, tmp_path / "out")
    before = (tmp_path / "out/scored.parquet").stat().st_mtime_ns
    again = score(scorer, photograph_folder, tmp_path / "out")
    assert again.was_complete
    assert not first.was_complete
    assert again.run == first.run
    assert (tmp_path / "out/scored.parquet").stat().st_mtime_ns == before


def test_a_run_with_other_settings_does_not_overwrite(
    scorer: Scorer, model: ImageModel, photograph_folder: Path, tmp_path: Path
) -> None:
    score(scorer, photograph_folder, tmp_path / "out")
    with pytest.raises(errors.AlreadyExists, match="precision"):
        score(Scorer(model, "bf16"), photograph_folder, tmp_path / "out")
    with pytest.raises(errors.AlreadyExists, match="images"):
        score(scorer, photograph_folder / "red", tmp_path / "out")


def test_a_folder_of_something_else_is_refused_at_once(
    scorer: Scorer, photograph_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/love.txt").write_text("dear")
    with pytest.raises(errors.AlreadyExists) as caught:
        score(scorer, photograph_folder, tmp_path / "letters")
    assert caught.value.number == 57
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["love.txt"]


def test_two_runs_at_once_have_one_writer(
    scorer: Scorer, photograph_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with files.locked(out / ".lock", what="a test"), pytest.raises(errors.Busy):
        score(scorer, photograph_folder, out)
    score(scorer, photograph_folder, out)


def test_a_place_that_cannot_be_written_is_one_clear_error(
    scorer: Scorer, photograph_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.CannotWrite) as caught:
        score(scorer, photograph_folder, tmp_path / "file" / "out")
    assert caught.value.number == 46


@contextmanager
def begun(arguments: list[str], tmp_path: Path) -> Generator[subprocess.Popen[str]]:
    script = tmp_path / "slow_run.py"
    script.write_text(SLOW_RUN)
    with subprocess.Popen(
        [sys.executable, str(script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            yield process
        finally:
            process.kill()


def wait_for_part(out: Path, process: subprocess.Popen[str], *, parts: int) -> None:
    deadline_s = time.monotonic() + 120
    while len(list(out.glob("part-*.parquet"))) < parts:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


@pytest.mark.parametrize("parts", [1, 3])
def test_killed_at_any_moment_it_goes_on_without_a_lost_or_doubled_row(
    scorer: Scorer, photograph_folder: Path, tmp_path: Path, parts: int
) -> None:
    score(scorer, photograph_folder, tmp_path / "whole")
    out = tmp_path / "killed"
    arguments = [str(scorer.model.path), str(photograph_folder), str(out)]
    with begun(arguments, tmp_path) as process:
        wait_for_part(out, process, parts=parts)
    state = json.loads((out / "run.json").read_text())
    assert state["status"] == "running"
    with pytest.raises(errors.AlreadyExists, match="--resume"):
        score(scorer, photograph_folder, out)
    with begun([*arguments, "--resume"], tmp_path) as resumed:
        _, problem = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, problem
    assert rows(out).combine_chunks().equals(rows(tmp_path / "whole").combine_chunks())
    finished = json.loads((out / "run.json").read_text())
    assert finished["counts"] == {"images": 208, "scored": 208, "errors": 0}
    assert not list(out.glob(".part-*"))


def test_resuming_what_never_began_or_has_finished_just_works(
    scorer: Scorer, photograph_folder: Path, tmp_path: Path
) -> None:
    score(scorer, photograph_folder, tmp_path / "out", resume=True)
    assert score(scorer, photograph_folder, tmp_path / "out", resume=True).was_complete


def test_killed_between_the_last_two_steps_it_still_resumes(
    scorer: Scorer, photograph_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    score(scorer, photograph_folder, out)
    expected = rows(out)
    state = json.loads((out / "run.json").read_text())
    state["status"] = "running"
    state["parts"][0].update(file="part-00000.parquet", failures=[])
    (out / "run.json").write_text(json.dumps(state))
    score(scorer, photograph_folder, out, resume=True)
    assert rows(out).equals(expected)


def test_ctrl_c_keeps_what_was_done(
    scorer: Scorer, photograph_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = [str(scorer.model.path), str(photograph_folder), str(out)]
    with begun(arguments, tmp_path) as process:
        wait_for_part(out, process, parts=1)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    state = json.loads((out / "run.json").read_text())
    assert state["status"] == "running"
    assert 0 < sum(part["images"] for part in state["parts"]) < 208
    score(scorer, photograph_folder, out, resume=True)
    assert rows(out).column("id").to_pylist() == list(range(208))


def test_a_full_disk_is_one_clear_error_and_nothing_is_lost(
    scorer: Scorer, photograph_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = [
        str(Path(sys.executable).with_name("calotype")),
        *("score", "--model", str(scorer.model.path), "--images", str(photograph_folder)),
        *("--precision", "fp32", "--out", str(out)),
    ]

    def limit_files() -> None:  # a file of at most 100 kB: as a disk that fills up
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    failed = subprocess.run(
        command, preexec_fn=limit_files, capture_output=True, text=True, check=False
    )
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith("error 0046: ")
    assert "Traceback" not in failed.stderr
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert rows(out).column("id").to_pylist() == list(range(208))


def test_nothing_is_written_into_a_fresh_home(
    scorer: Scorer, photograph_folder: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    kept = {key: value for key, value in os.environ.items() if not key.startswith("XDG")}
    for precision in ("fp32", "bf16", "int8"):
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("calotype")),
                *("-q", "score", "--model", str(scorer.model.path), "--precision", precision),
                *("--images", str(photograph_folder), "--out", str(tmp_path / precision)),
            ],
            env={**kept, "HOME": str(home), "CALOTYPE_CACHE": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            check=False,
        )
        without_bf16 = precision == "bf16" and "a CPU that computes in bf16" in done.stderr
        assert done.returncode == 0 or without_bf16, done.stderr
    assert list(home.rglob("*")) == []


def test_images_that_disappear_are_errors_not_crashes(
    scorer: Scorer, photograph_folder: Path, tmp_path: Path
) -> None:
    from calotype.images.convert import convert

    shutil.copytree(photograph_folder / "red", tmp_path / "photos")
    directory = convert(tmp_path / "photos", tmp_path / "directory")
    victim = sorted((tmp_path / "photos").iterdir())[2]
    victim.unlink()
    result = score(scorer, directory, tmp_path / "out")
    assert result.run["counts"]["errors"] == 1
    (failure,) = ScoredDataset.load(tmp_path / "out").errors().to_pylist()
    assert failure["path"] == victim.name
    # The whole row set is still there, in order, one row for each readable image.
    assert rows(tmp_path / "out").num_rows == len(directory) - 1


def test_a_plain_picture_is_a_source_too(scorer: Scorer, tmp_path: Path) -> None:
    Image.new("RGB", (300, 200), "blue").save(tmp_path / "sky.webp")
    result = score(scorer, tmp_path / "sky.webp", tmp_path / "out")
    assert result.run["counts"]["scored"] == 1
    assert rows(tmp_path / "out").column("path").to_pylist() == ["sky.webp"]
