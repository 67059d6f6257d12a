"""What somebody asks for who deploys a service."""

from __future__ import annotations

from dataclasses import dataclass, field

from calotype.workspace.service_settings import (
    AccessSettings,
    Inference,
    RuntimeSettings,
    Target,
)
from calotype.workspace.services import ONLY_VERSION


@dataclass(frozen=True, slots=True)
class DeployRequest:
    """One deployment. What `access` does not set explicitly gets the target's default.

    Attributes:
        name: 3 to 32 lower-case letters, digits and dashes.
        target: where it runs.
        models: `name` or `name:version` of registered models.
        inference: entry script, source and environment; empty to serve the model without code.
        overwrite: update the service of that name in place, when there is one; its URI and keys,
            and what `access` does not set, stay.
        primary_key, secondary_key: chosen keys; made when left out.
        is_endpoint: meant for several versions under one name.
        version: name of the first version.
        traffic_percent: its share, of an endpoint.
    """

    name: str
    target: Target
    models: tuple[str, ...] = ()
    inference: Inference = field(default_factory=Inference)
    access: AccessSettings = field(default_factory=AccessSettings)
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict[str, str])
    properties: dict[str, str] = field(default_factory=dict[str, str])
    overwrite: bool = False
    primary_key: str | None = field(default=None, repr=False)
    secondary_key: str | None = field(default=None, repr=False)
    is_endpoint: bool = False
    version: str = ONLY_VERSION
    traffic_percent: int = 100
