"""Running one module with everything checked first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calotype.modules.connection import check_inputs
from calotype.modules.module import AnyModule, Context


def execute(
    module: AnyModule,
    inputs: Mapping[str, Path],
    outputs: Mapping[str, Path],
    parameters: Mapping[str, Any],
    *,
    context: Context,
) -> None:
    """Check parameters and inputs, then run the module.

    Args:
        module: what to run.
        inputs: the folder or file on each joined input, by the key of its port.
        outputs: the folder to write for each output, by the key of its port; not there yet.
        parameters: values by name; those left out take their defaults.
        context: who listens.

    Raises:
        ParameterError: a parameter is unknown, missing or out of its range (0002 to 0008).
        CalotypeError: an input is missing or of another type, or the work fails.
    """
    checked = module.Parameters.of(parameters, where=module.name)
    check_inputs(module, inputs)
    module.run(inputs, outputs, checked, context)
