"""One version of a registered model, as its record says it is."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """One version of a model.

    Attributes:
        artifact: digest of its tree of files.
        bytes: size of all of them.
        framework: one of `model_kinds.FRAMEWORKS`.
        details: `kind` ("image", "onnx", "sklearn", "files"); `image_model` for the facts of one;
            whatever else was given: datasets, samples, resources.
        properties: can be added to and never changed.
    """

    name: str
    version: int
    artifact: str
    bytes: int
    framework: str
    framework_version: str | None
    run_id: str | None
    description: str
    created_at: datetime
    created_by: str
    updated_at: datetime
    details: dict[str, Any] = field(default_factory=dict[str, Any])
    tags: dict[str, str] = field(default_factory=dict[str, str])
    properties: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def id(self) -> str:
        """`name:version`, as services refer to it."""
        return f"{self.name}:{self.version}"

    @property
    def kind(self) -> str:
        """What it is: "image", "onnx", "sklearn" or "files"."""
        return str(self.details.get("kind", "files"))

    def to_document(self) -> dict[str, Any]:
        """Return this as commands print it."""
        document = dataclasses.asdict(self)
        times = {key: getattr(self, key).isoformat() for key in ("created_at", "updated_at")}
        return {"id": self.id, **document, **times}
