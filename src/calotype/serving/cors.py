"""Which pages of other origins a browser may let call the service."""

from __future__ import annotations

from collections.abc import Iterable

from calotype.serving.exchange import Headers

_VARY = (b"vary", b"Origin")


class Cors:
    """The headers of one list of origins, prepared.

    Args:
        origins: such as `https://app.example.org`; `*` for all; none turns it off.
    """

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origin.strip().encode("latin-1") for origin in origins)
        self.is_on = bool(self._origins)
        self._is_for_all = b"*" in self._origins

    def headers(self, origin: bytes | None) -> Headers:
        """Return what an answer to this origin carries; nothing for one that is not allowed."""
        if origin is None or not (self._is_for_all or origin in self._origins):
            return [_VARY] if self.is_on else []
        return [(b"access-control-allow-origin", origin), _VARY]

    def preflight_headers(self, origin: bytes | None, asked: bytes | None, methods: str) -> Headers:
        """Return what the answer to a preflight carries.

        Args:
            origin: the header Origin.
            asked: the header Access-Control-Request-Headers.
            methods: what may be used, such as `GET, POST`.
        """
        headers = self.headers(origin)
        if len(headers) < 2:
            return headers
        names = sorted(name.strip() for name in (asked or b"").split(b",") if name.strip())
        headers.append((b"access-control-allow-methods", methods.encode("ascii")))
        headers.append((b"access-control-max-age", b"600"))
        if names:
            headers.append((b"access-control-allow-headers", b", ".join(names)))
        return headers
