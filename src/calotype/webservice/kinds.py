"""Which class a service is of."""

from __future__ import annotations

from calotype.webservice.webservice import Webservice
from calotype.workspace.services import Service


def kind_of(record: Service) -> type[Webservice]:
    """Return the class for a service."""
    if record.target == "local":
        from calotype.webservice.local import LocalWebservice

        return LocalWebservice
    if record.target == "instance":
        from calotype.webservice.instance import InstanceWebservice

        return InstanceWebservice
    if record.target == "batch":
        from calotype.webservice.batch import BatchWebservice

        return BatchWebservice
    if record.is_endpoint:
        from calotype.webservice.endpoint import ClusterEndpoint

        return ClusterEndpoint
    from calotype.webservice.cluster import ClusterWebservice

    return ClusterWebservice
