"""What is behind the front door now: services, their versions, and the links to their replicas."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from calotype.hosting.counts import VersionCounts
from calotype.hosting.routes import Routes, ServiceRoute
from calotype.hosting.traffic import HEADER, Traffic
from calotype.hosting.wire_client import ReplicaLink
from calotype.serving import refusals
from calotype.serving.cors import Cors
from calotype.serving.refusals import Refusal

PREFIX: Final = b"/api/v1/service/"
_NOT_PASSED_ON: Final = (b"/token", b"/metrics")  # answered, or refused, by the door itself
_CONNECT_S: Final = 2.0
_MOST_COPIES: Final = 100  # in flight, of one version
_MOST_COPIED_BYTES: Final = 64 << 20


class VersionTarget:
    """One version of a service.

    Attributes:
        links: to its replicas.
        counts: of its requests.
        header_line: what tells callers that it answered; empty when it is the only one.
    """

    def __init__(self, service: str, name: str) -> None:
        self.service = service
        self.name = name
        self.counts = VersionCounts()
        self.header_line = b""
        self.links: dict[str, ReplicaLink] = {}
        self._ready: list[ReplicaLink] = []
        self._leaving: list[ReplicaLink] = []  # of before, while none of `links` is ready
        self._turn = itertools.count()
        self._copies = 0
        self._copied_bytes = 0

    def pick(self) -> ReplicaLink | None:
        """Return the replica with the fewest requests, the next one of several; None when none."""
        ready = self._ready
        if len(ready) < 2:
            return ready[0] if ready else None
        start = next(self._turn) % len(ready)
        best = ready[start]
        for index in range(start + 1 - len(ready), start):
            if ready[index].in_flight < best.in_flight:
                best = ready[index]
        return best

    @property
    def is_ready(self) -> bool:
        """Whether a replica takes requests."""
        return bool(self._ready)

    def look(self) -> None:
        """Find out anew which replicas take requests."""
        self._ready = [link for link in self.links.values() if link.is_ready]
        if self._ready:
            leaving, self._leaving = self._leaving, []
            for link in leaving:
                link.retire()
        self._ready = self._ready or [link for link in self._leaving if link.is_ready]

    @property
    def all_links(self) -> list[ReplicaLink]:
        """To present replicas, and to those of before that still answer in their place."""
        return [*self.links.values(), *self._leaving]

    def follow(self, links: dict[str, ReplicaLink]) -> None:
        """Pass requests on to these from now on; to those of before until one of them is ready."""
        before = [link for link in self.all_links if link.is_ready]
        self._leaving = [link for link in before if links and link not in links.values()]
        self.links = links
        self.look()

    def copy(self, head: bytes, body: list[bytes], size: int) -> None:
        """Send a copy of a request, unless there are too many already."""
        link = self.pick()
        has_room = self._copies < _MOST_COPIES and self._copied_bytes + size <= _MOST_COPIED_BYTES
        if link is None or not has_room:
            self.counts.mirror_dropped += 1
            return
        self._copies += 1
        self._copied_bytes += size
        self.counts.mirrored += 1
        self.counts.begin()
        link.send(head, body, size, _Copy(self, size))

    def copied(self, size: int, *, is_failure: bool) -> None:
        """Note that a copy was answered."""
        self._copies -= 1
        self._copied_bytes -= size
        self.counts.forget()  # it has kept a replica busy, and is no answer
        self.counts.mirror_failures += is_failure

    def to_document(self) -> dict[str, Any]:
        """Return counts and replicas, as `counts` answers."""
        replicas = {
            name: {"ready": link.is_ready, "in_flight": link.in_flight, "why_not": link.why_not}
            for name, link in self.links.items()
        }
        return {**self.counts.to_document(), "replicas": replicas}


class _Copy:
    """Takes the answer to a copy, and tells nobody."""

    def __init__(self, version: VersionTarget, size: int) -> None:
        self._version = version
        self._size = size

    def answered(self, status: int, head: bytes, body: bytes) -> None:
        self._version.copied(self._size, is_failure=status >= 500)

    def lost(self, *, has_begun: bool) -> None:
        self._version.copied(self._size, is_failure=True)


class ServiceTarget:
    """One service.

    Attributes:
        versions: by name.
        max_body_bytes: 413 for more.
        cors: which pages may read what the front door answers in its place.
    """

    def __init__(self, name: str, route: ServiceRoute, versions: dict[str, VersionTarget]) -> None:
        self.name = name
        self.versions = versions
        self.max_body_bytes = route.max_body_bytes
        self.cors = Cors(route.cors_origins)
        self._traffic = Traffic(route.versions) if route.versions else None
        self._only = next(iter(versions.values())) if len(versions) == 1 else None

    def version_for(self, asked: bytes | None) -> VersionTarget:
        """Return what answers a request.

        Args:
            asked: the header `x-calotype-version`.

        Raises:
            Refusal: 404, there is no such version; 503, nothing serves.
        """
        if asked is not None:
            found = self.versions.get(asked.decode("latin-1"))
            if found is None:
                raise Refusal(404, "The service has no version of that name (x-calotype-version).")
            return found
        if self._only is not None:
            return self._only
        if self._traffic is None:
            raise refusals.overloaded("The service has no version that is ready.")
        chosen = self.versions[self._traffic.choose()]
        if chosen.is_ready:
            return chosen
        # Who asked for no version in particular is better served by another one.
        default = self.versions[self._traffic.default]
        if default.is_ready:
            return default
        return next((one for one in self.versions.values() if one.is_ready), chosen)

    def copies(self, version: VersionTarget) -> Sequence[VersionTarget]:
        """Return the versions that get a copy of a request that `version` answers."""
        if self._only is not None or self._traffic is None:
            return ()
        return [self.versions[name] for name in self._traffic.copies(version.name)]


class DoorTable:
    """Finds the service of a request; changes as a whole when the routes change.

    Attributes:
        services: by name.
        public_keys: the keys of all tokens, as a JWKS document.
        max_body_bytes: of the service that takes most.
    """

    def __init__(self) -> None:
        self.services: dict[bytes, ServiceTarget] = {}
        self.public_keys = b'{"keys": []}'
        self.max_body_bytes = 0

    def find(self, path: bytes) -> ServiceTarget | None:
        """Return the service that answers at a path; None for the door's own and unknown ones."""
        if not path.startswith(PREFIX):
            return None
        name, _, _ = path[len(PREFIX) :].partition(b"/")
        own = path[len(PREFIX) + len(name) :]
        return None if own in _NOT_PASSED_ON else self.services.get(name)

    def versions(self) -> Iterator[VersionTarget]:
        """Yield all versions of all services."""
        for service in self.services.values():
            yield from service.versions.values()

    async def change(self, routes: Routes) -> None:
        """Follow new routes: first connect to new replicas, then switch, then leave old ones."""
        known = {(one.service, one.name): one for one in self.versions()}
        old = {link for version in known.values() for link in version.all_links}
        services: dict[bytes, ServiceTarget] = {}
        fresh: list[ReplicaLink] = []
        wanted: list[tuple[VersionTarget, dict[str, ReplicaLink]]] = []
        for name, route in routes.services.items():
            versions: dict[str, VersionTarget] = {}
            for version_name, version_route in route.versions.items():
                version = known.get((name, version_name)) or VersionTarget(name, version_name)
                versions[version_name] = version
                links = _links(version, version_route.replicas, fresh)
                wanted.append((version, links))
            services[name.encode()] = ServiceTarget(name, route, versions)
        await asyncio.gather(*(link.attempted(_CONNECT_S) for link in fresh))
        for version, links in wanted:
            version.follow(links)
            is_only = len(services[version.service.encode()].versions) == 1
            line = b"%b: %b\r\n" % (HEADER, version.name.encode())
            version.header_line = b"" if is_only else line
        self.services = services
        self._note(routes)
        kept = {link for version, _ in wanted for link in version.all_links}
        for link in old - kept:
            link.retire()
        for version in known.values():
            version.look()  # those that are gone have requests whose body is still to come

    def _note(self, routes: Routes) -> None:
        keys = {
            key["kid"]: key
            for service in routes.services.values()
            for key in service.token_keys.get("keys", ())
        }
        self.public_keys = json.dumps({"keys": list(keys.values())}).encode()
        sizes = [service.max_body_bytes for service in routes.services.values()]
        self.max_body_bytes = max(sizes, default=0)

    def close(self) -> None:
        """Leave all replicas at once."""
        for version in self.versions():
            for link in version.all_links:
                link.abort()


def _links(
    version: VersionTarget, replicas: dict[str, str], fresh: list[ReplicaLink]
) -> dict[str, ReplicaLink]:
    """Return a link to each replica: the present one, or a new one that is added to `fresh`."""
    links: dict[str, ReplicaLink] = {}
    for name, path in replicas.items():
        link = version.links.get(name)
        if link is None or link.path != path:
            link = ReplicaLink(name, path, changed=version.look)
            link.start()
            fresh.append(link)
        links[name] = link
    return links
