"""How an endpoint, which has several versions under one name, and its first version run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calotype.webservice import configuration_checks as checks
from calotype.webservice.replicated_configuration import ReplicatedConfiguration


@dataclass
class EndpointConfiguration(ReplicatedConfiguration):
    """For `AksEndpoint`; see `ReplicatedConfiguration`.

    Args:
        version_name: of the first version; "default" when left out.
        traffic_percentile: percent of the requests that it gets; 100 when left out.

    Raises:
        WebserviceException: with all faults in one message.
    """

    version_name: str | None = None
    traffic_percentile: int | None = None

    compute_type: ClassVar[str] = "AKSENDPOINT"

    def problems(self) -> list[str]:
        """Return all that is wrong, as clauses."""
        return [*super().problems(), *checks.version_name(self.values)]
