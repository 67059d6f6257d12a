"""Whose tokens a service has to know, to tell their owners that they are at the wrong one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from calotype import errors
from calotype.hosting.plan_making import token_keys
from calotype.workspace.credentials import Credentials

if TYPE_CHECKING:
    from calotype.workspace.workspace import Workspace

_MOST: Final = 1000


class OtherTokens:
    """Public keys of all services of a workspace that take tokens, but for one.

    Args:
        workspace: whose.
        service: name of the one.
    """

    def __init__(self, workspace: Workspace, service: str) -> None:
        self._workspace, self._service = workspace, service
        self._seen: int | None = None
        self._known: dict[bytes, list[dict[str, Any]]] = {}
        self._document = ""

    def read(self) -> str:
        """Return them as a JWKS document; looks at the database.

        Also of services that other machines run: whoever holds a token may come to any of them.
        """
        services = self._workspace.services
        if (seen := services.fingerprint()) != self._seen:
            sealed = services.sealed_of_token_services()
            others = [value for name, value in sorted(sealed.items()) if name != self._service]
            self._known = {value: self._keys(value) for value in others[:_MOST]}
            keys = [key for found in self._known.values() for key in found]
            self._document = json.dumps({"keys": keys}) if keys else ""
            self._seen = seen if all(self._known.values()) else None  # the key file may be back
        return self._document

    def _keys(self, sealed: bytes) -> list[dict[str, Any]]:
        if known := self._known.get(sealed):
            return known
        try:
            credentials = Credentials.opened(sealed, self._workspace.key_file)
        except errors.CorruptWorkspace:  # sealed with another key: `workspace check` tells
            return []
        return json.loads(token_keys(credentials))["keys"]
