"""Do the images match the data that the model was trained on?

Whether they *must* (as two of the original's translations say) or *should* (as the others say) is
the caller's choice. What makes scoring impossible always fails.
"""

from __future__ import annotations

from typing import Literal

from calotype import errors
from calotype.images.image_directory import ImageDirectory
from calotype.models.image_model import ImageModel
from calotype.scoring.scorer import applied_preprocessing

SchemaCheck = Literal["strict", "warn", "off"]

_SHOWN = 5


def check_schema(model: ImageModel, directory: ImageDirectory, *, mode: SchemaCheck) -> list[str]:
    """Compare the images' categories and pending transformation with the model's.

    Returns:
        The differences that do not stop scoring; none when `mode` is "off".

    Raises:
        SchemaMismatch: the images cannot be scored at all; or they differ and `mode` is "strict".
    """
    differences = [*_transformation(model, directory), *_categories(model, directory)]
    if mode == "off":
        return []
    if mode == "strict" and differences:
        raise errors.SchemaMismatch(
            "expected images like those that the model was trained on",
            where=str(directory.path or "images"),
            got="; ".join(differences),
            action="Use --schema-check warn to score them all the same.",
        )
    return differences


def _transformation(model: ImageModel, directory: ImageDirectory) -> list[str]:
    found: list[str] = []
    if directory.pending is not None and directory.pending.mode == "training":
        found.append("a transformation in training mode, whose random steps scoring leaves out")
    if applied_preprocessing(model, directory) is not None:
        found.append("another transformation than the model was trained with; it is used instead")
    return found


def _categories(model: ImageModel, directory: ImageDirectory) -> list[str]:
    if not directory.is_labeled:
        return []
    unknown = sorted(set(directory.categories) - set(model.classes))
    absent = sorted(set(model.classes) - set(directory.categories))
    found: list[str] = []
    if unknown:
        found.append(f"categories that the model does not know ({_listed(unknown)})")
    if absent and len(directory.categories) > 1:
        found.append(f"no images of {_listed(absent)}")
    return found


def _listed(names: list[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return shown + more
