"""The folder beside a model in which its training can be taken up again after it was killed."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from calotype import errors, files
from calotype.models.tensors import save_tensors

_IDENTITY, _LAST, _LOCK = "run.json", "last.safetensors", ".lock"
TABLE, PAGE = "epochs.parquet", "training.html"

# What a folder of ours may hold, files that are being written (`.last.123.safetensors`) included.
_OURS = re.compile(
    r"\.lock|(run\.json|last\.safetensors|best-\d+\.safetensors|epochs\.parquet|training\.html)"
    r"|\.(run|last|best-\d+|epochs|training)\.\d+\.(json|safetensors|parquet|html)"
)

State = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Position:
    """How far a run has come.

    Attributes:
        epoch: the epoch that is under way, from 1 on.
        batch: how many of its batches are done.
        step: how often the weights were changed in the whole run.
        loss_sum: of the images of this epoch so far.
        wrong: how many of them had another label.
        images: how many they are.
        elapsed_s: the time that the epochs before have taken.
        epoch_s: the time that this epoch has taken.
        learning_rate: the highest rate; found by then when it was "auto".
        best_epoch: the epoch to keep so far, or 0.
        rows: what every finished epoch has come to.
    """

    epoch: int = 1
    batch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    wrong: int = 0
    images: int = 0
    elapsed_s: float = 0.0
    epoch_s: float = 0.0
    learning_rate: float = 0.0
    best_epoch: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def run_s(self) -> float:
        """The time that the run has taken so far."""
        return self.elapsed_s + self.epoch_s

    def after(self, row: dict[str, Any]) -> Position:
        """Return the beginning of the next epoch; `row` is what this one has come to."""
        return Position(
            epoch=self.epoch + 1,
            step=self.step,
            elapsed_s=self.elapsed_s + row["elapsed_s"],
            learning_rate=self.learning_rate,
            best_epoch=self.best_epoch,
            rows=[*self.rows, row],
        )


class Checkpoints:
    """The last state of a run and its best one, in a folder named after the model.

    Args:
        folder: see `folder_of`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextlib.contextmanager
    def opened(self, identity: Mapping[str, Any], *, resume: bool) -> Generator[None]:
        """Hold the folder for one run, a new one or an interrupted one.

        Args:
            identity: all that the weights depend on.
            resume: go on with an interrupted run, if there is one.

        Raises:
            AlreadyExists: there is an interrupted run and `resume` is off, or it is another one.
            Busy: another process trains this model.
        """
        self._check_ours()
        with files.locked(self.folder / _LOCK, what=str(self.folder)):
            self._check(identity, resume=resume)
            try:
                yield
            finally:
                if not (self.folder / _LAST).exists():  # nothing to go on from
                    self.remove()

    def _check_ours(self) -> None:
        """Refuse a folder of somebody else's: it will be removed in the end."""
        if not self.folder.is_dir():
            return
        foreign = sorted(
            path.name for path in self.folder.iterdir() if not _OURS.fullmatch(path.name)
        )
        if foreign:
            raise errors.AlreadyExists(
                "expected a place for the training run",
                where=str(self.folder),
                got=f"a folder with '{foreign[0]}'",
                action="Choose another --out, or move that folder away.",
            )

    def _check(self, identity: Mapping[str, Any], *, resume: bool) -> None:
        path = self.folder / _IDENTITY
        if not (self.folder / _LAST).exists():  # nothing to lose
            files.write_json(path, identity)
            return
        earlier = files.read_json(path)
        # As JSON has it: tuples are lists there.
        wanted = json.loads(json.dumps(identity))
        differing = sorted(key for key in wanted if earlier.get(key) != wanted[key])
        if resume and not differing:
            return
        raise errors.AlreadyExists(
            "expected no other training run of this model",
            where=str(self.folder),
            got=f"one with other {', '.join(differing)}" if differing else "an interrupted one",
            action="Delete that folder to start anew, or choose another --out."
            if differing
            else "Add --resume to go on where it stopped, or delete that folder.",
        )

    def save_best(self, epoch: int, network: nn.Module) -> None:
        """Keep the weights of the best epoch; the earlier ones stay until `save_last`."""
        with files.aside(self._best(epoch)) as temporary:
            save_tensors(network.state_dict(), temporary)

    def save_last(
        self,
        position: Position,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        average: nn.Module | None,
    ) -> None:
        """Keep the state of a run, all of it or nothing."""
        state = _prefixed("network", network.state_dict())
        if average is not None:
            state |= _prefixed("average", average.state_dict())
        for index, values in optimizer.state_dict()["state"].items():
            tensors = {name: value for name, value in values.items() if value is not None}
            state |= _prefixed(f"optimizer.{index}", tensors)
        with files.aside(self.folder / _LAST) as temporary:
            save_tensors(state, temporary, metadata={"position": json.dumps(asdict(position))})
        for path in self.folder.glob("best-*.safetensors"):
            if path != self._best(position.best_epoch):
                path.unlink()

    def load_last(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, average: nn.Module | None
    ) -> Position | None:
        """Take up the last state; None when there is none.

        Raises:
            CorruptModel: the file is damaged (0082).
        """
        path = self.folder / _LAST
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                position = Position(**json.loads(file.metadata()["position"]))
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
            network.load_state_dict(_under("network.", state))
            if average is not None:
                average.load_state_dict(_under("average.", state))
            _load_optimizer(optimizer, _under("optimizer.", state))
        except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
            raise self._damaged(path, error) from error
        return position

    def load_best(self, epoch: int) -> State:
        """Return the weights of the best epoch.

        Raises:
            CorruptModel: the file is damaged or missing (0082).
        """
        try:
            return load_file(self._best(epoch))
        except (SafetensorError, OSError) as error:
            raise self._damaged(self._best(epoch), error) from error

    def remove(self) -> None:
        """Delete what lies in the folder, and the folder: the model has been written."""
        with contextlib.suppress(OSError):
            for path in self.folder.iterdir():
                if _OURS.fullmatch(path.name):
                    path.unlink(missing_ok=True)
            self.folder.rmdir()

    def _best(self, epoch: int) -> Path:
        return self.folder / f"best-{epoch:05}.safetensors"

    def _damaged(self, path: Path, error: Exception) -> errors.CorruptModel:
        return errors.CorruptModel(
            "expected the checkpoint of this training run",
            where=str(path),
            got=(str(error).splitlines() or [type(error).__name__])[0],
            action=f"Delete {self.folder} and train again.",
        )


def folder_of(model: Path) -> Path:
    """Return the folder for the training of the model that will be written to `model`."""
    return model.with_name(f"{model.name}.training")


def _prefixed(prefix: str, state: Mapping[str, torch.Tensor]) -> State:
    return {f"{prefix}.{name}": value for name, value in state.items()}


def _under(prefix: str, state: State) -> State:
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }


def _load_optimizer(optimizer: torch.optim.Optimizer, state: State) -> None:
    values: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in state.items():
        index, key = name.split(".", 1)
        values.setdefault(int(index), {})[key] = value
    document = optimizer.state_dict()
    optimizer.load_state_dict({**document, "state": values})
    # As they were before: the layout of their weights decides how fast steps are.
    for parameter, one in optimizer.state.items():
        for key, value in one.items():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                one[key] = torch.empty_like(parameter, requires_grad=False).copy_(value)


def kept_state(network: nn.Module) -> State:
    """Return a copy of a network's state."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}
