"""Entry scripts in this process, which afterwards is as it was before."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from calotype.serving.entry.printing import Printing
from calotype.serving.entry.script import EntryScript
from calotype.serving.exchange import Answer, Request
from calotype.serving.refusals import Refusal


class Loaded:
    """A script that has been loaded, and its log."""

    def __init__(self, script: EntryScript, log: Path) -> None:
        self.script = script
        self._log = log

    def send(self, body: bytes | str = b"", *, timeout_ms: int = 5000, **fields: Any) -> Answer:
        """Return the answer to a request; JSON unless `headers` say otherwise."""
        data = body.encode() if isinstance(body, str) else body
        fields.setdefault("headers", [(b"content-type", b"application/json")])
        fields.setdefault("request_id", "r-1")
        return self.script.answer(Request(body=data, **fields), timeout_ms=timeout_ms)

    def refusal(self, body: bytes | str = b"", **fields: Any) -> Refusal:
        """Return how a request is refused."""
        with pytest.raises(Refusal) as caught:
            self.send(body, **fields)
        return caught.value

    def lines(self) -> list[dict[str, Any]]:
        """Return the log."""
        return [json.loads(line) for line in self._log.read_text("ascii").splitlines()]

    def messages(self, level: str) -> list[str]:
        """Return the messages of one level."""
        return [line["message"] for line in self.lines() if line["level"] == level]


Load = Callable[..., Loaded]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Give a function that writes a script, loads and starts it."""
    log = tmp_path / "log.jsonl"
    log.touch()
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    printing = Printing(descriptor)
    modules = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("AZUREML_MODEL_DIR", "")
    monkeypatch.chdir(tmp_path)

    def load_source(source: str, *, path: str = "src/score.py", **options: Any) -> Loaded:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(source), encoding="utf-8")
        script = EntryScript.load(file, printing=printing, **options)
        script.init()
        return Loaded(script, log)

    yield load_source
    printing.uninstall()
    os.close(descriptor)
    for name in set(sys.modules) - modules:
        if name.startswith(("azureml", "entry_source")) or str(tmp_path) in str(
            getattr(sys.modules[name], "__file__", "")
        ):
            del sys.modules[name]


@pytest.fixture
def log_lines(tmp_path: Path) -> Callable[[], list[dict[str, Any]]]:
    """Give a function that reads the log, for scripts that did not load."""
    return lambda: [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Say where a service writes its log."""
    return tmp_path / "log.jsonl"


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell scripts where to note which requests they begin."""
    monkeypatch.setenv("BEGUN", str(tmp_path / "begun"))
