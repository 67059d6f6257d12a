"""What batch scripts import from the retired product: a logger."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

_NAME: Final = "azureml_user"


class EntryScript:
    """What a batch script asks about the work it is part of."""

    @property
    def logger(self) -> logging.Logger:
        """Writes everything into the log of the service."""
        found = logging.getLogger(_NAME)
        if not found.handlers:
            found.addHandler(logging.StreamHandler())
            found.setLevel(logging.DEBUG)
            found.propagate = False
        return found

    @property
    def working_dir(self) -> str:
        """Where the script runs."""
        return str(Path.cwd())
