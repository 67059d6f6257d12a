"""The untrained model: which network to train, and from which weights. It holds none of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from calotype import errors, files
from calotype.models import pretrained
from calotype.models.pretrained import Pretrained

FILE_NAME = "untrained_model.json"


class UntrainedModel(BaseModel):
    """The content of `untrained_model.json`, what ResNet and DenseNet make."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = 1
    architecture: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Options of the architecture, such as `zero_init_residual`."""
    pretrained: Pretrained = "auto"
    """Weights to start from. "auto": those on this machine, and an error when there are none."""

    def save(self, folder: Path) -> None:
        """Write an untrained model.

        Raises:
            AlreadyExists: `folder` holds something else.
            CannotWrite: the folder cannot be written.
        """
        if folder.exists() and not (folder / FILE_NAME).exists() and not _is_empty(folder):
            raise errors.AlreadyExists(
                "expected a new folder, an empty one or an earlier untrained model",
                where=str(folder),
                action="Choose another folder.",
            )
        files.write_json(folder / FILE_NAME, self.model_dump(mode="json"))

    @classmethod
    def load(cls, folder: Path) -> UntrainedModel:
        """Read an untrained model.

        Raises:
            InvalidModel: the folder holds none, or a damaged one (0159).
        """
        path = folder / FILE_NAME
        if not path.is_file():
            raise _not_untrained(folder)
        try:
            return cls.model_validate(files.read_json(path))
        except ValidationError as invalid:
            detail = invalid.errors()[0]
            place = ".".join(str(part) for part in detail["loc"])
            raise _damaged(path, got=f"{place}: {detail['msg']}") from None
        except errors.FileError as error:
            raise _damaged(path, got=error.got) from error

    def weights(self) -> Pretrained:
        """Return where training is to take weights from: a file or folder, or "none".

        Nobody who asked for pretrained weights gets random ones.

        Raises:
            WeightsNotFound: "auto", and there are none on this machine; the places are named.
        """
        if self.pretrained != "auto":
            return self.pretrained
        try:
            return pretrained.require(self.architecture)
        except errors.WeightsNotFound as error:
            name = self.architecture
            raise errors.WeightsNotFound(
                error.expected,
                where="parameter 'pretrained'",
                got=error.got,
                action=f"Put {name}.safetensors or {name}.pth there, or switch 'pretrained' off "
                "to start from random weights.",
            ) from None


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _not_untrained(folder: Path) -> errors.InvalidModel:
    got, action = f"a folder without {FILE_NAME}", "Make one with the module ResNet or DenseNet."
    if (folder / "model.json").is_file():
        got = "a trained model"
        action = "Score with it in Score Image Model, or train a new one from ResNet or DenseNet."
    elif not folder.is_dir():
        got = "a file" if folder.exists() else "no such folder"
    return errors.InvalidModel(
        "expected an untrained model", where=str(folder), got=got, action=action
    )


def _damaged(path: Path, *, got: str) -> errors.InvalidModel:
    return errors.InvalidModel(
        "expected an untrained model of format version 1",
        where=str(path),
        got=got,
        action="Make it again with the module ResNet or DenseNet.",
    )
