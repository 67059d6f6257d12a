"""Calling a service as one of its callers, with its credential."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from calotype import errors
from calotype.hosting.keeping import IS_UP
from calotype.hosting.management import credentials, keeper
from calotype.hosting.uris import FACT
from calotype.serving.http_client import HttpClient, Reply
from calotype.workspace.services import Service
from calotype.workspace.workspace import Workspace

TIMEOUT_S = 80.0  # as the retired product had it
_DOCUMENT_S: Final = 10.0
_HOPELESS: Final = ("Failed", "Unschedulable")  # nothing of it serves


def run(
    workspace: Workspace,
    name: str,
    body: bytes,
    *,
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
    query: str = "",
    timeout_s: float = TIMEOUT_S,
) -> Reply:
    """Send a request to a service and return the reply, whatever its status.

    After a 401 the credential is read again and the request is sent once more: somebody may have
    regenerated the key in between.

    Raises:
        NotFound: there is no such service.
        NotSupported: it is a batch service, or another machine keeps it.
        OperationFailed: it has no address, or there was no reply.
    """
    reply = _send(workspace, name, body, content_type, headers or {}, query, timeout_s)
    if reply.status == 401:
        reply = _send(workspace, name, body, content_type, headers or {}, query, timeout_s)
    return reply


def _send(
    workspace: Workspace,
    name: str,
    body: bytes,
    content_type: str,
    headers: Mapping[str, str],
    query: str,
    timeout_s: float,
) -> Reply:
    service = workspace.services.get(name)
    if service.target == "batch":
        raise errors.NotSupported(
            "expected a service that answers requests",
            where=f"service '{name}'",
            got="a batch service, which takes jobs",
            action=f"Use submit (`calotype service submit -n {name}`).",
        )
    keeper.require_kept_here(workspace, service)
    observed = keeper.look(workspace, name)
    if workspace.fact(IS_UP) is False:
        raise _not_serving(name, "one that was stopped", "`calotype up` starts it.")
    serves = any(one.replicas for one in observed.versions.values())
    if not observed.scoring_uri or (observed.state in _HOPELESS and not serves):
        reason = (observed.error or {}).get("message", "")
        raise errors.OperationFailed(
            "expected a service that takes requests",
            where=f"service '{name}'",
            got=f"one that is {observed.state}{f': {reason}' if reason else ''}",
            action=f"`calotype service get-logs -n {name}` shows its log; `calotype up` starts "
            "the services of the workspace.",
        )
    is_serving = any(one.serving_revision is not None for one in observed.versions.values())
    if observed.state == "Transitioning" and not is_serving:
        raise _not_serving(
            name,
            "one that is starting",
            "Wait for it: wait_for_deployment(), or `calotype service show` until it is Healthy.",
        )
    credential = credentials.credential_of(workspace, service)
    shown = {"authorization": f"Bearer {credential}"} if credential else {}
    uri = observed.scoring_uri + (f"?{query}" if query else "")
    http = client_for(workspace, service, observed.scoring_uri, timeout_s=timeout_s)
    return http.request("POST", uri, {"content-type": content_type, **headers, **shown}, body)


def _not_serving(name: str, got: str, action: str) -> errors.OperationFailed:
    return errors.OperationFailed(
        "expected a service that takes requests",
        where=f"service '{name}'",
        got=got,
        action=action,
    )


def client_for(
    workspace: Workspace, service: Service, uri: str, *, timeout_s: float = TIMEOUT_S
) -> HttpClient:
    """Return a client that reaches a service of this machine and trusts its own certificate.

    Its certificate may be for a name that leads elsewhere, where its credential must not go; that
    it is ours needs no authority to tell.
    """
    parts = urlsplit(uri)
    if parts.scheme != "https":
        return HttpClient(timeout_s=timeout_s)
    certificate = service.access.tls_certificate or str(
        (workspace.fact(FACT) or {}).get("tls_certificate", "")
    )
    host = service.access.host if service.access.port else _door_host(workspace)
    is_pem = bool(certificate) and Path(certificate).is_file() and _holds_certificate(certificate)
    return HttpClient(
        timeout_s=timeout_s,
        ca_file=Path(certificate) if is_pem else None,
        connect_to=_reachable(host),
    )


def document_reader(
    workspace: Workspace, service: Service, scoring_uri: str
) -> Callable[[str], bytes]:
    """Return a function that reads the documents of a service, as `clients.describe` needs it."""
    http = client_for(workspace, service, scoring_uri, timeout_s=_DOCUMENT_S)
    credential = credentials.credential_of(workspace, service)
    headers = {"authorization": f"Bearer {credential}"} if credential else {}

    def read(uri: str) -> bytes:
        reply = http.request("GET", uri, headers)
        if reply.status != 200:
            raise LookupError(f"{uri}: {reply.status}")
        return reply.body

    return read


def _door_host(workspace: Workspace) -> str:
    return str((workspace.fact(FACT) or {}).get("host") or "127.0.0.1")


def _reachable(host: str) -> str:
    """Return an address that leads to what listens at `host`."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "::1" if address.version == 6 else "127.0.0.1"


def _holds_certificate(path: str) -> bool:
    try:
        ssl.create_default_context().load_verify_locations(path)
    except (ssl.SSLError, OSError):
        return False
    return True
