"""Batch services for tests: a workspace with records of them, models and scripts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import small_networks
from PIL import Image

from calotype.workspace.credentials import Credentials
from calotype.workspace.service_settings import AccessSettings, Inference, RuntimeSettings
from calotype.workspace.services import ONLY_VERSION, Revision, Service, Version, machine, now, user
from calotype.workspace.workspace import Workspace

CLASSES = ("cat", "dog", "owl")


def images(folder: Path, count: int = 12, *, classes: Sequence[str] = CLASSES) -> Path:
    """Write pictures of one colour each, in folders named like classes."""
    for index in range(count):
        path = folder / classes[index % len(classes)] / f"{index:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        colour = (index * 37 % 256, index * 91 % 256, index * 151 % 256)
        Image.new("RGB", (12, 9), colour).save(path)
    return folder


def image_model(folder: Path) -> Path:
    """Write an image model of a few bytes."""
    return small_networks.save_model(folder / "model", CLASSES).path


def add_service(
    workspace: Workspace,
    name: str = "batch",
    *,
    models: tuple[str, ...] = (),
    script: str = "",
    folder: Path | None = None,
    workers: int = 1,
) -> Service:
    """Register a batch service, of models or of the text of a script."""
    inference = Inference()
    if script:
        assert folder is not None
        source = folder / f"source of {name}"
        source.mkdir()
        (source / "score.py").write_text(script)
        digest = workspace.artifacts.put(source).digest
        inference = Inference(entry_script="score.py", source=digest)
    revision = Revision(1, models, inference, RuntimeSettings(workers=workers))
    version = Version(ONLY_VERSION, 100, True, True, 1, None, "Healthy", None, (revision,))
    sealed = Credentials("one", "two", "").sealed(workspace.key_file)
    service = Service(
        name=name,
        target="batch",
        is_endpoint=False,
        access=AccessSettings(),
        credentials=sealed,
        desired="running",
        state="Healthy",
        error=None,
        host=machine(),
        description="",
        tags={},
        properties={},
        created_by=user(),
        created_at=now(),
        updated_at=now(),
        versions=(version,),
    )
    workspace.services.add(service)
    return service
