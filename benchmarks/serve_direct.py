"""What the service is held against: the Scorer over a folder, and one image on all cores.

Each runs in a process of its own and answers a line on stdin with what one round measured.
"""

from __future__ import annotations

import itertools
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from peers import Peer, answer_rounds
from serve_processes import Tree, undisturbed

_SINGLE_S = 2.0


class Direct(Peer):
    """One of the two measurements; `folder` or `single`.

    Args:
        kind: which one.
        model: the image model.
        photographs: a folder of JPEGs.
    """

    def __init__(self, kind: str, model: Path, photographs: Path) -> None:
        super().__init__(kind, [__file__, kind, str(model), str(photographs)])
        self.rounds: list[dict[str, Any]] = []
        self.disturbed = 0

    def measure(self) -> None:
        """Run one round, again while strangers disturb it, and keep it."""
        measured, is_disturbed = undisturbed(self.round, Tree(self._process.pid))
        self.rounds.append(measured)
        self.disturbed += is_disturbed

    def median(self, name: str) -> float:
        """Return the median over the rounds."""
        return statistics.median(one[name] for one in self.rounds)


def score_folder(model: Path, photographs: Path) -> None:
    """Answer rounds with the rate of `Scorer.score`."""
    from calotype.images.convert import convert
    from calotype.scoring.scorer import Scorer

    scorer = Scorer(model, "fp32")
    directory = convert(photographs, photographs.parent / "directories" / photographs.name)

    def run() -> dict[str, Any]:
        started_s = time.perf_counter()
        count = sum(rows.num_rows for rows in scorer.score(directory))
        return {"rate": count / (time.perf_counter() - started_s)}

    run()
    answer_rounds(run)


def score_single(model: Path, photographs: Path) -> None:
    """Answer rounds with the median times of decoding an image and of inferring it on all cores."""
    import numpy as np

    from calotype.images.preprocess import Preprocessor
    from calotype.models.image_model import ONNX, ImageModel
    from calotype.models.onnx_file import import_onnxruntime

    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count() or 1
    session = onnxruntime.InferenceSession(
        str(model / ONNX), options, providers=["CPUExecutionProvider"]
    )
    preprocessor = Preprocessor(ImageModel.load(model).preprocessing)
    batch = np.empty(preprocessor.preprocessing.input_shape(1), np.float32)
    contents = itertools.cycle([path.read_bytes() for path in sorted(photographs.glob("*.jpg"))])

    def run() -> dict[str, Any]:
        decoded: list[float] = []
        inferred: list[float] = []
        until_s = time.perf_counter() + _SINGLE_S
        while (started_s := time.perf_counter()) < until_s:
            preprocessor.load(next(contents), batch[0])
            middle_s = time.perf_counter()
            session.run(["logits"], {"image": batch})
            decoded.append(middle_s - started_s)
            inferred.append(time.perf_counter() - middle_s)
        medians = statistics.median(decoded), statistics.median(inferred)
        return {"decode_ms": medians[0] * 1e3, "infer_ms": medians[1] * 1e3}

    run()
    answer_rounds(run)


if __name__ == "__main__":
    KINDS = {"folder": score_folder, "single": score_single}
    KINDS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
