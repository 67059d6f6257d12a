"""The signs of life that a keeper gives to the other machines of a shared workspace."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from calotype.workspace.machine import is_shared
from calotype.workspace.presence import SIGN_EVERY_S

if TYPE_CHECKING:
    from calotype.workspace.workspace import Workspace

logger = logging.getLogger(__name__)


async def beat(workspace: Workspace) -> None:
    """Give a sign again and again; whoever hears none any more takes this machine for away.

    A task of its own: what the keeper does may take longer than others wait.
    """
    while is_shared(workspace.place) and workspace.place.is_made:
        try:
            await asyncio.to_thread(workspace.presence.sign)
        except Exception as error:  # noqa: BLE001 - the database may be back at the next one
            logger.warning("no sign of life could be given: %s", error)
        await asyncio.sleep(SIGN_EVERY_S)
