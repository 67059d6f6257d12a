"""What comes back when a command meets a defect."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hosted import Hosted

from calotype import errors
from calotype.hosting import control, keeping


async def _defect(_command: dict[str, Any]) -> dict[str, Any]:
    raise RuntimeError("something of the inside")


async def _ask(path: Path) -> None:
    server = await control.listen(path, {"state": _defect}, log="keeper.log")
    with contextlib.closing(server):
        await control.call(path, "state")


def test_a_defect_is_logged_there_and_told_in_a_sentence(caplog: pytest.LogCaptureFixture) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="ct-") as folder,
        pytest.raises(errors.OperationFailed) as raised,
    ):
        asyncio.run(_ask(Path(folder) / "keeper"))
    told = str(raised.value)
    assert "see keeper.log" in told
    assert "command 'state'" in told
    assert "Traceback" not in told
    assert "something of the inside" not in told
    assert "something of the inside" in caplog.text
    assert "Traceback" in caplog.text


def test_a_command_that_takes_too_long_is_not_sent_again(
    hosted: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def ping(_command: dict[str, Any]) -> dict[str, Any]:
        return {}

    async def reload(command: dict[str, Any]) -> dict[str, Any]:
        asked.append(command["service"])
        return await asyncio.Event().wait() and {}

    async def keep() -> None:
        place = hosted.layout.keeper_socket
        server = await control.listen(place, {"ping": ping, "reload": reload}, log="keeper.log")
        with contextlib.closing(server), pytest.raises(control.TooLate, match=r"within 0\.2 s"):
            await asyncio.to_thread(keeping.reload, hosted.workspace, "echo")
        async with asyncio.timeout(60):
            while not asked:  # it was sent, and is perhaps still to be read
                await asyncio.sleep(0.01)

    monkeypatch.setattr(keeping, "_RELOADS_WITHIN_S", 0.2)
    asyncio.run(keep())
    assert asked == ["echo"]
