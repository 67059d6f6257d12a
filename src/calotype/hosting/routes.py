"""What the front door passes on, and where to: written by the keeper, read by the front door."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from calotype import files


@dataclass(frozen=True, slots=True)
class VersionRoute:
    """Where requests for one version go.

    Attributes:
        replicas: wire sockets of those that are ready, by replica name.
        traffic_percent: its share of the requests that ask for no version.
        mirror_percent: share of them of which it gets a copy, whose answer nobody sees.
    """

    replicas: dict[str, str] = field(default_factory=dict[str, str])
    traffic_percent: int = 100
    mirror_percent: int = 0
    is_default: bool = True


@dataclass(frozen=True, slots=True)
class ServiceRoute:
    """One service; a caller may ask for a version with the header `x-calotype-version`.

    Attributes:
        versions: by name.
        token_keys: public keys of its tokens as a JWKS document; {} for none.
        max_body_bytes: 413 for more.
        cors_origins: whose pages may read what the front door answers in its place.
    """

    versions: dict[str, VersionRoute]
    token_keys: dict[str, Any] = field(default_factory=dict[str, Any])
    max_body_bytes: int = 100 << 20
    cors_origins: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Routes:
    """Everything behind one front door.

    Attributes:
        host, port: where it listens.
        tls_certificate, tls_key: PEM files; empty for plain HTTP.
        services: by name.
    """

    host: str
    port: int
    tls_certificate: str = ""
    tls_key: str = ""
    tls_exact_1_2: bool = False
    services: Mapping[str, ServiceRoute] = field(default_factory=dict[str, ServiceRoute])

    def write(self, path: Path) -> None:
        """Write this for the front door; it has no secrets."""
        files.write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> Routes:
        """Return what `write` wrote."""
        document = files.read_json(path)
        services = {
            name: ServiceRoute(
                {version: VersionRoute(**route) for version, route in said.pop("versions").items()},
                **said,
            )
            for name, said in document.pop("services").items()
        }
        return cls(**document, services=services)
