"""What `calotype serve` prints: where the service is, and what a check of it has found."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calotype.cli.terminal import Terminal, facts

if TYPE_CHECKING:
    from rich.console import Console

    from calotype.serving.deployment import Addresses, Deployment
    from calotype.serving.front import FrontSettings


def announce(terminal: Terminal, deployment: Deployment, addresses: Addresses) -> None:
    """Print where the service is, and its keys: nowhere else will they be shown."""
    front = deployment.front
    document: dict[str, Any] = {
        "name": front.service.name,
        **asdict(addresses),
        "auth": front.service.auth,
        "pid": os.getpid(),
    }
    if front.primary_key:
        document |= {"primary_key": front.primary_key, "secondary_key": front.secondary_key}

    def render(console: Console) -> None:
        rows = [(key.replace("_", " "), value) for key, value in document.items()]
        facts(console, [*rows, ("stop it with", "Ctrl-C")])

    terminal.show(document, render)
    sys.stdout.flush()


async def check_service(
    terminal: Terminal, front: FrontSettings, addresses: Addresses, credential: str
) -> None:
    """Check the service as its callers see it, and print what was found.

    Raises:
        OperationFailed: there is an error among it.
    """
    from calotype.cli.service_client import show_report
    from calotype.serving.check import check
    from calotype.serving.deployment import local_host
    from calotype.serving.http_client import HttpClient

    # Its certificate may be for a name that leads elsewhere, where its key must not go.
    # That it is ours needs no authority to tell.
    http = HttpClient(
        connect_to=local_host(front.service.host),
        ca_file=Path(front.certificate) if front.certificate else None,
    )
    report = await asyncio.to_thread(check, addresses.scoring_uri, credential=credential, http=http)
    show_report(terminal, report)
