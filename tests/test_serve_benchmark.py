"""What `benchmarks/serve.py` makes of its measurements: no servers, no load."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import subprocess
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

import serve_environments
import serve_load
import serve_overload
import serve_recipes
from serve_load import Payloads
from serve_processes import MARK, Process, Tree, cpu_s_between, descendants, parse_stat
from serve_report import Goal, Sample, find, goals_table, p99_of, rate_of, ratio, summarize, table

WRK = """Running 5s test @ http://127.0.0.1:5001/score
  1 threads and 16 connections
  8969 requests in 5.01s, 1.72MB read
  Non-2xx or 3xx responses: 9
Requests/sec:   1790.52
{"requests": 8969, "duration_us": 5000000, "p50_us": 8750, "p99_us": 10480, "mean_us": 8900, \
"refused": 9, "broken": 2}
"""

SAMPLE = Sample(
    server="reference",
    connections=16,
    rate=1000.0,
    p50_ms=8.0,
    p99_ms=20.0,
    cpu_us=500.0,
    errors=0,
    start_s=1.5,
    rss_mb=200.0,
    pss_idle_mb=150.0,
    pss_mb=160.0,
    is_disturbed=False,
)


def test_wrk_output_gives_rate_of_good_answers():
    load = serve_load.parse(WRK)
    assert load.rate == (8969 - 9) / 5
    assert (load.p50_ms, load.p99_ms, load.refused, load.broken) == (8.75, 10.48, 9, 2)


def test_wrk_output_without_figures_is_shown():
    with pytest.raises(ValueError, match="unable to connect"):
        serve_load.parse("unable to connect to 127.0.0.1:5001 Connection refused\n")


def test_missing_wrk_is_told_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match="apt install wrk"):
        serve_load.require_wrk()


def test_rows_are_medians_of_rounds_and_count_errors_and_disturbances():
    rates = (1000.0, 5000.0, 1100.0)
    samples = [dataclasses.replace(SAMPLE, rate=rate, errors=1) for rate in rates]
    samples[1] = dataclasses.replace(samples[1], is_disturbed=True)
    (row,) = summarize(samples)
    assert (row.rate, row.rounds, row.errors, row.disturbed) == (1100.0, 3, 3, 1)


def test_rows_keep_servers_and_connections_apart_in_their_order():
    samples = [
        dataclasses.replace(SAMPLE, server=server, connections=connections)
        for server in ("b", "a")
        for connections in (64, 16)
    ]
    rows = summarize([*samples, *samples])
    keys = [(row.server, row.connections) for row in rows]
    assert keys == [("b", 64), ("b", 16), ("a", 64), ("a", 16)]


def test_table_has_ratios_to_the_reference_with_as_many_connections():
    ours = dataclasses.replace(SAMPLE, server="calotype", rate=4200.0, is_disturbed=True)
    alone = dataclasses.replace(ours, connections=1)
    lines = table(summarize([SAMPLE, ours, alone]), "reference").splitlines()
    cells = [line.split() for line in lines]
    place = cells[0].index("ratio")
    assert [line[place] for line in cells[1:]] == ["1.00", "4.20", "-"]
    assert lines[2].endswith("! 1 disturbed")
    assert not lines[1].endswith("disturbed")


def test_server_that_answered_with_errors_has_no_rate_to_boast_of():
    (row,) = summarize([dataclasses.replace(SAMPLE, errors=1)])
    assert rate_of(row) is None
    assert rate_of(None) is None
    assert p99_of(row) == 20.0


def test_ratio_needs_both_sides():
    assert ratio(3.0, 2.0) == 1.5
    assert ratio(None, 2.0) is None
    assert ratio(3.0, None) is None
    assert ratio(3.0, 0.0) is None


def test_goals_are_reached_from_the_right_side():
    goals = [
        Goal("fast", 4.0, 4.0),
        Goal("slow", 3.9, 4.0),
        Goal("late", 1.1, 1.0, is_minimum=False),
        Goal("absent", None, 1.0, is_minimum=False),
    ]
    assert [goal.is_reached for goal in goals] == [True, False, False, False]
    lines = goals_table(goals).splitlines()
    assert [line.split()[0] for line in lines] == ["reached", "MISSED", "MISSED", "MISSED"]
    assert "not measured" in lines[3]


def test_row_that_was_not_measured_is_not_found():
    assert find(summarize([SAMPLE]), "reference", 64) is None


def test_stat_of_process_with_blanks_and_parentheses_in_its_name():
    text = "12 (ray::Serve (a b)) S 7 12 12 0 -1 4194560 1 0 0 0 30 5 0 0 20 0 9 0 4711 1 2 3"
    assert parse_stat(text) == Process(12, 7, 4711, 35, is_dead=False)


def test_stat_of_this_process_names_its_parent():
    process = parse_stat(Path("/proc/self/stat").read_text(encoding="utf-8"))
    assert (process.pid, process.parent) == (os.getpid(), os.getppid())


def test_descendants_are_all_generations_and_nobody_else():
    parents = {2: 1, 3: 2, 4: 3, 5: 1, 6: 5}
    processes = {pid: Process(pid, parent, 0, 0, is_dead=False) for pid, parent in parents.items()}
    assert descendants(processes, {2, 99}) == {2, 3, 4}


def test_cpu_time_counts_new_processes_and_those_with_a_reused_number():
    ticks = os.sysconf("SC_CLK_TCK")
    before = {
        1: Process(1, 0, started=5, cpu_ticks=100, is_dead=False),
        2: Process(2, 1, started=6, cpu_ticks=900, is_dead=False),
    }
    after = {
        1: Process(1, 0, started=5, cpu_ticks=100 + ticks, is_dead=False),
        2: Process(2, 1, started=7, cpu_ticks=2 * ticks, is_dead=False),
        3: Process(3, 1, started=8, cpu_ticks=3 * ticks, is_dead=False),
    }
    assert cpu_s_between(before, after) == 6.0


def sleeps(tree: Tree) -> list[str]:
    """Return what sleeps in it: what has been started may still be on its way to that program."""
    lines = [Path(f"/proc/{pid}/cmdline").read_text().split("\0") for pid in tree.living()]
    return sorted(" ".join(line).strip() for line in lines if line[0] == "sleep")


def test_tree_finds_and_ends_children_and_daemons():
    # The inner shell leaves: its `sleep` has another parent and another session afterwards.
    script = "sleep 60 & sh -c 'setsid sleep 61 &'; echo ready; wait"
    command = ["env", f"{MARK}=test-{os.getpid()}", "sh", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        tree = Tree(process.pid, f"test-{os.getpid()}")
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            deadline_s = time.monotonic() + 30
            while sleeps(tree) != ["sleep 60", "sleep 61"] and time.monotonic() < deadline_s:
                time.sleep(0.01)
            assert sleeps(tree) == ["sleep 60", "sleep 61"]
            assert len(tree.living()) == 3
            assert tree.memory().rss_mb > tree.memory().pss_mb > 0
        finally:
            tree.end()
        process.wait(timeout=60)  # by the signal, or by itself as its children had ended
    assert tree.living() == {}


def test_open_loop_counts_what_is_neither_good_nor_refused():
    statuses = {"200": 5, "503": 9, "502": 2, "20": 1}
    got = serve_overload.Overload(50.0, 5.0, statuses, 0, 3, 1.0, 1.0, 1.0, 1.0, 0.1)
    assert got.strange == 6


def test_percentile_of_few_values():
    assert serve_overload.percentile([], 0.99) == 0.0
    assert serve_overload.percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert serve_overload.percentile([float(one) for one in range(100)], 0.99) == 99.0


def test_every_image_peer_can_be_installed_and_has_its_handler():
    packages = {peer.removesuffix("-single") for peer in serve_recipes.IMAGE_PEERS}
    assert packages == set(serve_environments.REQUIREMENTS)
    for package in packages:
        assert (serve_recipes.SCRIPTS / f"{package}_photograph.py").is_file()


class _EveryThird(BaseHTTPRequestHandler):
    """Refuses each third request with 503."""

    protocol_version = "HTTP/1.1"
    numbers = itertools.count(1)  # its `next` is safe among threads

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(503 if next(self.numbers) % 3 == 0 else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object):
        """Say nothing."""


def test_open_loop_keeps_its_schedule_and_tells_answers_apart(tmp_path: Path):
    body = tmp_path / "body"
    body.write_text(json.dumps({"data": [1]}), encoding="utf-8")
    payloads = Payloads("application/json", (body,), lambda _, __: "")
    with ThreadingHTTPServer(("127.0.0.1", 0), _EveryThird) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        got = serve_overload.offer(server.server_port, "/score", payloads, rate=30, seconds=1)
        server.shutdown()
        thread.join()
    assert sum(got.statuses.values()) == 60
    assert got.statuses == {"200": 40, "503": 20}
    assert (got.unsent, got.unanswered) == (0, 0)


def test_open_loop_measures_from_the_scheduled_moment_what_came_in_its_time():
    answers = [(9.0, 9.5, 200), (9.9, 10.0, 200), (10.0, 10.2, 503), (10.5, 10.6, 503)]
    record = serve_overload._Record([*answers, (11.0, 11.5, 200), (11.9, 12.1, 503)], sent=7)  # pyright: ignore[reportPrivateUsage]
    got = serve_overload._summarize(record, 3.0, 10.0, 12.0)  # pyright: ignore[reportPrivateUsage]
    assert (got.goodput, got.good_p99_ms) == (1.0, pytest.approx(500))
    assert (got.refused_p50_ms, got.refused_max_ms) == (pytest.approx(200), pytest.approx(200))
    assert (got.statuses, got.unanswered) == ({"200": 3, "503": 3}, 1)
