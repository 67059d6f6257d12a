"""How a batch service runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calotype.webservice.deployment_configuration import DeploymentConfiguration
from calotype.workspace.service_settings import Target


@dataclass
class BatchConfiguration(DeploymentConfiguration):
    """For `BatchWebservice`.

    Args:
        tags: names and values that can be changed.
        properties: names and values that stay.
        description: for people.
    """

    tags: dict[str, str] | None = None
    properties: dict[str, str] | None = None
    description: str | None = None

    target: ClassVar[Target] = "batch"
    compute_type: ClassVar[str] = "Batch"
