"""A run that is killed goes on where it was, to the same weights as if nothing had happened."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from small_digits import SMALL, Told

from calotype import errors
from calotype.images.image_directory import ImageDirectory
from calotype.models.image_model import ImageModel
from calotype.models.tensors import save_tensors
from calotype.progress import SILENCE
from calotype.training import fit, run
from calotype.training.checkpoints import Checkpoints, folder_of
from calotype.training.epochs import read_epochs
from calotype.training.fit import fit_job
from calotype.training.interrupts import Interrupts
from calotype.training.job import Job
from calotype.training.outcome import Listeners
from calotype.training.parameters import Network, TrainingParameters
from calotype.training.train import train

Digits = Callable[[str], ImageDirectory]
TINY = Network("test_resnet", pretrained="none")
CHOSEN: dict[str, Any] = {
    "epochs": 5,
    "batch_size": 20,
    "learning_rate": 0.02,
    "optimizer": "adamw",
    "ema": 0.9,
    "mixup": 0.2,
    "patience": 9,
}
EROSION = SMALL.model_copy(update={"random_erasing": True})
# `calotype` without its trial export, which takes longer than all the rest.
PROGRAM = """
import sys, time
from calotype.cli.main import main
from calotype.training import fit
from calotype.training.batches import LabeledImages

fit.check_exportable = lambda *_arguments, **_options: None
"""
# In the middle of its third epoch it waits for its end, however late that comes.
WAITING = (
    PROGRAM
    + """
batches_of = LabeledImages.training_batches

def batches(*arguments, epoch, **options):
    for batch in batches_of(*arguments, epoch=epoch, **options):
        yield batch
        while epoch == 3 and batch.index == 6:
            time.sleep(0.01)

