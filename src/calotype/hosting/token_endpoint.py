"""Tokens over plain HTTP: whoever has the management key of the workspace gets one for a service.

POST /api/v1/service/NAME/token
Authorization: Bearer MANAGEMENT_KEY
"""

from __future__ import annotations

import hmac
import json
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from calotype import errors
from calotype.serving import refusals
from calotype.serving.auth.guesses import Guesses
from calotype.serving.auth.tokens import IssuedToken, TokenIssuer
from calotype.serving.exchange import JSON, Answer, Request
from calotype.serving.front import ISSUER
from calotype.serving.refusals import Refusal
from calotype.workspace.credentials import Credentials
from calotype.workspace.location import Location

if TYPE_CHECKING:
    from calotype.workspace.services import Service
    from calotype.workspace.workspace import Workspace

_NOT_KEPT: Final = (b"cache-control", b"no-store")
_CHALLENGE: Final = (b"www-authenticate", b"Bearer")


class TokenEndpoint:
    """Issues tokens; asks the database each time, so that exchanged keys count at once.

    Args:
        location: of the workspace.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self._workspace: Workspace | None = None
        self._guesses = Guesses()

    def check_form(self, request: Request) -> bytes:
        """Return the credential of a request.

        Raises:
            Refusal: 405 or 401.
        """
        if request.method != "POST":
            raise refusals.method_not_allowed("POST")
        scheme, _, credential = (request.header(b"authorization") or b"").partition(b" ")
        if scheme.lower() != b"bearer" or not credential.strip():
            raise Refusal(
                401,
                "Expected the header `Authorization: Bearer KEY` with the management key of the "
                "workspace: `calotype workspace show --with-credential` prints it.",
                [_CHALLENGE],
            )
        return credential.strip()

    def issue(self, service: str, credential: bytes, request: Request) -> Answer:
        """Return a token for a service; waits for the database, so not in an event loop.

        Raises:
            Refusal: 400, 401, 404 or 429.
        """
        workspace = self._open()
        key = workspace.management_key.encode()
        if not hmac.compare_digest(credential, key):
            self._guesses.count(request.client)
            raise Refusal(
                401,
                "The key is not the management key of this workspace. Ask whoever runs it.",
                [_CHALLENGE],
            )
        found = self._find(workspace, service)
        token = self._sign(workspace, found)
        workspace.audit.note(
            "service.token",
            service,
            over="http",
            client=request.client,
            request_id=request.request_id,
        )
        document = {
            "access_token": token.token,
            "token_type": "Bearer",
            "refresh_after": int(token.refresh_by.timestamp()),
            "expiry_on": int(token.expires_at.timestamp()),
        }
        return Answer(200, json.dumps(document).encode(), JSON, [_NOT_KEPT])

    def close(self) -> None:
        """Let go of the database."""
        if self._workspace is not None:
            self._workspace.close()

    def _open(self) -> Workspace:
        if self._workspace is None:
            from calotype.workspace.workspace import Workspace

            self._workspace = Workspace(self._location)
        return self._workspace

    def _find(self, workspace: Workspace, name: str) -> Service:
        try:
            found = workspace.services.get(name)
        except errors.NotFound:
            raise Refusal(404, "The workspace has no service of that name.") from None
        if found.access.auth != "token":
            raise refusals.bad_request(
                "Expected a service that takes tokens. Update it with token_auth_enabled=True."
            )
        return found

    def _sign(self, workspace: Workspace, service: Service) -> IssuedToken:
        secrets = Credentials.opened(service.credentials, workspace.key_file)
        key = serialization.load_pem_private_key(secrets.signing_key.encode(), password=None)
        assert isinstance(key, Ed25519PrivateKey)
        return TokenIssuer(key, service=service.name, issuer=ISSUER).issue()
