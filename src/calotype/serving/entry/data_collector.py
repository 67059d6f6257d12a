"""`ModelDataCollector`, which entry scripts call: here the service itself collects."""

from __future__ import annotations

import warnings
from typing import Any

_told = False


class ModelDataCollector:
    """Takes what old scripts give it, and keeps nothing.

    A service that was deployed with `collect_model_data=True` collects inputs and predictions
    itself.

    Args:
        model_name: of the model.
        designation: "inputs", "predictions" or the like.
        feature_names: of the columns.
    """

    def __init__(
        self,
        model_name: str = "",
        designation: str = "default",
        feature_names: Any = None,
        *_more: Any,
        **_named: Any,
    ) -> None:
        self.model_name = model_name
        self.designation = designation
        self.feature_names = feature_names

    def collect(self, *_data: Any, **_named: Any) -> None:
        """Do nothing, and warn of it once."""
        global _told  # noqa: PLW0603 - once in a process, not once in a collector
        if not _told:
            _told = True
            warnings.warn(
                "ModelDataCollector.collect does nothing here. Deploy with collect_model_data=True "
                "(--collect-model-data): then the service collects inputs and predictions itself.",
                stacklevel=2,
            )

    def add_correlation_id(self, *_data: Any, **_named: Any) -> None:
        """Do nothing."""
