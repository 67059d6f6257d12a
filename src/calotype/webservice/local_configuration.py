"""How a service runs that one tries on one's own machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from calotype.webservice.deployment_configuration import DeploymentConfiguration
from calotype.workspace.service_settings import RuntimeSettings, Target


@dataclass
class LocalConfiguration(DeploymentConfiguration):
    """For `LocalWebservice`.

    Args:
        port: to listen on; a free one when left out.
    """

    port: int | None = None

    target: ClassVar[Target] = "local"
    compute_type: ClassVar[str] = "Local"
    tags: ClassVar[dict[str, str] | None] = None
    properties: ClassVar[dict[str, str] | None] = None
    description: ClassVar[str | None] = None

    def problems(self) -> list[str]:
        """Return what is wrong, as clauses."""
        port: Any = self.port
        if isinstance(port, int) and port > 65535:
            return [f"port must be at most 65535, not {port}"]
        return super().problems()

    def runtime(self) -> RuntimeSettings:
        """Return how its process runs."""
        return super().runtime().model_copy(update={"num_replicas": 1})
