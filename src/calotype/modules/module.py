"""What a module of the designer is: a name, typed ports, declared parameters and a `run`."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

from calotype.parameters import Parameters
from calotype.progress import SILENCE, Progress

P = TypeVar("P", bound=Parameters)


class PortType(StrEnum):
    """What travels between modules; the names are those of the retired designer."""

    ANY_DIRECTORY = "AnyDirectory"
    ZIP_FILE = "ZipFile"
    IMAGE_DIRECTORY = "ImageDirectory"
    TRANSFORMATION_DIRECTORY = "TransformationDirectory"
    UNTRAINED_MODEL_DIRECTORY = "UntrainedModelDirectory"
    MODEL_DIRECTORY = "ModelDirectory"
    DATA_FRAME_DIRECTORY = "DataFrameDirectory"


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output of a module.

    Attributes:
        name: as the designer shows it, such as "Trained model".
        types: what an input takes; the one type that an output has.
        is_required: whether the module runs only when this input is joined.
        help: what lies there, as a full sentence.
    """

    name: str
    types: tuple[PortType, ...]
    is_required: bool = True
    help: str = ""

    @property
    def key(self) -> str:
        """The name as files and code write it, such as "trained_model"."""
        return key_of(self.name)


@dataclass(frozen=True, slots=True)
class Context:
    """What a run of a module may use besides its inputs.

    Attributes:
        progress: told how far the work is.
        metrics: given rows of figures as they come to be, all of them each time.
    """

    progress: Progress = SILENCE
    metrics: Callable[[Sequence[Mapping[str, Any]]], None] = lambda rows: None


class Module(ABC, Generic[P]):
    """One step of a pipeline. Subclass it, fill in the attributes and `register` the class.

    Attributes:
        name: as the designer shows it, such as "Score Image Model".
        category: where the palette lists it.
        summary: what it does, in one sentence.
        inputs: its input ports, from left to right.
        outputs: its output ports, from left to right.
        Parameters: its parameters. Their types, ranges, defaults and texts are the form, the
            documentation and the checks.
    """

    name: ClassVar[str]
    category: ClassVar[str]
    summary: ClassVar[str]
    inputs: ClassVar[tuple[Port, ...]] = ()
    outputs: ClassVar[tuple[Port, ...]] = ()
    Parameters: type[P]

    @property
    def key(self) -> str:
        """The name as files and the command line write it, such as "score_image_model"."""
        return key_of(self.name)

    @abstractmethod
    def run(
        self,
        inputs: Mapping[str, Path],
        outputs: Mapping[str, Path],
        parameters: P,
        context: Context,
    ) -> None:
        """Do the work; called by `execute`, which has checked inputs and parameters.

        Import heavy libraries here and not at the top of the file: the list of modules is read
        far more often than a module runs.

        Args:
            inputs: what lies on each joined input, by the key of its port.
            outputs: the folder to write for each output, by the key of its port; not there yet.
            parameters: checked values.
            context: who listens.
        """


AnyModule: TypeAlias = Module[Any]


class NoParameters(Parameters):
    """The parameters of a module that has none."""


def key_of(name: str) -> str:
    """Return a name in small letters and underscores.

    >>> key_of("Train PyTorch Model")
    'train_pytorch_model'
    """
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
