"""The workloads of `serve.py`: which servers take turns, and what has to come of it."""

from __future__ import annotations

import dataclasses
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import serve_environments
import serve_models
import serve_overload
import serve_recipes
from serve_direct import Direct
from serve_processes import QUIET_SHARE, Watch, undisturbed
from serve_recipes import REFERENCE, WORK
from serve_report import (
    Goal,
    Row,
    Sample,
    find,
    goals_table,
    p99_of,
    rate_of,
    ratio,
    summarize,
    table,
)
from serve_server import Recipe, Server, ServerFailed

_WARM_UP_S = 1
_OVERLOAD = 5.0  # times the peak
_START_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    peers: tuple[str, ...]
    connections: tuple[int, ...]
    seconds: float
    rounds: int
    environments: Path


@dataclass(slots=True)
class Figures:
    """What one workload came to."""

    title: str
    reference: str
    samples: list[Sample] = field(default_factory=list[Sample])
    goals: list[Goal] = field(default_factory=list[Goal])
    notes: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def rows(self) -> list[Row]:
        """The medians."""
        return summarize(self.samples)

    @property
    def is_reached(self) -> bool:
        """Whether every goal is reached."""
        return all(goal.is_reached for goal in self.goals)

    def text(self) -> str:
        """Return tables for reading."""
        parts = [f"\n{self.title}"]
        if self.samples:
            parts.append(table(self.rows, self.reference))
        parts += [f"{name}: {value}" for name, value in self.notes.items()]
        return "\n".join([*parts, goals_table(self.goals)])

    def as_json(self) -> dict[str, Any]:
        """Return everything, the single rounds too."""
        goals = [dataclasses.asdict(goal) | {"is_reached": goal.is_reached} for goal in self.goals]
        return {
            "title": self.title,
            "rows": [dataclasses.asdict(row) for row in self.rows],
            "samples": [dataclasses.asdict(sample) for sample in self.samples],
            "goals": goals,
            "notes": self.notes,
        }


def measure(recipe: Recipe, connections: Sequence[int], seconds: float) -> list[Sample]:
    """Start a server, check its answers, load it once for each number of connections, end it.

    A server that fails is reported and left out, so that the others' figures are not lost.
    """
    print(f"  {recipe.name}", file=sys.stderr)
    try:
        with Server(recipe, WORK) as server:
            server.check()
            idle = server.idle_memory()
            samples: list[Sample] = []
            for count in connections:
                server.send(count, _WARM_UP_S)
                got = server.measure(count, seconds)
                samples.append(
                    Sample(
                        server=recipe.name,
                        connections=count,
                        rate=got.load.rate,
                        p50_ms=got.load.p50_ms,
                        p99_ms=got.load.p99_ms,
                        cpu_us=got.cpu_us,
                        errors=got.load.refused + got.load.broken,
                        start_s=server.start_s,
                        rss_mb=got.memory.rss_mb,
                        pss_idle_mb=idle.pss_mb,
                        pss_mb=got.memory.pss_mb,
                        is_disturbed=got.is_disturbed,
                    )
                )
            return samples
    except ServerFailed as error:
        print(f"FAILED {error}", file=sys.stderr)
        return []


def diabetes(options: Options) -> Figures:
    """The same entry script under the reference server and under ours."""
    served = serve_models.diabetes()
    programs = serve_environments.programs_of(REFERENCE, options.environments)
    recipes = [
        serve_recipes.reference_script(served, programs, workers=workers) for workers in (1, 2)
    ] + [
        serve_recipes.calotype_script(served, workers=workers, isolation=isolation)
        for isolation in ("process", "none")
        for workers in (1, 2)
    ]
    figures = Figures("diabetes, JSON, the same entry script", f"{REFERENCE}-w1")
    for _ in range(options.rounds):
        for recipe in recipes:
            figures.samples += measure(recipe, options.connections, options.seconds)
    rows = figures.rows
    for workers, isolation, times in (
        (1, "", 4),
        (2, "", 2.8),
        (1, "-none", 5.5),
        (2, "-none", 5.5),
    ):
        for count in options.connections:
            ours = find(rows, f"calotype-w{workers}{isolation}", count)
            base = find(rows, f"{REFERENCE}-w{workers}", count)
            name = f"calotype-w{workers}{isolation}, {count} connections"
            figures.goals += [
                Goal(f"{name}: rate to the reference", ratio(rate_of(ours), rate_of(base)), times),
                Goal(
                    f"{name}: p99 to the reference",
                    ratio(p99_of(ours), p99_of(base)),
                    1.0,
                    is_minimum=False,
                ),
            ]
    return figures


def onnx(options: Options) -> Figures:
    """The same regression as an ONNX file without a script, against the reference's script."""
    served = serve_models.diabetes()
    programs = serve_environments.programs_of(REFERENCE, options.environments)
    arguments = ("--model", str(served.onnx))
    recipes = [
        serve_recipes.reference_script(served, programs, workers=1),
        serve_recipes.reference_script(served, programs, workers=2),
        serve_recipes.calotype("calotype-onnx", arguments, served.payloads),
    ]
    figures = Figures("diabetes, JSON, an ONNX file without a script", f"{REFERENCE}-w1")
    for _ in range(options.rounds):
        for recipe in recipes:
            figures.samples += measure(recipe, options.connections, options.seconds)
    for count in options.connections:
        ours = rate_of(find(figures.rows, "calotype-onnx", count))
        base = rate_of(find(figures.rows, figures.reference, count))
        figures.goals.append(
            Goal(f"{count} connections: rate to one reference worker", ratio(ours, base), 8)
        )
    return figures


