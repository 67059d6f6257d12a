"""What the hop through the front door costs: the rate through it over the direct one.

    python benchmarks/front_door.py                  # the diabetes script and an image model
    python benchmarks/front_door.py diabetes --rounds 3 --seconds 3

Both servers run all the time and are loaded in turn, so that what else the machine does hits both;
the ratio is the median over the rounds. Beside the rates stands the processor time of an answer,
which tells the same on a busy machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import serve_models
import serve_recipes
from serve_load import require_wrk
from serve_server import Measured, Recipe, Server

if TYPE_CHECKING:
    from calotype.hosting.layout import Layout
    from calotype.hosting.replica_plan import ReplicaPlan

GOAL = 0.70
_NAME = "measured"
_BASE = f"/api/v1/service/{_NAME}"
_WAIT_MS = 10_000
_READY_S = 60.0


@dataclass(frozen=True, slots=True)
class Workload:
    """One service, served directly and through a door.

    Attributes:
        connections: that wrk keeps open.
    """

    name: str
    direct: Recipe
    through: Recipe
    connections: int


def diabetes(workers: int) -> Workload:
    """Return the entry script of the diabetes tutorial."""
    served = serve_models.diabetes()
    direct = serve_recipes.calotype_script(served, workers=workers, isolation="process")
    script = str(serve_recipes.SCRIPTS / "ridge_score.py")
    said = {"script": script, "models": str(served.folder), "workers": workers}
    name = f"diabetes script, workers: {workers}"
    return Workload(name, direct, _through(direct, said), 8 * workers)


def images(_workers: int) -> Workload:
    """Return the image model."""
    model = serve_models.image_model()
    direct = serve_recipes.calotype_images(model)
    return Workload("image model", direct, _through(direct, {"model": str(model)}), 8)


def _through(direct: Recipe, said: dict[str, Any]) -> Recipe:
    command = (sys.executable, __file__, "--behind", json.dumps(said), "--port", "{port}")
    environment = dict(direct.environment)
    return Recipe(
        f"{direct.name}-door",
        command,
        direct.payloads,
        path=f"{_BASE}/score",
        health=f"{_BASE}/",
        environment=environment,
    )


def compare(workload: Workload, *, rounds: int, seconds: float) -> float:
    """Load both in turn, print what came of it, and return the ratio of their rates."""
    ratios: list[float] = []
    costs: list[tuple[float, float]] = []
    print(f"{workload.name}, connections: {workload.connections}")
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(workload.direct, Path(folder, "direct")) as direct,
        Server(workload.through, Path(folder, "door")) as through,
    ):
        for server in (direct, through):
            server.check()
            server.send(workload.connections, 1.0)
        for _ in range(rounds):
            pair = [server.measure(workload.connections, seconds) for server in (direct, through)]
            ratios.append(pair[1].load.rate / pair[0].load.rate)
            costs.append((pair[0].cpu_us, pair[1].cpu_us))
            _print_round(pair, ratios[-1])
    ratio = statistics.median(ratios)
    alone, behind = (statistics.median(column) for column in zip(*costs, strict=True))
    word = "reached" if ratio >= GOAL else "MISSED"
    print(f"  ratio of the rates {ratio:.2f} (goal {GOAL:.2f}: {word})")
    print(
        f"  processor time of an answer {alone:.0f} us and {behind:.0f} us: {alone / behind:.2f}\n"
    )
    return ratio


def _print_round(pair: Sequence[Measured], ratio: float) -> None:
    direct, through = (one.load for one in pair)
    disturbed = " (disturbed)" if any(one.is_disturbed for one in pair) else ""
    failed = direct.refused + direct.broken + through.refused + through.broken
    print(
        f"  direct {direct.rate:8.1f}/s p50 {direct.p50_ms:6.2f} ms p99 {direct.p99_ms:6.2f} ms"
        f"   door {through.rate:8.1f}/s p50 {through.p50_ms:6.2f} ms p99 {through.p99_ms:6.2f} ms"
        f"   {ratio:.2f}, failed: {failed}{disturbed}"
    )


# A door with a replica behind it, as `Server` starts it.


def serve_behind(said: dict[str, Any], port: int) -> None:
    """Run a replica and a front door until SIGTERM."""
    from calotype.hosting import control, locks
    from calotype.hosting.layout import Layout
    from calotype.hosting.routes import Routes, ServiceRoute, VersionRoute
    from calotype.workspace.workspace import Workspace

    signal.signal(signal.SIGTERM, _leave)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="door-"))
        workspace = Workspace.create("benchmark", Path(folder))
        layout = Layout.of(workspace.place)
        stack.callback(layout.sockets.rmdir)
        keeper = locks.Held.take(layout.keeper_lock)
        assert keeper is not None
        stack.enter_context(keeper)
        plan = _plan(said, layout)
        replica = stack.enter_context(_process("calotype.hosting.replica"))
        assert replica.stdin is not None
        replica.stdin.write(json.dumps(plan.to_document()).encode())
        replica.stdin.close()
        _wait_for(Path(plan.control), replica)
        state = control.ask(Path(plan.control), "wait", timeout_s=_READY_S)["state"]
        assert state == "ready", state
        version = VersionRoute({plan.replica: plan.wire})
        service = ServiceRoute({"default": version})
        Routes("127.0.0.1", port, services={_NAME: service}).write(layout.routes)
        root = str(workspace.place.root)
        door = stack.enter_context(_process("calotype.hosting.front_door", root))
        door.wait()


def _leave(_number: int, _frame: object) -> None:
    sys.exit(0)


def _plan(said: dict[str, Any], layout: Layout) -> ReplicaPlan:
    from calotype.hosting.replica_plan import ReplicaPlan
    from calotype.serving.front import FrontSettings
    from calotype.serving.settings import ServiceSettings

    settings = ServiceSettings(
        name=_NAME,
        path_prefix=_BASE,
        workers=said.get("workers", 1),
        max_request_wait_ms=_WAIT_MS,
    )
    return ReplicaPlan(
        service=_NAME,
        version="default",
        revision=1,
        replica="one",
        lock=str(layout.replica_lock(_NAME, "one")),
        control=str(layout.replica_socket("one")),
        wire=str(layout.replica_wire("one")),
        log=str(layout.logs(_NAME) / "one.log"),
        kind="script" if "script" in said else "image",
        front=FrontSettings(settings),
        model=said.get("model", ""),
        script=said.get("script", ""),
        model_directory=said.get("models", ""),
        precision="fp32",
        keeper_lock=str(layout.keeper_lock),
    )


def _wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    while not path.exists():
        assert process.poll() is None, "the replica has ended"
        time.sleep(0.01)


@contextlib.contextmanager
def _process(module: str, *arguments: str) -> Generator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments], stdin=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("workload", nargs="?", choices=("diabetes", "images"))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--behind", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.behind:
        serve_behind(json.loads(arguments.behind), arguments.port)
        return
    require_wrk()
    kinds = {"diabetes": diabetes, "images": images}
    ratios = [
        compare(kinds[name](arguments.workers), rounds=arguments.rounds, seconds=arguments.seconds)
        for name in ([arguments.workload] if arguments.workload else kinds)
    ]
    sys.exit(0 if min(ratios) >= GOAL else 1)


if __name__ == "__main__":
    main()
