"""Train PyTorch Model: a network and labelled images in, a trained image model out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from calotype.modules.module import Context, Module, Port, PortType
from calotype.modules.registry import register
from calotype.training.parameters import Network, TrainingParameters


@register
class TrainPyTorchModel(Module[TrainingParameters]):
    """The epoch with the lowest validation loss is kept."""

    name = "Train PyTorch Model"
    category = "Computer Vision / Image Model Training"
    summary = "Train a network on labelled images; the model carries its transformation with it."
    inputs = (
        Port(
            "Untrained model",
            (PortType.UNTRAINED_MODEL_DIRECTORY,),
            help="The network, from ResNet or DenseNet.",
        ),
        Port(
            "Training dataset",
            (PortType.IMAGE_DIRECTORY,),
            help="Labelled images to learn from, with a transformation for training applied.",
        ),
        Port(
            "Validation dataset",
            (PortType.IMAGE_DIRECTORY,),
            help="Labelled images of the same categories, to choose the epoch to keep.",
        ),
    )
    outputs = (
        Port(
            "Trained model",
            (PortType.MODEL_DIRECTORY,),
            help="Weights, categories and preprocessing, ready to score and to deploy.",
        ),
    )
    Parameters = TrainingParameters

    def run(
        self,
        inputs: Mapping[str, Path],
        outputs: Mapping[str, Path],
        parameters: TrainingParameters,
        context: Context,
    ) -> None:
        """Train, then measure the faster precisions of this machine for scoring."""
        from calotype.images.image_directory import ImageDirectory
        from calotype.models.architectures import require_torch
        from calotype.models.untrained_model import UntrainedModel
        from calotype.scoring.finish import finish

        require_torch()
        from calotype.training.outcome import Listeners
        from calotype.training.train import train

        untrained = UntrainedModel.load(inputs["untrained_model"])
        network = Network(untrained.architecture, untrained.arguments, untrained.weights())
        progress = context.progress
        with (
            ImageDirectory.open(inputs["training_dataset"], progress=progress) as training,
            ImageDirectory.open(inputs["validation_dataset"], progress=progress) as validation,
        ):
            trained = train(
                network,
                training,
                validation,
                outputs["trained_model"],
                parameters=parameters,
                listeners=Listeners(
                    progress, lambda epochs: context.metrics([asdict(epoch) for epoch in epochs])
                ),
            )
            finish(trained, validation, progress=progress)
