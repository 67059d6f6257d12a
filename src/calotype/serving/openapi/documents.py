"""Ready documents for `GET /swagger.json`: rendered once for each version and address."""

from __future__ import annotations

import re
from collections.abc import Callable

import orjson

from calotype.serving.openapi.builders import (
    Auth,
    BaseAddress,
    Document,
    ServiceDescription,
    openapi_3_0,
    openapi_3_1,
    swagger_2,
)
from calotype.serving.openapi.contract import ServiceContract
from calotype.serving.openapi.own_documents import OwnDocuments
from calotype.serving.openapi.schemas import plain
from calotype.serving.refusals import Refusal

_BUILDERS: dict[str, Callable[[ServiceDescription, BaseAddress], Document]] = {
    "2": swagger_2,
    "3": openapi_3_0,
    "3.1": openapi_3_1,
}
_NAMES = {"2": "2", "2.0": "2", "3": "3", "3.0": "3", "3.1": "3.1"}

# A name, an IPv4 or a bracketed IPv6 address, and a port. It goes into the document, and clients
# follow it, so nothing else gets through.
_HOST = re.compile(
    rb"(?:[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?"
)
_DEFAULT_PORT = {"http": ":80", "https": ":443"}

# Any caller can make up hosts; what is kept stays small.
_MAX_KEPT = 32


class Documents:
    """The documents of one service.

    Args:
        contract: what goes in and comes out.
        name: of the service; the title.
        base: the address for callers that send no usable Host header.
        auth: what callers have to show.
        description: of the service; a standard sentence when empty.
        own: documents that the user wrote; they are given as they are.
    """

    def __init__(
        self,
        contract: ServiceContract,
        *,
        name: str,
        base: BaseAddress,
        auth: Auth = "none",
        description: str = "",
        own: OwnDocuments | None = None,
    ) -> None:
        sentence = description or f"API specification for Calotype {name}"
        self._service = ServiceDescription(contract, name, sentence, auth)
        self._base = base
        self._own = own.by_version if own else {}
        self._kept: dict[tuple[str, BaseAddress], bytes] = {}

    def base_of(self, scheme: str, host: bytes | None, base_path: str = "") -> BaseAddress:
        """Return the address under which a caller sees the service.

        Args:
            scheme: http or https.
            host: the Host header as it came; one that is no host is passed over.
            base_path: the prefix that the caller used.
        """
        if host is None or scheme not in _DEFAULT_PORT or not _HOST.fullmatch(host):
            return BaseAddress(self._base.scheme, self._base.host, base_path)
        name = host.decode("ascii").removesuffix(_DEFAULT_PORT[scheme])
        return BaseAddress(scheme, name, base_path)

    def document(self, version: str | None = None, base: BaseAddress | None = None) -> bytes:
        """Return a document as JSON.

        Args:
            version: as in `?version=`; None when it was not asked for.
            base: from `base_of`; the service's own address when left out.

        Raises:
            Refusal: 404, there is no such version, or it cannot express the schemas.
        """
        number = "2" if version is None else _NAMES.get(version)
        if number is None:
            raise Refusal(404, _unknown(version or ""))
        if number in self._own:
            return self._own[number]
        versions = self._service.contract.versions
        if number not in versions:
            raise Refusal(404, _unsupported(number, versions))
        return self._rendered(number, base or self._base)

    def _rendered(self, number: str, base: BaseAddress) -> bytes:
        found = self._kept.get((number, base))
        if found is None:
            if len(self._kept) >= _MAX_KEPT:
                self._kept.clear()
            found = orjson.dumps(_BUILDERS[number](self._service, base))
            self._kept[number, base] = found
        return found


def _unknown(version: str) -> str:
    return f"Swagger version [{plain(version[:20])}] is not valid. Supported versions: [2, 3, 3.1]."


def _unsupported(number: str, versions: tuple[str, ...]) -> str:
    return (
        f"Swagger version [{number}] is not supported for the scoring script. "
        f"Supported swagger versions: [{', '.join(versions)}]."
    )
