"""The kinds of arrays that evaluation computes with."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Scores: TypeAlias = NDArray[np.floating]  # as precise as the file: float32 of ours, float64 of some
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]
