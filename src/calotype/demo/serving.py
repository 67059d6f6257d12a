"""The last part of the demo: the model becomes a web service with keys, and is called."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from calotype import errors

if TYPE_CHECKING:
    from calotype.workspace.workspace import Workspace

MODEL: Final = "solar-cells"
SERVICE: Final = "solar-cells"
_KEY_VARIABLE: Final = "CALOTYPE_KEY"
_READY_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Served:
    """A service that runs, and what it answered.

    Attributes:
        workspace: the folder that `-w` takes.
        image: the file that was sent.
        prediction: what came back.
        elapsed_ms: how long that took, with connecting.
    """

    workspace: Path
    scoring_uri: str
    swagger_uri: str
    image: Path
    prediction: dict[str, Any]
    elapsed_ms: float
    key: str = field(repr=False)

    @property
    def curl(self) -> str:
        """A command that calls it, with its key: for the user's own terminal alone."""
        return self._curl(f"'Authorization: Bearer {self.key}'")

    @property
    def curl_without_key(self) -> str:
        """The same with the key in an environment variable: for files that may be passed on."""
        return self._curl(f'"Authorization: Bearer ${_KEY_VARIABLE}"')

    @property
    def document(self) -> dict[str, Any]:
        """What JSON shows of it."""
        return {
            "name": SERVICE,
            "workspace": str(self.workspace),
            "scoring_uri": self.scoring_uri,
            "swagger_uri": self.swagger_uri,
            "image": str(self.image),
            "prediction": self.prediction,
            "elapsed_ms": self.elapsed_ms,
            "curl": self.curl,
        }

    def _curl(self, authorization: str) -> str:
        image = shlex.quote(f"@{self.image}")
        kind = f"image/{'png' if self.image.suffix.lower() == '.png' else 'jpeg'}"
        return (
            f"curl -H {authorization} -H 'Content-Type: {kind}' --data-binary {image} "
            f"{self.scoring_uri}"
        )


def open_workspace(folder: Path) -> Workspace:
    """Make the workspace of the demo."""
    from calotype.workspace.workspace import Workspace

    return Workspace.create("calotype-demo", folder, exist_ok=True)


def deploy(workspace: Workspace, model: Path) -> str:
    """Register a model and serve it with keys; return its name and version.

    Raises:
        CalotypeError: it does not become ready.
    """
    from calotype.hosting.management import DeployRequest, Management
    from calotype.workspace.service_settings import AccessSettings, RuntimeSettings

    registered = workspace.models.register(model, MODEL, description="Solar cells of the demo.")
    management = Management(workspace)
    management.deploy(
        DeployRequest(
            SERVICE,
            "instance",
            models=(registered.id,),
            access=AccessSettings(auth="key"),
            runtime=RuntimeSettings(
                memory_gb=2.0,
                collect_model_data=True,
                collect_image_copies=True,
                telemetry=True,
                replica_max_concurrent_requests=8,
            ),
            description="Made by calotype demo.",
            overwrite=True,
        )
    )
    management.wait(SERVICE, timeout_s=_READY_S)
    return registered.id


def call(workspace: Workspace, image: Path) -> Served:
    """Send an image to the service over HTTP.

    Raises:
        OperationFailed: the service does not answer with a prediction.
    """
    from calotype.hosting.management import Management

    management = Management(workspace)
    observation = management.observe(SERVICE)
    kind = "image/png" if image.suffix.lower() == ".png" else "image/jpeg"
    reply = management.run(SERVICE, image.read_bytes(), kind)
    if reply.status != 200:
        raise errors.OperationFailed(
            "expected a prediction",
            where=observation.scoring_uri,
            got=f"status {reply.status}: {reply.body[:200].decode('utf-8', 'replace')}",
        )
    return Served(
        Path(workspace.location).parent,
        observation.scoring_uri,
        observation.swagger_uri,
        image.absolute(),
        json.loads(reply.body),
        round(reply.elapsed_ms, 1),
        management.keys(SERVICE).primary,
    )


def stop(folder: Path) -> None:
    """End everything that runs for the workspace in a folder; its records stay."""
    from calotype.hosting import keeping
    from calotype.workspace.location import Location
    from calotype.workspace.workspace import Workspace

    place = Location.of_folder(folder)
    if place.is_made:
        workspace = Workspace(Location.read(place.root))
        try:
            keeping.down(workspace)
        finally:
            workspace.close()
