"""Logs that are rotated while others write, and their last lines."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from calotype import errors
from calotype.hosting.log_files import RotatingLog, logs_of, names_of, tail

WRITER = """
import os, sys
for number in range(int(sys.argv[1])):
    os.write(1, b'%s line %06d %s\\n' % (sys.argv[2].encode(), number, b'.' * 40))
os.write(1, b'end\\n')
"""


def line(second: int, event: str, **facts: object) -> str:
    return json.dumps({"time": f"2026-01-01T10:00:{second:02d}.000Z", "event": event, **facts})


def write(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(f"{one}\n" for one in lines))


def everything(log: RotatingLog) -> list[bytes]:
    """Read all of a log piece by piece, as no reader of ours does."""
    with log.reading() as pieces:
        data = b"".join(piece.path.read_bytes()[piece.start : piece.end] for piece in pieces)
    return data.splitlines()


def test_no_line_is_lost_or_torn_while_three_processes_write_and_one_rotates(
    tmp_path: Path,
) -> None:
    log = RotatingLog(tmp_path / "default-1-a.log", max_bytes=20_000, kept_files=1000)
    descriptor = log.open()
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, "6000", name], stdout=descriptor)
        for name in ("one", "two", "six")
    ]
    try:
        while any(writer.poll() is None for writer in writers):
            log.rotate()
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
        os.close(descriptor)
    log.rotate()
    lines = everything(log)
    assert len(lines) == 3 * 6001
    for name in (b"one", b"two", b"six"):
        numbers = [int(one.split()[2]) for one in lines if one.startswith(name)]
        assert numbers == list(range(6000))
    assert len(list(tmp_path.glob("*.log.*"))) > 40


def test_what_was_written_before_a_kill_is_there(tmp_path: Path) -> None:
    log = RotatingLog(tmp_path / "default-1-a.log", max_bytes=1000)
    descriptor = log.open()
    script = "import os,signal\nfor n in range(500): os.write(2, b'line %d\\n' % n)\n"
    script += f"os.kill(os.getpid(), {int(signal.SIGKILL)})"
    subprocess.run([sys.executable, "-c", script], stderr=descriptor, check=False)
    os.close(descriptor)
    assert log.rotate()
    assert tail(tmp_path, 2) == "line 498\nline 499\n"


def test_the_room_is_given_back_and_old_parts_go(tmp_path: Path) -> None:
    log = RotatingLog(tmp_path / "default-1-a.log", max_bytes=100_000, kept_files=2)
    with contextlib.closing(os.fdopen(log.open(), "wb")) as file:
        for round_number in range(6):
            for number in range(2000):
                file.write(b"%d %04d %s\n" % (round_number, number, b"x" * 90))
            file.flush()
            log.rotate()
    parts = sorted(tmp_path.glob("*.log.*"))
    assert len(parts) == 2
    assert all(part.stat().st_size <= 100_000 for part in parts)
    assert log.path.stat().st_size == 6 * 2000 * 98
    assert log.path.stat().st_blocks * 512 <= 120_000
    assert [one.split()[0] for one in tail(tmp_path, 2001).splitlines()] == ["4"] + ["5"] * 2000
    log.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_somebody_emptied_goes_on(tmp_path: Path) -> None:
    log = RotatingLog(tmp_path / "default-1-a.log", max_bytes=100)
    write(log.path, *(f"old {number}" for number in range(50)))
    assert log.rotate()
    log.path.write_text("")
    write(log.path, "new 1", "new 2")
    assert tail(tmp_path, 2) == "new 1\nnew 2\n"
    write(log.path, *(f"newer {number}" for number in range(20)))
    assert log.rotate()
    assert everything(log)[:2] == [b"new 1", b"new 2"]


def test_a_log_is_not_rotated_while_somebody_reads(tmp_path: Path) -> None:
    log = RotatingLog(tmp_path / "default-1-a.log", max_bytes=10)
    write(log.path, "one", "two", "three")
    with log.reading():
        assert not log.rotate()
    assert log.rotate()


def test_files_are_private(tmp_path: Path) -> None:
    log = RotatingLog(tmp_path / "logs" / "default-1-a.log", max_bytes=10)
    os.close(log.open())
    write(log.path, "one", "two", "three")
    log.rotate()
    assert {path.stat().st_mode & 0o777 for path in log.path.parent.iterdir()} == {0o600}
    assert log.path.parent.stat().st_mode & 0o777 == 0o700


def test_lines_of_several_logs_are_merged_by_time_and_traces_stay_whole(tmp_path: Path) -> None:
    write(tmp_path / "default-1-s-a.log", line(1, "a"), line(4, "b"), "Traceback", "  more")
    write(tmp_path / "default-2-s-b.log", line(2, "c"), line(3, "d"), line(5, "e"))
    write(tmp_path / "other-1-s-c.log", line(6, "f"))
    events = [
        json.loads(one)["event"] if one.startswith("{") else one
        for one in tail(tmp_path).splitlines()
    ]
    assert events == ["a", "c", "d", "b", "Traceback", "  more", "e", "f"]
    assert tail(tmp_path, 3).splitlines() == ["  more", line(5, "e"), line(6, "f")]
    assert tail(tmp_path, 1, names=names_of("s", "default")) == line(5, "e") + "\n"
    assert tail(tmp_path, names=names_of("s", "none")) == ""
    assert tail(tmp_path, 0) == tail(tmp_path / "nothing") == ""
    others = logs_of(tmp_path, names_of("s", "other"))
    assert [log.path.name for log in others] == ["other-1-s-c.log"]


@pytest.mark.parametrize("service", ["svc", "svc-2", "b-2-a-service-with-a-long-name"])
@pytest.mark.parametrize("other", ["blue-2", "blue-2-svc", "blue-2-b"])
def test_logs_of_a_version_are_not_those_of_one_with_a_longer_name(
    tmp_path: Path, service: str, other: str
) -> None:
    for version in ("blue", other):
        write(tmp_path / f"{version}-1-{service[:16]}-0a1b2c3d.log", f"of {version}")
    for version in ("blue", other):
        assert tail(tmp_path, names=names_of(service, version)) == f"of {version}\n"


def test_init_ends_with_ready_at_each_start(tmp_path: Path) -> None:
    write(
        tmp_path / "default-1-a.log",
        line(1, "starting"),
        "loading the model",
        line(2, "ready"),
        line(3, "request"),
        line(4, "starting"),
        "boom",
    )
    assert tail(tmp_path, init=True).splitlines() == [
        line(1, "starting"),
        "loading the model",
        line(2, "ready"),
        line(4, "starting"),
        "boom",
    ]
    assert tail(tmp_path, 1, init=True) == "boom\n"


def test_the_end_of_a_long_log_is_read_alone(tmp_path: Path) -> None:
    path = tmp_path / "default-1-a.log"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a terabyte that nobody could read in time
        file.seek(1 << 40)
        file.write(b"\nfirst\n" + b"\xff\xfe not text\nlast without an end")
    assert tail(tmp_path, 3) == "first\n\ufffd\ufffd not text\nlast without an end\n"


def test_lines_longer_than_a_chunk_stay_whole(tmp_path: Path) -> None:
    log = RotatingLog(tmp_path / "default-1-a.log", max_bytes=150_000)
    long = "x" * 200_000
    write(log.path, "short", long, "end")
    assert tail(tmp_path) == f"short\n{long}\nend\n"
    assert log.rotate()
    assert tail(tmp_path) == f"short\n{long}\nend\n"


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.CalotypeError) as caught:
        RotatingLog(tmp_path / "file" / "default-1-a.log").open()
    assert str(tmp_path / "file") in str(caught.value)
