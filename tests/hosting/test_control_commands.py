"""What comes back when a command meets a defect."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path
from typing import Any

import pytest

from calotype import errors
from calotype.hosting import control


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