LabeledImages.training_batches = batches
"""
)


def trained(
    digits: Digits,
    out: Path,
    *,
    resume: bool = False,
    listeners: Listeners | None = None,
    **chosen: Any,
) -> ImageModel:
    return train(
        TINY,
        digits("learn"),
        digits("check"),
        out,
        transformation=EROSION,
        parameters=TrainingParameters.of({**CHOSEN, **chosen}),
        resume=resume,
        listeners=listeners,
    )


def weights(model: ImageModel) -> str:
    return hashlib.sha256(model.file("weights.safetensors").read_bytes()).hexdigest()


def command(
    digits: Digits, transformation: Path, out: Path, *more: str, program: str = PROGRAM
) -> list[str]:
    options = [f"--{key.replace('_', '-')}={value}" for key, value in CHOSEN.items()]
    return [
        *(sys.executable, "-c", f"{program}\nmain()", "train", "--architecture", "test_resnet"),
        *("--train", str(digits("learn").path), "--validation", str(digits("check").path)),
        *("--transformation", str(transformation), "--out", str(out)),
        *("--pretrained", "none", *options, *more),
    ]


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + 240  # it has torch to load first, on a busy machine
    while not condition() and process.poll() is None and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert condition()


@pytest.fixture(scope="module", autouse=True)
def exportable() -> Iterator[None]:
    """Spare each of many trainings here the trial export, which takes longer than they do."""
    with mock.patch.object(fit, "check_exportable"):
        yield


@pytest.fixture(scope="module")
def undisturbed(digits: Digits, tmp_path_factory: pytest.TempPathFactory) -> ImageModel:
    return trained(digits, tmp_path_factory.mktemp("undisturbed") / "model")


@pytest.fixture
def transformation(tmp_path: Path) -> Path:
    EROSION.save(tmp_path / "transformation")
    return tmp_path / "transformation"


def test_the_same_seed_gives_the_same_weights(
    digits: Digits, undisturbed: ImageModel, tmp_path: Path
) -> None:
    assert weights(trained(digits, tmp_path / "again")) == weights(undisturbed)
    assert weights(trained(digits, tmp_path / "other", random_seed=2)) != weights(undisturbed)


def test_a_finished_run_leaves_its_model_and_nothing_else(undisturbed: ImageModel) -> None:
    assert [path.name for path in undisturbed.path.parent.iterdir()] == ["model"]
    assert undisturbed.has("training.html")
    rows = read_epochs(undisturbed.file("epochs.parquet"))
    assert rows == undisturbed.description.training["epoch_metrics"]


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(
    digits: Digits, undisturbed: ImageModel, transformation: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    table = folder_of(out) / "epochs.parquet"
    process = subprocess.Popen(command(digits, transformation, out, "-q", program=WAITING))
    wait_until(lambda: table.exists() and len(read_epochs(table)) >= 2, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    names = {path.name.split("-")[0] for path in folder_of(out).glob("[!.]*.safetensors")}
    assert names == {"last.safetensors", "best"}

    with pytest.raises(errors.AlreadyExists, match="Add --resume to go on where it") as again:
        trained(digits, out)
    assert again.value.number == 57
    model = trained(digits, out, resume=True)
    assert weights(model) == weights(undisturbed)
    assert len(model.description.training["epoch_metrics"]) == 5
    assert not folder_of(out).exists()


@pytest.mark.slow
def test_ctrl_c_leaves_a_usable_model_and_the_rest_can_be_done_later(
    digits: Digits, transformation: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    table = folder_of(out) / "epochs.parquet"
    # So many epochs that Ctrl-C never comes too late.
    many = command(digits, transformation, out, "--epochs", "500", "--patience", "500")
    process = subprocess.Popen(many, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: table.exists() and len(read_epochs(table)) >= 2, process)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=240)
    assert process.returncode == 130
    assert b"stopping after this batch" in said
    assert b"Traceback" not in said
    model = ImageModel.load(out)
    model.verify()
    assert model.description.training["stopped"] == "interrupt"
    done = len(model.description.training["epoch_metrics"])
    assert 2 <= done < 500
    # Resumed and interrupted again, it has gone on from there.
    process = subprocess.Popen([*many, "--resume"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: len(read_epochs(table)) > done, process)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=240)
    assert process.returncode == 130
    assert b"going on in epoch" in said
    again = ImageModel.load(out).description.training["epoch_metrics"]
    assert again[:done] == model.description.training["epoch_metrics"]


def test_an_interruption_in_the_first_epoch_leaves_a_model_too(
    digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pressed(Interrupts):
        """Somebody who has pressed Ctrl-C during the first batch."""

        def __enter__(self) -> Interrupts:
            self.came = True
            return self

    monkeypatch.setattr(run, "Interrupts", Pressed)
    model = trained(digits, tmp_path / "model")
    assert model.description.training["stopped"] == "interrupt"
    assert len(model.description.training["epoch_metrics"]) == 1
    assert folder_of(tmp_path / "model").exists()
    monkeypatch.undo()
    finished = trained(digits, tmp_path / "model", resume=True)
    assert weights(finished) == weights(trained(digits, tmp_path / "whole"))


class _Killed(Exception):
    """What stands for the end of the process."""


class _Killer(Told):
    """Ends a run after so many batches."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        self.left = batches

    def advance(self, count: int = 1, *, note: str = "") -> None:
        self.left -= count
        if self.left < 0:
            raise _Killed


