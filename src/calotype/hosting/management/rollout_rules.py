"""When a new version gets more of the traffic, and when it loses it."""

from __future__ import annotations

from pydantic import Field

from calotype.parameters import Parameters


class RolloutRules(Parameters):
    """A roll-out by steps, each judged by what callers saw of the two versions."""

    min_requests: int = Field(
        default=50, ge=1, description="Answers of the new version before a step is judged."
    )
    max_error_rate_increase: float = Field(
        default=0.02, ge=0, le=1, description="Of failures, over the default version: 0.02 is 2 %."
    )
    max_latency_ratio: float = Field(
        default=1.5, gt=0, description="Of the new version's latency to the default version's."
    )
    step_percent: int = Field(default=10, ge=1, le=100, description="Of the traffic, each step.")
    step_s: float = Field(default=60, gt=0, description="The least that a step lasts.")
