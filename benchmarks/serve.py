"""The scoring service against its peers: requests per second, latencies, processor time, memory.

    python benchmarks/serve.py                        # everything: about twenty minutes
    python benchmarks/serve.py diabetes --short       # one workload, one short round
    python benchmarks/serve.py images --peers litserve,ray --out figures.json

Every server is started anew for each round, on a free port, and they take turns, so that a change
in the machine's speed hits all of them. Its answers are checked before it is loaded. Peers are
installed into environments of their own when they are first needed. Load comes from wrk, on the
same cores. A load during which strangers took more than a tenth of the machine is repeated, at
most twice, and marked when that did not help. Exits with 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import serve_environments
import serve_load
from serve_recipes import IMAGE_PEERS
from serve_server import ServerFailed
from serve_workloads import WORKLOADS, Figures, Options


def main() -> None:
    """Run the workloads, print and write their figures."""
    parser = argparse.ArgumentParser(description="Measure the scoring service against its peers.")
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=" ".join(WORKLOADS))
    parser.add_argument("--peers", default=",".join(IMAGE_PEERS), help="for images")
    parser.add_argument("--connections", default="16,64")
    parser.add_argument("--seconds", type=float, default=5, help="of each load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--short", action="store_true", help="one round of one second")
    parser.add_argument("--environments", type=Path, default=serve_environments.DEFAULT_FOLDER)
    parser.add_argument("--out", type=Path, help="write everything as JSON")
    arguments = parser.parse_args()
    chosen = arguments.workloads or list(WORKLOADS)
    peers = tuple(name for name in arguments.peers.split(",") if name)
    for name, known in (
        *((one, WORKLOADS) for one in chosen),
        *((one, IMAGE_PEERS) for one in peers),
    ):
        if name not in known:
            parser.error(f"expected one of {', '.join(known)}. Got {name}.")
    serve_load.require_wrk()
    options = Options(
        peers=peers,
        connections=tuple(int(one) for one in arguments.connections.split(",")),
        seconds=1 if arguments.short else arguments.seconds,
        rounds=1 if arguments.short else arguments.rounds,
        environments=arguments.environments.resolve(),
    )
    results: dict[str, Figures] = {}
    for name in chosen:
        print(name, file=sys.stderr)
        try:
            results[name] = WORKLOADS[name](options)
        except ServerFailed as error:
            print(f"FAILED {error}", file=sys.stderr)
            continue
        print(results[name].text(), flush=True)
        if arguments.out:  # after each one, so that nothing is lost when a later one fails
            arguments.out.write_text(json.dumps(_document(results), indent=1), encoding="utf-8")
    is_done = len(results) == len(chosen)
    sys.exit(not (is_done and all(one.is_reached for one in results.values())))


def _document(results: dict[str, Figures]) -> dict[str, Any]:
    return {
        "machine": {"cores": os.cpu_count(), "cpu": _processor(), "python": sys.version},
        "peers": {name: list(one) for name, one in serve_environments.REQUIREMENTS.items()},
        "workloads": {name: figures.as_json() for name, figures in results.items()},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
