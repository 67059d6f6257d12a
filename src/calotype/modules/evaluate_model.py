"""Evaluate Model: one scored dataset or two in, metrics and a report out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from calotype.modules.module import Context, Module, NoParameters, Port, PortType
from calotype.modules.registry import register


@register
class EvaluateModel(Module[NoParameters]):
    """Each metric comes with its interval; of two datasets, the left one is the baseline."""

    name = "Evaluate Model"
    category = "Model Scoring & Evaluation"
    summary = "Measure scored images against their categories, or compare two sets of scores."
    inputs = (
        Port(
            "Scored dataset",
            (PortType.DATA_FRAME_DIRECTORY,),
            help="Scored images with categories; the baseline of a comparison.",
        ),
        Port(
            "Scored dataset to compare",
            (PortType.DATA_FRAME_DIRECTORY,),
            is_required=False,
            help="Scores of the same classes by another model.",
        ),
    )
    outputs = (
        Port(
            "Evaluation results",
            (PortType.DATA_FRAME_DIRECTORY,),
            help="A row of metrics per scored dataset, the left one first, the confusion matrix, "
            "figures per class and a report to read.",
        ),
    )
    Parameters = NoParameters

    def run(
        self,
        inputs: Mapping[str, Path],
        outputs: Mapping[str, Path],
        parameters: NoParameters,
        context: Context,
    ) -> None:
        """Measure."""
        from calotype.evaluation import evaluate

        evaluate(
            inputs["scored_dataset"],
            inputs.get("scored_dataset_to_compare"),
            out=outputs["evaluation_results"],
            progress=context.progress,
        )
