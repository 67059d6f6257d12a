"""A replica's process with a real service: `python app_replica.py JSON`.

    {"socket": …, "script": …, "models": …, "settings": {…}, "primary_key": …, "token_keys": …}

With `model` in place of `script` it serves an image model.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

from calotype.hosting.wire_server import WireServer
from calotype.serving.app import ScoringApp
from calotype.serving.entry.fork_client import ForkConfiguration
from calotype.serving.front import FrontSettings, authenticator_of
from calotype.serving.journal import Journal
from calotype.serving.metrics import Meter
from calotype.serving.openapi.builders import BaseAddress
from calotype.serving.openapi.documents import Documents
from calotype.serving.server import run
from calotype.serving.service import Service
from calotype.serving.settings import ServiceSettings


def service_of(said: dict[str, Any], limits: ServiceSettings, journal: Journal) -> Service:
    """Return what the arguments ask for."""
    if "model" in said:
        from calotype.serving.images.image_service import ImageService

        return ImageService(said["model"], limits, precision="fp32")
    from calotype.serving.entry.script_service import ScriptService

    models = Path(said["models"]) if said.get("models") else None
    return ScriptService(
        ForkConfiguration(Path(said["script"]), model_directory=models), limits, journal
    )


async def main() -> None:
    """Serve until SIGTERM."""
    said = json.loads(sys.argv[1])
    limits = ServiceSettings.of(said["settings"])
    front = FrontSettings(
        limits,
        primary_key=said.get("primary_key", ""),
        secondary_key=said.get("secondary_key", ""),
        token_keys=said.get("token_keys", ""),
    )
    journal = Journal()
    service = service_of(said, limits, journal)

    def documents() -> Documents:
        base = BaseAddress("http", "127.0.0.1:1", limits.path_prefix)
        return Documents(service.contract, name=limits.name, base=base, auth=limits.auth)

    app = ScoringApp(
        service,
        limits,
        authenticator=authenticator_of(front),
        documents=documents,
        meter=Meter(),
        journal=journal,
        public_keys=front.token_keys.encode() if front.token_keys else None,
    )
    await service.start()
    server = WireServer(app.answer, Path(said["socket"]), journal)
    await server.start()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await ended.wait()
    await server.close()
    await service.stop()
    journal.close()


if __name__ == "__main__":
    run(main)
