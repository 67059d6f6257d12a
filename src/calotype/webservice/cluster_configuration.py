"""How a service behind the front door runs."""

from __future__ import annotations

from dataclasses import dataclass

from calotype.webservice.replicated_configuration import ReplicatedConfiguration


@dataclass
class ClusterConfiguration(ReplicatedConfiguration):
    """For `ClusterWebservice`, which is `AksWebservice`; see `ReplicatedConfiguration`.

    Args:
        blobfuse_enabled: has no meaning here.
    """

    blobfuse_enabled: bool | None = None
