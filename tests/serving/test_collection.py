"""What data collection writes about requests and answers."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import multiprocessing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from running import serving

from calotype.errors import CannotWrite
from calotype.serving import collection as collection_module
from calotype.serving.collection import Collection, append_rows
from calotype.serving.daily_tables import rows_of
from calotype.serving.exchange import TEXT, Answer, Request
from calotype.serving.front import FrontSettings, capture_of
from calotype.serving.journal import Journal
from calotype.serving.settings import ServiceSettings

JSON_TYPE = [(b"content-type", b"application/json")]


def picture(color: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), color).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def journal() -> Any:
    made = Journal()
    yield made
    made.close()


def kept(folder: Path, name: str = "inputs") -> list[dict[str, Any]]:
    return [row for path in sorted((folder / name).rglob("*.csv")) for row in rows_of(path)]


def collect(
    folder: Path, journal: Journal, *exchanges: tuple[object, object], **options: Any
) -> Collection:
    made = Collection(folder, journal=journal, **options)
    for number, (body, answer) in enumerate(exchanges):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = [] if isinstance(body, bytes) else JSON_TYPE
        said = answer if isinstance(answer, Answer) else Answer(200, json.dumps(answer).encode())
        made.keep(Request(headers=headers, body=raw, request_id=f"r{number}"), said)
    made.close()
    return made


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ({"data": [{"age": 3, "name": "a"}, {"age": 4, "name": "b"}]}, 2),
        ({"Inputs": {"in0": [{"age": 3, "name": "a"}, {"age": 4, "name": "b"}]}}, 2),
        ({"columns": ["age", "name"], "data": [[3, "a"], [4, "b"]]}, 2),
        ([{"age": 3, "name": "a"}], 1),
        ({"age": 3, "name": "a"}, 1),
    ],
)
def test_columns_follow_the_shape_of_the_request(
    tmp_path: Path, journal: Journal, body: object, rows: int
) -> None:
    days = [datetime.now(UTC)]
    collect(tmp_path, journal, (body, [1] * rows))
    days.append(datetime.now(UTC))  # it may have struck midnight
    found = kept(tmp_path)
    assert [row["row"] for row in found] == [str(index) for index in range(rows)]
    assert list(found[0]) == ["time", "request_id", "row", "age", "name"]
    assert (found[0]["request_id"], found[0]["age"], found[0]["name"]) == ("r0", "3", "a")
    assert any((tmp_path / "inputs" / f"{day:%Y/%m/%d}" / "data.csv").is_file() for day in days)


def test_lists_nested_values_and_line_breaks(tmp_path: Path, journal: Journal) -> None:
    collect(
        tmp_path,
        journal,
        ({"data": [[1.5, True, None], [2, False, 'x,\n"y"']]}, [0, 1]),
        ({"text": "one\ntwo", "deep": {"a": [1, {"b": 2}]}}, {"result": ["cat"]}),
    )
    first, second, third = kept(tmp_path)
    # data-2.csv sorts before data.csv
    by_id = sorted((first, second, third), key=lambda row: (row["request_id"], row["row"]))
    assert [by_id[0][name] for name in ("c0", "c1", "c2")] == ["1.5", "true", ""]
    assert by_id[1]["c2"] == 'x,\\n"y"'
    assert by_id[2]["text"] == "one\\ntwo"
    assert json.loads(by_id[2]["deep"]) == {"a": [1, {"b": 2}]}
    assert len(list((tmp_path / "inputs").rglob("*.csv"))) == 2


def test_images_are_digests_with_copies_once(tmp_path: Path, journal: Journal) -> None:
    red, blue = picture("red"), picture("blue")
    encoded = base64.b64encode(red).decode()
    prediction = {"Scored Labels": "cat", "Scored Probabilities": {"dog": 0.25, "cat": 0.75}}
    form = b'--b\r\nContent-Disposition: form-data; name="f"; filename="x.png"\r\n\r\n'
    form += blue + b"\r\n--b--\r\n"
    made = Collection(tmp_path, with_image_copies=True, journal=journal)
    answer = Answer(200, json.dumps(prediction).encode())
    made.keep(Request(body=red, headers=[(b"content-type", b"image/png")]), answer)
    several = Answer(200, json.dumps([prediction, {"error": {"status_code": 422}}]).encode())
    made.keep(Request(body=json.dumps({"data": [encoded, encoded]}).encode()), several)
    multipart = [(b"content-type", b"multipart/form-data; boundary=b")]
    made.keep(Request(body=form, headers=multipart), answer)
    made.close()
    names = {f"{hashlib.sha256(one).hexdigest()}.png": one for one in (red, blue)}
    copies = {path.name: path.read_bytes() for path in (tmp_path / "images").rglob("*.*")}
    assert copies == names
    assert {row["image"] for row in kept(tmp_path)} == set(names)
    assert len(kept(tmp_path)) == 4
    said = kept(tmp_path, "predictions")
    assert [(row["label"], row["probability"]) for row in said] == [
        ("cat", "0.75"),
        ("cat", "0.75"),
        ("", ""),
        ("cat", "0.75"),
    ]
    assert {path.stat().st_mode & 0o077 for path in tmp_path.rglob("*")} == {0}
    assert not [path for path in tmp_path.rglob("*.csv") if encoded in path.read_text()]


@pytest.mark.parametrize(
    ("answer", "labels"),
    [
        ({"result": ["cat", "dog"]}, ["cat", "dog"]),
        ([1, 0], ["1", "0"]),
        ([0.25, 1.5], ["", ""]),
        ([{"label": "cat", "probability": 0.5}], ["cat"]),
        (json.dumps({"result": ["cat"]}), ["cat"]),
        ({"Results": {"output": [{"Scored Labels": "cat", "Scored Probabilities": {}}]}}, ["cat"]),
    ],
)
def test_predicted_classes_are_found(
    tmp_path: Path, journal: Journal, answer: object, labels: list[str]
) -> None:
    collect(tmp_path, journal, ({"a": 1}, answer))
    assert [row["label"] for row in kept(tmp_path, "predictions")] == labels


def test_failures_are_rows_and_callers_without_rights_leave_nothing(
    tmp_path: Path, journal: Journal
) -> None:
    collect(
        tmp_path,
        journal,
        ({"a": 1}, Answer(500, b"trace", TEXT)),
        ({"a": 2}, Answer(401)),
        (b"\xff\x00 nothing", Answer(400)),
    )
    assert [row["status"] for row in kept(tmp_path, "predictions")] == ["500", "400"]
    assert len(kept(tmp_path)) == 2


def test_hidden_fields_are_hidden_at_any_depth(tmp_path: Path, journal: Journal) -> None:
    body = {"data": [{"Name": "Ann", "more": {"name": "Ann", "age": 3}}]}
    collect(tmp_path, journal, (body, ["x"]), (b"Ann said", ["x"]), hidden_fields=["name"])
    texts = "".join(path.read_text() for path in tmp_path.rglob("*.csv"))
    assert "Ann" not in texts
    assert '""age"":3' in texts


def test_callers_choose_columns_but_not_how_many_files(tmp_path: Path, journal: Journal) -> None:
    exchanges = [({f"column{number}": 1}, [0]) for number in range(30)]
    made = collect(tmp_path, journal, *exchanges)
    assert len(list((tmp_path / "inputs").rglob("*.csv"))) == 20
    assert made.dropped > 0


def test_a_full_disk_stops_the_collection_only(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection_module, "MIN_FREE_BYTES", 1 << 60)
    made = collect(tmp_path, journal, ({"a": 1}, [1]), ({"a": 1}, [1]))
    assert made.dropped == 2
    assert kept(tmp_path) == []


def append_many(folder: str, name: str) -> None:
    for number in range(300):
        append_rows(Path(folder), ("text",), f"now,{name},{number},{'x' * 100}\n" * 3)


def test_processes_that_write_the_same_day_never_mix_lines(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [
        context.Process(target=append_many, args=(str(tmp_path), f"writer{number}"))
        for number in range(3)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert [path.name for path in tmp_path.iterdir()] == ["data.csv"]
    with (tmp_path / "data.csv").open(newline="") as file:
        header, *rows = list(csv.reader(file))
    assert header == ["time", "request_id", "row", "text"]
    assert len(rows) == 2700
    assert {(row[0], len(row), row[3]) for row in rows} == {("now", 4, "x" * 100)}


def test_half_a_line_of_a_killed_process_is_taken_away(tmp_path: Path) -> None:
    append_rows(tmp_path, ("a",), "now,r,0,1\n")
    with (tmp_path / "data.csv").open("a") as file:
        file.write('now,r,1,"hal')
    append_rows(tmp_path, ("a",), "now,r,2,3\n")
    assert [row["row"] for row in rows_of(tmp_path / "data.csv")] == ["0", "2"]


def test_a_folder_that_cannot_be_used_is_told_at_once(tmp_path: Path, journal: Journal) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite):
        Collection(tmp_path / "file", journal=journal)


def test_capture_and_collection_go_together(tmp_path: Path, journal: Journal) -> None:
    settings = FrontSettings(
        ServiceSettings(name="both"),
        capture=str(tmp_path / "capture"),
        collect=str(tmp_path / "collect"),
    )
    assert FrontSettings.of_document(settings.to_document()).collect == settings.collect
    both = capture_of(settings, journal)
    assert both is not None
    both.keep(Request(body=b'{"a": 1}', request_id="r"), Answer(200, b"[1]"))
    both.close()
    assert both.dropped == 0
    assert len(list((tmp_path / "capture").glob("*.jsonl"))) == 1
    assert kept(tmp_path / "collect")[0]["a"] == "1"


def test_the_service_collects_what_it_answered(tmp_path: Path) -> None:
    script = tmp_path / "score.py"
    script.write_text(
        "import json\ndef run(data): return ['cat'] * len(json.loads(data)['data'])\n"
    )
    folder = tmp_path / "modeldata"
    options = ("--entry-script", str(script), "--collect", str(folder), "--workers", "2")
    with serving(tmp_path, *options, "--isolation", "none") as service:
        for number in range(10):
            reply = service.score({"data": [{"n": number}, {"n": -number}]})
            assert reply.status == 200
    assert sorted({int(row["n"]) for row in kept(folder)}) == list(range(-9, 10))
    said = kept(folder, "predictions")
    assert len(said) == 20
    assert {row["label"] for row in said} == {"cat"}
    assert {row["request_id"] for row in said} == {row["request_id"] for row in kept(folder)}
