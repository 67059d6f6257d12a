"""Which services `Webservice.list` returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from calotype.webservice.exceptions import WebserviceException
from calotype.workspace.naming import matches
from calotype.workspace.services import Service

Filters = str | Sequence[str | Sequence[str]] | Mapping[str, str] | None

# Of the retired product's kinds, there are none of IoT devices here, nor of MIR.
_KINDS: Final[Mapping[str, tuple[str, bool] | None]] = {
    "aci": ("instance", False),
    "instance": ("instance", False),
    "aks": ("cluster", False),
    "cluster": ("cluster", False),
    "aksendpoint": ("cluster", True),
    "endpoint": ("cluster", True),
    "local": ("local", False),
    "batch": ("batch", False),
    "iot": None,
    "mir": None,
}


def check_kind(compute_type: str | None) -> None:
    """Refuse a kind of service that there never was.

    Raises:
        WebserviceException: there was not.
    """
    if compute_type is not None and compute_type.lower() not in _KINDS:
        raise WebserviceException(
            "expected ACI, AKS, AKSENDPOINT, LOCAL, BATCH, IOT or MIR",
            where="compute_type",
            got=repr(compute_type),
        )


def is_wanted(
    service: Service,
    *,
    compute_type: str | None = None,
    model_name: str | None = None,
    model_id: str | None = None,
    tags: Filters = None,
    properties: Filters = None,
) -> bool:
    """Whether a service has all that is said."""
    is_kind = compute_type is None or _KINDS[compute_type.lower()] == (
        service.target,
        service.is_endpoint,
    )
    names = {model.rpartition(":")[0] for model in service.models}
    return (
        is_kind
        # They answer no requests: only for those who ask for them.
        and (service.target != "batch" or compute_type is not None)
        and model_name in (None, *names)
        and model_id in (None, *service.models)
        and matches(service.tags, tags)
        and matches(service.properties, properties)
    )
