"""What the front door is told: which replicas of which service callers should reach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from calotype.hosting.routes import Routes, ServiceRoute, VersionRoute

if TYPE_CHECKING:
    from calotype.hosting.kept_service import KeptService


def routes_of(
    facts: Mapping[str, Any],
    services: Mapping[str, KeptService],
    inherited: Mapping[str, ServiceRoute],
) -> Routes:
    """Return the routes of services at an address.

    Args:
        facts: where, as `door_address.settled` returns them.
        services: as they are now.
        inherited: what was said before of versions that have not been looked at yet.
    """
    found = {
        name: _route(kept, inherited.get(name))
        for name, kept in services.items()
        if kept.record.now
    }
    return Routes(
        host=facts["host"],
        port=facts["port"],
        tls_certificate=facts.get("tls_certificate", ""),
        tls_key=facts.get("tls_key", ""),
        tls_exact_1_2=facts.get("tls_exact_1_2", False),
        services={name: route for name, route in found.items() if route is not None},
    )


def _route(kept: KeptService, inherited: ServiceRoute | None) -> ServiceRoute | None:
    record = kept.record.now
    if record is None or record.desired == "stopped" or not kept.is_wanted:
        return None
    versions: dict[str, VersionRoute] = {}
    for version in record.versions:
        found = kept.versions.get(version.name)
        if found is None or not found.is_known:
            if inherited is not None and version.name in inherited.versions:
                versions[version.name] = inherited.versions[version.name]
            continue
        ready = {one.name: one.wire for one in found.replicas if _is_reached(one, found.serving)}
        versions[version.name] = VersionRoute(
            ready,
            traffic_percent=version.traffic_percent,
            mirror_percent=version.mirror_percent,
            is_default=version.is_default,
        )
    runtime = record.versions[0].wanted.runtime if record.versions else None
    keys = kept.access.token_keys(record)
    if keys is None:
        keys = inherited.token_keys if inherited is not None else {}
    most_bytes = runtime.max_body_bytes if runtime else 100 << 20
    return ServiceRoute(versions, keys, most_bytes, record.access.cors_origins)


def _is_reached(one: Any, serving: Any) -> bool:
    return one.phase == "ready" and one.is_answering and one.key == serving
