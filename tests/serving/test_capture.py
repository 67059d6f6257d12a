"""What is kept of requests and answers, and above all what is not."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from running import serving

from calotype.errors import CannotWrite
from calotype.serving import exchange_queue
from calotype.serving.capture import TEXT_BYTES, FileCapture, Redaction
from calotype.serving.exchange import Answer, Request
from calotype.serving.journal import Journal

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(200))
JSON = b"application/json"


def kept(folder: Path) -> list[dict[str, Any]]:
    lines = [line for file in folder.glob("*.jsonl") for line in file.read_text().splitlines()]
    return [json.loads(line) for line in lines]


def digest(content: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "length": len(content)}


@pytest.fixture
def journal() -> Any:
    journal = Journal(file_descriptor=os.open(os.devnull, os.O_WRONLY))
    yield journal
    journal.close()


def test_named_fields_are_hidden_at_any_depth_and_in_json_within_json() -> None:
    redaction = Redaction(["name", "Birth_Date"])
    inner = json.dumps({"name": "Ada", "age": 36})
    body = {"data": [{"Name": "Ada", "x": {"birth_date": [1815]}, "inner": inner, "y": 1}]}
    shown = redaction.body(json.dumps(body).encode(), JSON)
    assert isinstance(shown, str)
    assert "Ada" not in shown
    assert "1815" not in shown
    item = json.loads(shown)["data"][0]
    assert item["Name"] == item["x"]["birth_date"] == "hidden"
    assert item["y"] == 1
    assert json.loads(item["inner"]) == {"name": "hidden", "age": 36}
    assert redaction.query(b"NAME=Ada&z=2") == "NAME=hidden&z=2"


@pytest.mark.parametrize("body", [b"name=Ada", b"{name: Ada", b'{"name": NaN, "a": "Ada"}'])
def test_what_cannot_be_searched_for_fields_is_a_digest(body: bytes) -> None:
    assert Redaction(["name"]).body(body, JSON) == digest(body)


@pytest.mark.parametrize(
    ("body", "kind"),
    [(PNG, b"image/png"), (PNG, b"text/plain"), (b"abc", b"Application/Octet-Stream"),
     (b"--b\r\n", b"multipart/form-data; boundary=b"), (b"\xff\xfe\0", b"text/plain")],
)  # fmt: skip
def test_bytes_are_a_digest(body: bytes, kind: bytes) -> None:
    assert Redaction([]).body(body, kind) == digest(body)


def test_images_within_json_are_digests_of_their_bytes() -> None:
    encoded = base64.b64encode(PNG).decode()
    body = {"data": [encoded, {"image": f"data:image/png;base64,{encoded}"}, "daisy"]}
    shown = Redaction([]).body(json.dumps(body).encode(), JSON)
    assert isinstance(shown, str)
    assert json.loads(shown) == {"data": [digest(PNG), {"image": digest(PNG)}, "daisy"]}


def test_text_is_cut_and_longer_bodies_are_digests() -> None:
    text = ("é" * 40_000).encode()
    shown = Redaction([]).body(text, b"text/plain")
    assert isinstance(shown, dict)
    assert len(shown["text"].encode()) <= TEXT_BYTES
    assert shown["sha256"] == digest(text)["sha256"]
    assert Redaction([]).body(b"[" * 900 + b"]" * 900, JSON)
    assert Redaction([]).body(b"1 " * (2 << 20), JSON) == digest(b"1 " * (2 << 20))


def test_no_credential_is_kept(tmp_path: Path, journal: Journal) -> None:
    secret = "s3cret-value"  # noqa: S105
    names = (b"authorization", b"proxy-authorization", b"cookie", b"x-api-key", b"x-functions-key")
    headers = [(name, secret.encode()) for name in names]
    keeper = FileCapture(tmp_path, hidden_fields=(), journal=journal)
    request = Request(headers=[*headers, (b"user-agent", b"curl")], body=b"[1]", request_id="r")
    keeper.keep(request, Answer(200, b"[2]", headers=[(b"set-cookie", secret.encode())]))
    keeper.close()
    (file,) = tmp_path.glob("*.jsonl")
    assert secret not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (line,) = kept(tmp_path)
    assert line["headers"] == {"user-agent": "curl"}
    assert (line["request_id"], line["body"], line["answer_body"]) == ("r", "[1]", "[2]")


def test_what_is_too_much_is_dropped_and_counted(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_queue, "MAX_WAITING_BYTES", 100)
    keeper = FileCapture(tmp_path, hidden_fields=(), journal=journal)
    keeper.keep(Request(body=b"1" * 101), Answer())
    for _ in range(30):  # what is written makes room again
        keeper.keep(Request(body=b"1" * 40), Answer())
    keeper.close()
    assert keeper.dropped >= 1
    assert keeper.dropped + len(kept(tmp_path)) == 31
    keeper.keep(Request(body=b"1" * 90), Answer())
    assert keeper.dropped + len(kept(tmp_path)) == 31


def test_a_folder_that_vanishes_costs_the_lines_only(tmp_path: Path, journal: Journal) -> None:
    folder = tmp_path / "kept"
    keeper = FileCapture(folder, hidden_fields=(), journal=journal)
    folder.rmdir()
    keeper.keep(Request(), Answer())
    keeper.close()
    assert keeper.dropped == 1


def test_a_folder_that_cannot_be_one_is_refused_at_the_start(
    tmp_path: Path, journal: Journal
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite):
        FileCapture(tmp_path / "file", hidden_fields=(), journal=journal)


@pytest.mark.parametrize("isolation", ["process", "none"])
def test_the_service_keeps_what_it_answered(tmp_path: Path, isolation: str) -> None:
    script = tmp_path / "score.py"
    script.write_text("import json\ndef run(raw_data): return json.loads(raw_data)\n")
    folder = tmp_path / "kept"
    options = ("--isolation", isolation, "--auth", "key", "--capture", folder)
    hide = ("--capture-fields-to-hide", "name, age")
    with serving(tmp_path, "--entry-script", script, *options, *hide) as program:
        key = program.facts["primary_key"]
        value = {"name": "Ada", "height": 1.6}
        assert program.score(value, Authorization=f"Bearer {key}").json == value
        assert program.score(value, Authorization="Bearer wrong-key-shown").status == 401
        program.ask("GET", "/")
    good, refused = kept(folder)
    assert json.loads(good["body"]) == {"name": "hidden", "height": 1.6}
    assert json.loads(good["answer_body"]) == {"name": "hidden", "height": 1.6}
    assert (good["status"], refused["status"]) == (200, 401)
    text = "".join(file.read_text() for file in folder.iterdir())
    assert not any(word in text for word in (key, "wrong-key-shown", "Ada"))
