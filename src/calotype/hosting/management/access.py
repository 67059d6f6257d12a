"""Where a service is found and who may call it: the rules of each target."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from calotype import errors
from calotype.hosting.management.ports import free_port, require_free
from calotype.serving.tls import TlsCertificate, TlsSettings
from calotype.workspace.service_settings import AccessSettings, Target
from calotype.workspace.workspace import Workspace

_ALLOWED: Final[dict[Target, tuple[str, ...]]] = {
    "local": ("none",),
    "instance": ("none", "key"),
    "cluster": ("key", "none", "token"),
    "batch": ("none",),
}
_HAVE_PORTS: Final = ("local", "instance")


def new_access(workspace: Workspace, target: Target, given: AccessSettings) -> AccessSettings:
    """Return the access of a new service: the target's defaults, and a port that it keeps.

    Raises:
        NotSupported: the target knows no such authentication or TLS.
        CannotListen: the port that was asked for is taken.
    """
    values: dict[str, Any] = {"auth": _ALLOWED[target][0], **given.model_dump(exclude_unset=True)}
    access = AccessSettings.of(values, where="access")
    if target in _HAVE_PORTS:
        if access.port:
            require_free(workspace, access.host, access.port)
        else:
            access = access.model_copy(update={"port": free_port(workspace, access.host)})
    return checked(target, access)


def changed_access(
    workspace: Workspace,
    service: str,
    target: Target,
    old: AccessSettings,
    values: dict[str, Any],
) -> AccessSettings:
    """Return `old` with some values exchanged.

    Raises:
        NotSupported: the target knows no such authentication or TLS.
        CannotListen: another port was asked for, and it is taken.
    """
    known = {name: value for name, value in values.items() if value is not None}
    if not known.get("port"):
        known.pop("port", None)  # the one that it has stays
    new = AccessSettings.of({**old.model_dump(), **known}, where="access")
    if (new.host, new.port) != (old.host, old.port) and new.port:
        require_free(workspace, new.host, new.port, but_of=service)
    return checked(target, new)


def checked(target: Target, access: AccessSettings) -> AccessSettings:
    """Return `access` with absolute paths.

    Raises:
        NotSupported: the target has no such thing.
        CalotypeError: certificate and key cannot be used.
    """
    if access.auth not in _ALLOWED[target]:
        raise errors.NotSupported(
            f"expected {' or '.join(repr(auth) for auth in _ALLOWED[target])}",
            where=f"auth on target '{target}'",
            got=repr(access.auth),
            action=_advice(target, access.auth),
        )
    if access.port is not None and target not in _HAVE_PORTS:
        raise errors.NotSupported(
            "expected no port of its own",
            where=f"target '{target}'",
            got=str(access.port),
            action="Its services share the address of the front door (`calotype up --port`).",
        )
    return _with_tls(target, access)


def _with_tls(target: Target, access: AccessSettings) -> AccessSettings:
    if not (access.tls_certificate or access.tls_key):
        return access
    if target != "instance":
        raise errors.NotSupported(
            "expected no certificate of its own",
            where=f"target '{target}'",
            got="one",
            action="`calotype up --tls-cert PEM --tls-key PEM` gives one to the front door."
            if target == "cluster"
            else "Use target 'instance'.",
        )
    if not (access.tls_certificate and access.tls_key):
        missing = "tls_key" if access.tls_certificate else "tls_certificate"
        raise errors.EmptyInput(
            "expected a certificate and its key", where=missing, got="one of the two"
        )
    certificate, key = Path(access.tls_certificate).absolute(), Path(access.tls_key).absolute()
    TlsCertificate(TlsSettings(certificate, key, access.tls_exact_1_2))
    return access.model_copy(
        update={"tls_certificate": str(certificate), "tls_key": str(key)},
    )


def _advice(target: Target, auth: str) -> str:
    if target == "instance" and auth == "token":
        return "Tokens need target 'cluster'; keys work here."
    if target == "batch":
        return "Its jobs are files on this machine; nobody calls it."
    return "A protected service needs target 'instance' or 'cluster'."
