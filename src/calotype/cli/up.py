"""`calotype up`, `down` and `status`: everything that a workspace runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from calotype.cli.options import PATH
from calotype.cli.terminal import Terminal, command, examples, facts, table
from calotype.cli.workspace_option import current_workspace, workspace_option

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console


@command(
    epilog=examples(
        "calotype up",
        "calotype up --port 8780 --host 0.0.0.0",
        "calotype up --tls-cert cert.pem --tls-key key.pem",
        "calotype up --no-tls",
    )
)
@workspace_option
@click.option("--host", help="Where the front door listens.  [default: as before; 127.0.0.1]")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="Of the front door.  [default: as before; 8780, or a free one]",
)
@click.option("--tls-cert", type=PATH, help="Certificate of the front door with its chain, PEM.")
@click.option("--tls-key", type=PATH, help="Its private key, PEM.")
@click.option("--no-tls", is_flag=True, help="Plain HTTP from now on.")
def up(
    terminal: Terminal,
    host: str | None,
    port: int | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    no_tls: bool,
) -> None:
    """Serve everything that was deployed, and keep it running; also after a reboot.

    All services are found at one address, the front door, below /api/v1/service/NAME, beside their
    own ports. What was chosen stays for the next time. An address that somebody else has, or a
    certificate that cannot be used, is refused, and all stays as it was.
    """
    from calotype.hosting import keeping

    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key belong together.")
    if no_tls and tls_cert:
        raise click.UsageError("--no-tls and --tls-cert exclude each other.")
    nothing = "" if no_tls else None
    found = keeping.up(
        current_workspace(),
        host=host,
        port=port,
        tls_certificate=str(tls_cert) if tls_cert else nothing,
        tls_key=str(tls_key) if tls_key else nothing,
    )
    _show(terminal, found)


@command(epilog=examples("calotype down"))
@workspace_option
def down(terminal: Terminal) -> None:
    """End all services of the workspace; what was accepted is answered, nothing is deleted.

    `calotype up` brings them back, and so does the next deployment.
    """
    from calotype.hosting import keeping

    workspace = current_workspace()
    keeping.down(workspace)
    _show(terminal, keeping.status(workspace))


@command(epilog=examples("calotype status", "calotype status -o json"))
@workspace_option
def status(terminal: Terminal) -> None:
    """Show what the workspace runs: front door, services, their states and addresses."""
    from calotype.hosting import keeping

    _show(terminal, keeping.status(current_workspace()))


def _show(terminal: Terminal, found: dict[str, Any]) -> None:
    def render(console: Console) -> None:
        door = found["front_door"]
        facts(
            console,
            [
                ("workspace", found["workspace"]),
                ("keeper", found["keeper"] or "none"),
                ("front door", (door["uri"] or door["error"]) if door else "none"),
            ],
        )
        if not found["services"]:
            return
        rows = [
            (
                one["name"],
                one["target"],
                one["state"],
                one["replicas"],
                f"{one['memory_bytes'] / 1e6:.0f} MB",
                one["scoring_uri"],
            )
            for one in found["services"]
        ]
        columns = ["service", "target", "state", "ready", "memory", "address"]
        table(console, columns, rows, address="address", less=("memory", "target"))
        faults = [(one["name"], one["error"]) for one in found["services"] if one["error"]]
        if faults:
            console.print()
            facts(console, faults)

    terminal.show(found, render)
