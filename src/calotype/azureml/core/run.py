"""`azureml.core.run`."""

from calotype.webservice import absent
from calotype.webservice.offline_run import OfflineRun as _OfflineRun
from calotype.webservice.offline_run import Run

__all__ = ["Run", "_OfflineRun"]

__getattr__ = absent.names_of(__name__)