def images(options: Options) -> Figures:
    """JPEG bytes against the peers, the Scorer's folder rate and the sum of decode and infer."""
    model = serve_models.image_model()
    ours = serve_recipes.calotype_images(model)
    peers = [serve_recipes.image_peer(peer, model, options.environments) for peer in options.peers]
    folder, single = (
        Direct(kind, model, serve_models.PHOTOGRAPHS) for kind in ("folder", "single")
    )
    figures = Figures("photographs of 500 x 375, ResNet-18, fp32", "calotype")
    for _ in range(options.rounds):
        folder.measure()
        single.measure()
        figures.samples += measure(ours, (1, *options.connections), options.seconds)
        for recipe in peers:
            figures.samples += measure(recipe, options.connections, options.seconds)
    folder.close()
    single.close()
    figures.notes = {
        "Scorer over a folder, images/s": round(folder.median("rate"), 1),
        "decode, ms": round(single.median("decode_ms"), 2),
        "infer on all cores, ms": round(single.median("infer_ms"), 2),
        "disturbed rounds of these": folder.disturbed + single.disturbed,
    }
    _image_goals(figures, options, folder.median("rate"))
    alone = find(figures.rows, "calotype", 1)
    floor_ms = single.median("decode_ms") + single.median("infer_ms")
    over_ms = alone.p50_ms - floor_ms if alone else None
    what = "1 connection: p50 above decode + infer, ms"
    figures.goals.append(Goal(what, over_ms, 2.0, is_minimum=False))
    return figures


def _image_goals(figures: Figures, options: Options, folder_rate: float) -> None:
    for count in options.connections:
        ours = find(figures.rows, "calotype", count)
        name = f"{count} connections"
        figures.goals.append(
            Goal(f"{name}: rate to the Scorer's", ratio(rate_of(ours), folder_rate), 0.85)
        )
        # Mean service time x connections is the mean latency, by Little's law.
        mean_ms = 1e3 * count / ours.rate if ours and ours.rate else None
        figures.goals.append(
            Goal(
                f"{name}: p99 to mean service time x connections",
                ratio(p99_of(ours), mean_ms),
                3.0,
                is_minimum=False,
            )
        )
        for peer in options.peers:
            base = find(figures.rows, peer, count)
            times = ratio(rate_of(ours), base.rate if base else None)
            figures.goals.append(Goal(f"{name}: rate to {peer}", times, 1.0))


def overload(options: Options) -> Figures:
    """Five times the peak rate in an open loop, at the default limit of waiting."""
    recipe = serve_recipes.calotype_images(serve_models.image_model(), wait_ms=None)
    limit_ms = 500.0  # the default of max_request_wait_ms
    seconds = max(options.seconds, 4 * limit_ms / 1e3)
    figures = Figures("five times the peak rate, ResNet-18, fp32", "calotype")
    found: list[tuple[float, serve_overload.Overload]] = []
    for number in range(1, options.rounds + 1):
        print(f"  {recipe.name}", file=sys.stderr)
        with Server(recipe, WORK) as server:
            server.check()
            server.send(16, _WARM_UP_S)
            (peak, got), is_disturbed = undisturbed(lambda: _flood(server, seconds), server.tree)
        found.append((peak, got))
        note = f"peak {peak:.1f}/s, {dataclasses.asdict(got)}"
        figures.notes[f"round {number}"] = f"! disturbed, {note}" if is_disturbed else note
    share = statistics.median(got.goodput / peak for peak, got in found)
    refused_ms = statistics.median(got.refused_p99_ms for _, got in found)
    figures.goals = [
        Goal("goodput to the peak", share, 0.8),
        # The tenth is for the way there and back, on cores that are all busy.
        Goal("p99 of a 503, ms", refused_ms, 1.1 * limit_ms, is_minimum=False),
        Goal(
            "answers that are neither 200 nor 503, or none",
            sum(got.strange for _, got in found),
            0,
            is_minimum=False,
        ),
    ]
    return figures


def _flood(server: Server, seconds: float) -> tuple[float, serve_overload.Overload]:
    """Return the peak rate of a server and what became of a multiple of it."""
    peak = server.send(16, seconds).rate
    recipe = server.recipe
    return peak, serve_overload.offer(
        server.port, recipe.path, recipe.payloads, rate=_OVERLOAD * peak, seconds=seconds
    )


def start(options: Options) -> Figures:
    """From the shell's prompt to the first 200 of an image model, and its memory when idle."""
    recipe = serve_recipes.calotype_images(serve_models.image_model())
    starts_s: list[float] = []
    idle_mb: list[float] = []
    disturbed = 0
    for _ in range(max(options.rounds, _START_ROUNDS) + 1):
        watch = Watch()
        with Server(recipe, WORK) as server:
            disturbed += watch.others(server.tree) > QUIET_SHARE
            starts_s.append(server.start_s)
            idle_mb.append(server.idle_memory().pss_mb)
    warm_s = starts_s[1:]  # the first one fills the page cache
    figures = Figures("start and idle memory, ResNet-18, fp32", "calotype")
    figures.notes = {
        "starts, s": " ".join(f"{one:.2f}" for one in warm_s),
        "disturbed starts": disturbed,
    }
    figures.goals = [
        Goal("first 200, s", statistics.median(warm_s), 1.5, is_minimum=False),
        Goal("idle memory (PSS), MB", statistics.median(idle_mb), 250, is_minimum=False),
    ]
    return figures


WORKLOADS: dict[str, Callable[[Options], Figures]] = {
    "diabetes": diabetes,
    "onnx": onnx,
    "images": images,
    "overload": overload,
    "start": start,
}
