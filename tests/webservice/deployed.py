"""A workspace whose services run for real, and the diabetes service of the documentation."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from calotype.hosting import keeping
from calotype.serving.http_client import HttpClient, Reply
from calotype.webservice.environment import Environment
from calotype.webservice.inference_config import InferenceConfig
from calotype.webservice.model import Model
from calotype.webservice.workspace import Workspace

sys.path.append(str(Path(__file__).parents[1] / "clients"))

from diabetes import PUBLISHED, ROWS, SCRIPT, save_model

__all__ = ["PUBLISHED", "ROWS", "SCRIPT", "called", "inference", "running_workspace"]


@contextmanager
def running_workspace() -> Generator[tuple[Workspace, Path]]:
    """Give a workspace with the diabetes model, and its folder; nothing runs on afterwards."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        save_model(folder / "model")
        workspace = Workspace.create("tests", folder / "place")
        Model.register(workspace, folder / "model/ridge.npz", "diabetes", tags={"area": "diabetes"})
        try:
            yield workspace, folder
        finally:
            keeping.down(workspace)
            workspace.close()


def inference(folder: Path, text: str | None = None, **variables: str) -> InferenceConfig:
    """Return what runs the diabetes model, or another script, from a folder of its own."""
    source = Path(tempfile.mkdtemp(dir=folder))
    (source / "score.py").write_text(text or SCRIPT.read_text("utf-8"), "utf-8")
    environment = Environment("tests")
    environment.environment_variables = variables
    return InferenceConfig("score.py", source_directory=source, environment=environment)


def called(
    uri: str | None, credential: str = "", body: bytes = b'{"data": []}', **headers: Any
) -> Reply:
    """Send a request with a credential."""
    assert uri is not None
    shown = {"authorization": f"Bearer {credential}"} if credential else {}
    sent = {"content-type": "application/json", **shown, **headers}
    return HttpClient().request("POST", uri, sent, body)
