"""Evaluate Model: metrics with intervals, comparison of two scored datasets, and the report."""

from calotype.evaluation.evaluate import evaluate
from calotype.evaluation.results import Evaluation
from calotype.evaluation.thumbnails import Thumbnails

__all__ = ["Evaluation", "Thumbnails", "evaluate"]
