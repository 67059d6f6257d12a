"""How `calotype serve` starts, ends, reloads, and survives what happens to its processes."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import threading
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import small_networks
from running import (
    ANSWER_S,
    STOP_S,
    Program,
    Reply,
    ask_over,
    check_error,
    ended,
    launched,
    serving,
    until,
)

from calotype.serving.deployment import state_of

SLOW = """
import pathlib, time
def run(raw_data):
    folder = pathlib.Path(__file__).parent
    (folder / f"taken-{raw_data}").touch()
    deadline_s = time.monotonic() + 60
    while not (folder / "go").exists() and time.monotonic() < deadline_s:
        time.sleep(0.01)
    return raw_data
"""
both_isolations = pytest.mark.parametrize("isolation", ["process", "none"])


def write(folder: Path, text: str, name: str = "score.py") -> Path:
    """Write a script at once: a watch must not see half of it."""
    path = folder / name
    unseen = folder / f"{name}.new"
    unseen.write_text(text, encoding="utf-8")
    unseen.replace(path)
    return path


def in_background(program: Program, count: int) -> tuple[list[threading.Thread], list[Reply]]:
    """Send requests 0 to `count`, each over a connection of its own."""
    replies: list[Reply] = []

    def ask(number: int) -> None:
        replies.append(program.ask("POST", "/score", str(number)))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    return threads, replies


both_signals = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


@both_signals
def test_what_was_accepted_is_answered_before_the_end(
    tmp_path: Path, number: signal.Signals
) -> None:
    options = ("--max-request-wait-ms", 20_000)
    with serving(tmp_path, "--entry-script", write(tmp_path, SLOW), *options) as program:
        with program.connect() as idle:
            threads, replies = in_background(program, 3)

            def accepted() -> bool:
                metrics = program.ask("GET", "/metrics").body.decode().splitlines()
                active = [line for line in metrics if line.startswith("calotype_requests_active")]
                return float(active[0].split()[1]) == 4  # and the one for the metrics

            until(accepted, "three requests on their way")
            program.process.send_signal(number)
            until(lambda: _is_refused(program.port), "the end of listening")
            if number == signal.SIGTERM:  # timeout(1) and others tell process and group
                program.process.send_signal(number)
            (tmp_path / "go").touch()
            for thread in threads:
                thread.join()
            assert sorted(reply.json for reply in replies) == ["0", "1", "2"]
            assert idle.recv(100) == b""
        assert program.process.wait(STOP_S) == 0
        (stopping,) = program.events("stopping")
        assert stopping["reason"] == number.name
        (stopped,) = program.events("stopped")
        assert set(stopped) == {"time", "level", "event"}


def test_what_a_worker_without_isolation_holds_is_answered_before_the_end(tmp_path: Path) -> None:
    script = write(tmp_path, "import time\ndef run(x):\n    print('in'); time.sleep(2.5); return x")
    with serving(tmp_path, "--entry-script", script, "--isolation", "none") as program:
        threads, replies = in_background(program, 1)
        until(lambda: '"in"' in program.log_text(), "the request")
        program.process.send_signal(signal.SIGTERM)
        threads[0].join()
        assert [reply.json for reply in replies] == ["0"]
        assert program.process.wait(STOP_S) == 0
        assert _is_refused(program.port)


def _is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S).close()
    except ConnectionRefusedError:
        return True
    return False


def test_images_that_were_accepted_are_answered_before_the_end(tmp_path: Path) -> None:
    small_networks.save_model(tmp_path / "model")
    body = json.dumps({"data": ["no image"] * 100})
    with serving(tmp_path, "--model", tmp_path / "model") as program, program.connect() as line:
        head = f"POST /score HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n"
        request = f"{head}Content-Type: application/json\r\n\r\n{body}".encode()
        line.sendall(request * 20)
        answers = line.makefile("rb")
        assert answers.readline().startswith(b"HTTP/1.1 200")
        assert program.stop() == 0
        assert answers.read().count(b"HTTP/1.1 200") == 19


@both_isolations
def test_a_request_that_never_ends_does_not_hold_up_the_end(tmp_path: Path, isolation: str) -> None:
    options = ("--isolation", isolation, "--drain-timeout-s", 0.3)
    script = write(tmp_path, SLOW)
    with (
        serving(tmp_path, "--entry-script", script, *options) as program,
        program.connect() as line,
    ):
        line.sendall(b"POST /score HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhalf")
        until(lambda: program.ask("GET", "/").status == 200, "an answer")
        start_s = time.monotonic()
        assert program.stop() == 0
        assert time.monotonic() - start_s < 45  # the rest of the body might come for a minute


@both_isolations
def test_health_says_when_the_service_is_ready(tmp_path: Path, isolation: str) -> None:
    script = write(
        tmp_path,
        "import pathlib, time\n"
        "def init():\n    print('init begins')\n"
        f"    while not pathlib.Path({str(tmp_path / 'go')!r}).exists(): time.sleep(0.01)\n"
        "def run(raw_data): return raw_data\n",
    )
    with launched(
        tmp_path, ("--entry-script", script, "--port", 0, "--isolation", isolation)
    ) as program:
        until(lambda: program.events("starting"), "listening")
        port = program.events("starting")[0]["port"]
        program.facts = {"health_uri": f"http://127.0.0.1:{port}/"}
        for method, path in (("GET", "/"), ("POST", "/score"), ("GET", "/swagger.json")):
            reply = program.ask(method, path)
            check_error(reply, 503)
            assert "retry-after" in reply.headers
        assert program.ask("GET", "/metrics").status == 200
        (tmp_path / "go").touch()
        until(lambda: program.ask("GET", "/").body == b"Healthy", "health")
        until(lambda: program.ask("POST", "/score", "x").json == "x", "an answer")
        assert program.stop() == 0


@both_isolations
@pytest.mark.parametrize("begin", ["init = wait", "wait()"])
def test_the_end_may_come_before_the_service_is_ready(
    tmp_path: Path, isolation: str, begin: str
) -> None:
    script = write(
        tmp_path,
        "import pathlib, time\n"
        f"def wait(): pathlib.Path({str(tmp_path / 'begun')!r}).touch(); time.sleep(60)\n"
        f"{begin}\n"
        "def run(raw_data): return 1\n",
    )
    arguments = ("--entry-script", script, "--port", 0, "--isolation", isolation)
    with launched(tmp_path, arguments) as program:
        until((tmp_path / "begun").exists, "init")
        assert program.stop() == 0
        assert "Traceback" not in program.log_text()
        until(lambda: not program.processes(), "the end of all processes")


def test_health_says_that_no_worker_without_isolation_is_ready(tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = write(
        tmp_path,
        "import os, pathlib, time\n"
        "def init():\n"
        f"    while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.01)\n"
        "def run(raw_data): return os.getpid()\n",
    )
    go.touch()
    with serving(tmp_path, "--entry-script", script, "--isolation", "none") as program:
        worker = program.ask("POST", "/score", "").json
        go.unlink()
        os.kill(worker, signal.SIGKILL)
        until(lambda: program.events("worker died"), "the death")
        until(lambda: _status(program) == 503, "who answers instead")
        go.touch()
        until(lambda: _status(program) == 200, "the next worker")


def _status(program: Program) -> int:
    try:
        return program.ask("GET", "/").status
    except (ConnectionError, http.client.HTTPException):  # it was the dead one's
        return 0


@both_isolations
@pytest.mark.parametrize(
    "options",
    [("--tls-cert", "absent.pem", "--tls-key", "absent.pem"), ("--capture", "/proc/absent")],
)
def test_what_cannot_listen_or_capture_ends_the_program(
    tmp_path: Path, isolation: str, options: tuple[str, ...]
) -> None:
    script = write(tmp_path, "def run(x): return x")
    arguments = ("--entry-script", script, "--port", 0, "--isolation", isolation, *options)
    code, output, log = ended(tmp_path, *arguments)
    assert (code, output) == (1, "")
    assert log.splitlines()[-1].startswith("error ")
    assert "absent" in log
    assert "Traceback" not in log


@both_isolations
@pytest.mark.parametrize(
    ("text", "trace"),
    [
        ("def init(): raise RuntimeError('no weights')\ndef run(x): return x", "no weights"),
        ("import absent_module\ndef run(x): return x", "absent_module"),
        ("def run(x) return x", "SyntaxError"),
        ("def init(): pass", ""),
        ("import os\ndef init(): os._exit(9)\ndef run(x): return x", ""),
        ("import os\nos._exit(9)", ""),
    ],
)
def test_a_script_that_cannot_start_ends_the_program(
    tmp_path: Path, isolation: str, text: str, trace: str
) -> None:
    script = write(tmp_path, text)
    code, output, log = ended(
        tmp_path, "--entry-script", script, "--port", 0, "--isolation", isolation
    )
    assert (code, output) == (1, "")
    (line,) = [line for line in log.splitlines() if line.startswith("error ")]
    assert line.startswith("error 0085: ")
    assert log.splitlines()[-1] == line
    assert trace in log
    if trace:
        assert "Traceback" in log or "SyntaxError" in log


def test_an_address_that_is_taken_is_told(tmp_path: Path) -> None:
    script = write(tmp_path, "def run(x): return x")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, output, log = ended(tmp_path, "--entry-script", script, "--port", port)
    assert (code, output) == (1, "")
    assert "error 2003" in log
    assert str(port) in log
    assert "Traceback" not in log


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    for option in ("--model", "--entry-script"):
        code, output, log = ended(tmp_path, option, tmp_path / "absent", "--port", 0)
        assert (code, output) == (1, "")
        assert log.splitlines()[-1].startswith("error ")
        assert "absent" in log
        assert "Traceback" not in log


@both_isolations
def test_a_changed_script_is_taken_up_and_a_broken_one_is_not(
    tmp_path: Path, isolation: str
) -> None:
    script = write(tmp_path, "def run(x): return 'one'")
    options = ("--isolation", isolation, "--workers", 2, "--reload")
    with serving(tmp_path, "--entry-script", script, *options) as program:
        assert program.ask("POST", "/score", "").json == "one"
        write(tmp_path, "def run(x): return 'broken'\nraise ImportError('in the new one')")
        until(lambda: program.events("reload failed"), "the reload that fails")
        assert program.ask("POST", "/score", "").json == "one"
        write(tmp_path, "def run(x): return 'two' if not x else x")
        until(lambda: program.events("script reloaded"), "the reload")
        until(lambda: len(program.processes()) == 4, "the end of the old workers")
        for _ in range(6):
            assert program.ask("POST", "/score", "").json == "two"
        assert "in the new one" in program.log_text()


def test_a_replaced_worker_without_isolation_that_hangs_is_killed(tmp_path: Path) -> None:
    script = write(
        tmp_path,
        "import os, pathlib, signal, time\n"
        "def run(x):\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})\n"
        f"    pathlib.Path({str(tmp_path / 'hanging')!r}).write_text(str(os.getpid()))\n"
        "    time.sleep(60)\n",
    )
    options = ("--scoring-timeout-ms", 1_500, "--drain-timeout-s", 0.2, "--reload")
    with (
        serving(tmp_path, "--entry-script", script, "--isolation", "none", *options) as program,
        program.connect() as line,
    ):
        line.sendall(b"POST /score HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
        until((tmp_path / "hanging").exists, "the request")
        write(tmp_path, "def run(x): return 'new'")
        until(lambda: program.events("script reloaded"), "the reload")
        until(lambda: len(program.processes()) == 3, "the end of the old worker and its server")
        assert program.ask("POST", "/score", "").json == "new"


def test_the_watch_for_changes_bears_folders_that_vanish(tmp_path: Path) -> None:
    script = write(tmp_path, "def run(x): return 'one'")
    with serving(tmp_path, "--entry-script", script, "--reload") as program:
        # Too many to be looked at before they are gone.
        folders = [tmp_path / f"{number}" / "deeper" for number in range(1_500)]
        for folder in folders:
            folder.mkdir(parents=True)
        for folder in folders:
            folder.rmdir()
            folder.parent.rmdir()
        write(tmp_path, "def run(x): return 'two'")
        until(lambda: program.ask("POST", "/score", "").json == "two", "the reload")


def test_the_watch_leaves_out_what_is_installed(tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "pyvenv.cfg").touch()
    for name in (".hidden", "env/lib", "site-packages", "__pycache__", "package/inner"):
        (tmp_path / name).mkdir(parents=True)
        write(tmp_path / name, "")
    write(tmp_path, "")
    found = {str(Path(name).relative_to(tmp_path)) for name in state_of(tmp_path)}
    assert found == {"score.py", "package/inner/score.py"}


def test_requests_go_on_while_a_script_is_reloaded(tmp_path: Path) -> None:
    script = write(tmp_path, "def run(x): return 1")
    with (
        serving(tmp_path, "--entry-script", script, "--reload") as program,
        closing(
            http.client.HTTPConnection("127.0.0.1", program.port, timeout=ANSWER_S)
        ) as connection,
    ):
        answers: set[Any] = {ask_over(connection, "POST", "/score", "").json}
        write(tmp_path, "def run(x): return 23456")

        def new() -> bool:
            reply = ask_over(connection, "POST", "/score", "")
            assert reply.status == 200
            answers.add(reply.json)
            return 23456 in answers

        until(new, "the new script")
        assert answers == {1, 23456}


@both_isolations
def test_killed_processes_are_replaced(tmp_path: Path, isolation: str) -> None:
    script = write(tmp_path, "import os\ndef run(x): return [os.getpid(), os.getppid()]")
    with serving(tmp_path, "--entry-script", script, "--isolation", isolation) as program:
        worker, fork_server = program.ask("POST", "/score", "").json
        os.kill(worker, signal.SIGKILL)
        second, parent = _answer_of_another(program, worker)
        assert parent == fork_server
        until(lambda: program.events("worker died"), "the news of the death")
        (death,) = program.events("worker died")
        assert death["signal"] == "SIGKILL"
        assert "memory" in death["hint"]
        os.kill(fork_server, signal.SIGKILL)
        third, parent = _answer_of_another(program, second, parent=fork_server)
        assert parent not in (fork_server, 1)
        assert third != second
        until(lambda: len(program.processes()) == 3, "the end of the old worker")


def _answer_of_another(program: Program, pid: int, *, parent: int = 0) -> tuple[int, int]:
    found: list[tuple[int, int]] = []

    def answered() -> bool:
        try:
            reply = program.ask("POST", "/score", "")
        except (ConnectionError, http.client.HTTPException):
            return False
        if reply.status != 200 or reply.json[0] == pid or reply.json[1] == parent:
            assert reply.status in (200, 502, 503)
            return False
        found.append(tuple(reply.json))
        return True

    until(answered, "another worker")
    return found[0]


@both_isolations
def test_nothing_outlives_a_killed_server(tmp_path: Path, isolation: str) -> None:
    script = write(tmp_path, "def run(x): return x")
    arguments = ("--entry-script", script, "--port", 0, "--isolation", isolation)
    with launched(tmp_path, arguments) as program:
        until(lambda: program.events("ready"), "the service")
        until(lambda: len(program.processes()) == 3, "a worker and the one that started it")
        program.process.kill()
        program.process.wait()
        until(lambda: not program.processes(), "the end of the workers")


def test_a_log_that_nobody_reads_any_more_stops_nothing(tmp_path: Path) -> None:
    script = write(tmp_path, "def run(x):\n    print('x' * 10_000)\n    return 1")
    log, closed = os.pipe()
    prefix = ["bash", "-c", f'exec "$@" 2>&{closed}', "bash"]
    with serving(
        tmp_path, "--entry-script", script, prefix=prefix, descriptors=(closed,)
    ) as program:
        os.close(closed)
        os.close(log)
        for _ in range(30):
            assert program.ask("POST", "/score", "").status == 200


@both_isolations
def test_lines_of_requests_are_not_lost_with_a_process_that_hangs(
    tmp_path: Path, isolation: str
) -> None:
    script = write(
        tmp_path,
        "import signal, time\ndef run(x):\n"
        "    if x == 'hang':\n"
        "        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM}); time.sleep(60)\n"
        "    return x\n",
    )
    options = ("--isolation", isolation, "--scoring-timeout-ms", 1_000)
    with serving(tmp_path, "--entry-script", script, *options) as program:
        for number in range(5):
            program.ask("POST", "/score", str(number), {"x-request-id": f"before-{number}"})
        try:
            program.ask("POST", "/score", "hang")
        except (ConnectionError, http.client.HTTPException):
            assert isolation == "none"
        until(lambda: program.events("worker died"), "its end")

        def before() -> list[str]:
            ids = [event["request_id"] for event in program.events("request")]
            return [one for one in ids if one.startswith("before-")]

        until(lambda: len(before()) >= 5, "the lines of those before")
        assert before() == [f"before-{number}" for number in range(5)]


def test_with_text_the_lines_of_a_script_are_text_too(tmp_path: Path) -> None:
    script = write(tmp_path, "def run(x):\n    print('seen', x)\n    return 1 / 0\n")
    options = ("--log-format", "text")
    with serving(tmp_path, "--entry-script", script, *options) as program:
        program.ask("POST", "/score", "it", {"x-request-id": "r-7"})
        until(lambda: "request_id=r-7 client" in program.log_text(), "the line of the request")
        program.stop()
        text = program.log_text()
    assert re.search(r"^\d\d:\d\d:\d\d seen it request_id=r-7 pid=\d+$", text, re.MULTILINE)
    assert "ZeroDivisionError" in text
    assert "{" not in text
    assert "None" not in text


@pytest.mark.parametrize("end", ["raise RuntimeError('no weights')", "os._exit(9)"])
def test_a_service_that_keeps_failing_says_so_and_recovers(tmp_path: Path, end: str) -> None:
    broken = tmp_path / "broken"
    script = write(
        tmp_path,
        "import os, pathlib\ndef init():\n"
        f"    if pathlib.Path({str(broken)!r}).exists(): {end}\n"
        "def run(x): return os.getpid()\n",
    )
    with serving(tmp_path, "--entry-script", script) as program:
        broken.touch()
        began_s = time.time()
        os.kill(program.ask("POST", "/score", "").json, signal.SIGKILL)
        cause = "init failed" if "raise" in end else "worker died"
        killed = 0 if "raise" in end else 1
        until(lambda: len(program.events(cause)) >= 5 + killed, "five attempts")
        check_error(program.ask("GET", "/"), 503)
        check_error(program.ask("POST", "/score", ""), 503)
        attempts = program.events(cause)[killed:]
        if "raise" in end:
            assert all("no weights" in attempt["trace"] for attempt in attempts)
            assert len(program.events("worker died")) == 1  # the one that was killed
        else:
            assert {attempt["exit_code"] for attempt in attempts} == {9}
        times_s = [datetime.fromisoformat(attempt["time"]).timestamp() for attempt in attempts]
        # Each wait is twice as long as the one before; a busy machine adds to any of them.
        for waits, time_s in enumerate(times_s):
            assert time_s - began_s > 0.09 * (2**waits - 1)
        broken.unlink()
        until(lambda: program.ask("GET", "/").status == 200, "another worker")
        assert program.ask("POST", "/score", "").status == 200


def test_folders_whose_names_are_no_text_are_told_of_nevertheless(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    script = write(folder, "def run(x): return x")
    with serving(tmp_path, "--entry-script", script, "--reload") as program:
        assert program.ask("POST", "/score", "x").json == "x"
        write(folder, "raise ValueError(__file__)")
        until(lambda: program.events("reload failed"), "the reload that fails")
        write(folder, "def run(x): return 'new'")
        until(lambda: program.ask("POST", "/score", "x").json == "new", "the new script")
    for text in ("def init(): raise ValueError(__file__)\ndef run(x): pass", "import absent"):
        write(folder, text)
        code, _, log = ended(tmp_path, "--entry-script", script, "--port", 0)
        assert code == 1
        assert "Traceback" in log
        assert "error 0085" in log.splitlines()[-1]
