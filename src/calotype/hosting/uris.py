"""Where callers find a service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from calotype.serving.deployment import addresses
from calotype.serving.front import FrontSettings
from calotype.serving.settings import ServiceSettings

if TYPE_CHECKING:
    from calotype.workspace.services import Service

FACT: Final = "front_door"
"""Of the workspace: where its front door is to be."""


@dataclass(frozen=True, slots=True)
class Uris:
    """Scoring and description of a service, or the base of the front door; empty when unknown."""

    scoring: str = ""
    swagger: str = ""
    base: str = ""


def door_uris(facts: dict[str, Any] | None) -> Uris:
    """Return where the front door is, by the workspace's fact."""
    if not facts or not facts.get("port"):
        return Uris()
    front = FrontSettings(
        ServiceSettings(name="front-door", host=facts["host"], port=facts["port"]),
        certificate=facts.get("tls_certificate", ""),
        certificate_key=facts.get("tls_key", ""),
    )
    if facts.get("cname") and front.certificate:
        return Uris(base=f"https://{facts['cname']}:{facts['port']}")
    return Uris(base=addresses(front).health_uri.rstrip("/"))


def said_by_door(said: dict[str, Any], cname: str = "") -> Uris:
    """Return where a front door is that runs, by what it says of itself in its lock file."""
    if cname and said["tls"]:
        return Uris(base=f"https://{cname}:{said['port']}")
    return Uris(base=said["uri"])


def uris_of(service: Service, port: int, door: Uris) -> Uris:
    """Return where a service is found: at its own port, or on the front door."""
    access = service.access
    if service.target in ("local", "instance"):
        if not port:
            return Uris()
        host = access.cname or access.host
        front = FrontSettings(
            ServiceSettings(name=service.name, host=host, port=port),
            certificate="" if access.cname else access.tls_certificate,
            certificate_key=access.tls_key,
        )
        found = addresses(front)
        scoring, swagger = found.scoring_uri, found.swagger_uri
        if access.cname and access.tls_certificate:
            scoring, swagger = (uri.replace("http:", "https:", 1) for uri in (scoring, swagger))
        return Uris(scoring, swagger)
    if not door.base:
        return Uris()
    base = f"{door.base}/api/v1/service/{service.name}"
    return Uris(f"{base}/score", f"{base}/swagger.json")
