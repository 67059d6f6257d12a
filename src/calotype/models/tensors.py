"""Tensors on disk: safetensors, which executes nothing when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from calotype import errors

if TYPE_CHECKING:
    import torch


def save_tensors(
    state: Mapping[str, torch.Tensor], path: Path, *, metadata: dict[str, str] | None = None
) -> None:
    """Write tensors to a file.

    Args:
        state: tensors by name, anywhere and in any layout.
        path: of the file.
        metadata: texts by name.

    Raises:
        CannotWrite: the disk is full, or the file may not be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    try:
        save_file(tensors, path, metadata=metadata)
    except SafetensorError as error:  # what it makes of the system's errors
        raise errors.CannotWrite(
            "expected a place to write to",
            where=str(path.parent),
            got=str(error),
            action="Free some disk space, or choose another folder.",
        ) from error