@pytest.mark.parametrize(
    "chosen",
    [
        {"accumulate": 2},
        {"balance": "sampling", "label_smoothing": 0.1},
        {"unfreeze": "gradual", "epochs": 4},
        {"learning_rate": "auto", "optimizer": "sgd"},
        {"recipe": "classic"},
        {"precision": "fp32", "optimizer": "sgd", "ema": 0, "mixup": 0},
    ],
    ids=lambda chosen: "-".join(map(str, chosen)),
)
def test_whatever_was_chosen_it_goes_on_to_the_same_weights(
    digits: Digits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    chosen: dict[str, Any],
) -> None:
    """Killed in the middle of the first epoch or of a later one, of five batches each."""
    monkeypatch.setattr(run, "_CHECKPOINT_EVERY_S", 0)
    few, dropping = digits("few"), Network("test_vit", {"img_size": 32, "drop_rate": 0.2}, "none")
    parameters = TrainingParameters.of({**CHOSEN, "batch_size": 8, "epochs": 2, **chosen})
    job = Job.of(
        dropping, few, few, transformation=EROSION, parameters=parameters, progress=SILENCE
    )

    def fitted(checkpoints: Checkpoints, told: Told) -> dict[str, torch.Tensor]:
        with checkpoints.opened(job.identity(few, few), resume=True):
            listeners = Listeners(told)
            made = fit_job(job, few, few, checkpoints=checkpoints, listeners=listeners)
            checkpoints.remove()
        return made.network.state_dict()

    whole = fitted(Checkpoints(tmp_path / "whole"), Told())
    for batches in (3, 7):
        with pytest.raises(_Killed):
            fitted(Checkpoints(tmp_path / "killed"), _Killer(batches))
        told = Told()
        resumed = fitted(Checkpoints(tmp_path / "killed"), told)
        assert [message for message in told.said if message.startswith("going on in epoch ")]
        assert all(value.equal(resumed[name]) for name, value in whole.items())


def test_a_folder_of_somebody_else_is_left_alone(digits: Digits, tmp_path: Path) -> None:
    """`--out cats` beside a set that is called cats.training."""
    theirs = folder_of(tmp_path / "model")
    theirs.mkdir()
    (theirs / "images.parquet").write_bytes(b"mine")
    with pytest.raises(errors.AlreadyExists, match=r"a folder with 'images\.parquet'") as caught:
        trained(digits, tmp_path / "model")
    assert caught.value.number == 57
    assert [path.name for path in theirs.iterdir()] == ["images.parquet"]


def test_a_kill_between_the_last_checkpoint_and_its_row_loses_nothing(
    digits: Digits, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    _interrupt(digits, out, epochs=1)
    (folder_of(out) / "epochs.parquet").unlink()
    model = trained(digits, out, resume=True, epochs=1)
    assert len(read_epochs(model.file("epochs.parquet"))) == 1


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    full = tmp_path / "full.safetensors"
    full.mkdir()  # as good as a full disk: the file cannot be put there
    with pytest.raises(errors.CannotWrite) as caught:
        save_tensors({"one": torch.ones(2)}, full)
    assert caught.value.number == 46


def test_another_run_is_not_taken_for_this_one(digits: Digits, tmp_path: Path) -> None:
    out = tmp_path / "model"
    _interrupt(digits, out)
    with pytest.raises(errors.AlreadyExists, match=r"one with other learning_rate, mixup\.") as got:
        trained(digits, out, resume=True, learning_rate=0.01, mixup=0)
    assert got.value.number == 57


def test_a_damaged_checkpoint_is_told(digits: Digits, tmp_path: Path) -> None:
    out = tmp_path / "model"
    _interrupt(digits, out)
    last = folder_of(out) / "last.safetensors"
    last.write_bytes(last.read_bytes()[:-100])
    with pytest.raises(errors.CorruptModel, match=r"last\.safetensors") as got:
        trained(digits, out, resume=True)
    assert got.value.number == 82


def test_two_runs_of_one_model_do_not_meet(digits: Digits, tmp_path: Path) -> None:
    from calotype import files

    out = tmp_path / "model"
    with files.locked(folder_of(out) / ".lock", what="x"), pytest.raises(errors.Busy):
        trained(digits, out)


def _interrupt(digits: Digits, out: Path, **chosen: Any) -> None:
    """Train until after the first epoch, and fail there as on a full disk."""

    def fail(_: object) -> None:
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        trained(digits, out, listeners=Listeners(on_epochs=fail), **chosen)
    identity = json.loads((folder_of(out) / "run.json").read_text())
    assert identity["architecture"] == "test_resnet"
