"""Where the front door shall listen and with which certificate, as the workspace keeps it."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from calotype import errors
from calotype.serving.server import listen
from calotype.serving.tls import TlsCertificate, TlsSettings

FIRST_PORT: Final = 8780
# It is kept for good, so it is none that systems hand out for outgoing connections, and none that a
# service may choose (`management.ports`) while the door is down.
_OTHER_PORTS: Final = range(32_000, 32_768)
_TRIES: Final = 50
_FIRST: Final = {"host": "127.0.0.1", "port": 0, "tls_certificate": "", "tls_key": ""}


def settled(known: Mapping[str, Any], wish: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is to be, of what was chosen before and what is asked for now."""
    return {**_FIRST, **known, **wish}


def check_certificate(facts: Mapping[str, Any]) -> None:
    """Say now what a front door would only find out when it starts.

    Raises:
        FileError: certificate or key cannot be used.
    """
    certificate, key = Path(facts["tls_certificate"]), Path(facts["tls_key"])
    if facts["tls_certificate"]:
        TlsCertificate(TlsSettings(certificate, key, facts.get("tls_exact_1_2", False)))


def bind(facts: Mapping[str, Any]) -> socket.socket:
    """Return a socket that listens there, at a free port while none was ever chosen.

    Raises:
        CannotListen: somebody else has the address, or it is not this machine's.
    """
    host, port = str(facts["host"]), int(facts["port"])
    if port:
        return listen(host, port)
    for first in (FIRST_PORT, *random.sample(_OTHER_PORTS, _TRIES)):
        with contextlib.suppress(errors.CannotListen):
            return listen(host, first)
    return listen(host, FIRST_PORT)  # it says why not


def refused(error: errors.CalotypeError) -> errors.CalotypeError:
    """Return what to tell somebody whose wish cannot be had; all stays as it was."""
    if not isinstance(error, errors.CannotListen):
        return error
    return _advised(error, "Choose another --port; the front door stays where it was.")


def stuck(error: errors.CalotypeError) -> errors.CalotypeError:
    """Return what to tell about a front door that cannot start where it has to."""
    if isinstance(error, errors.CannotListen):
        advice = (
            "Free it, then the front door starts by itself, or choose another one: "
            "`calotype up --port N`."
        )
    else:
        advice = (
            "Mend it, then the front door starts by itself, or choose: "
            "`calotype up --tls-cert … --tls-key …`, `calotype up --no-tls`."
        )
    return _advised(error, advice)


def _advised(error: errors.CalotypeError, advice: str) -> errors.CalotypeError:
    return type(error)(error.expected, where=error.where, got=error.got, action=advice)
