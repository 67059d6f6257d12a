"""`azureml.monitoring`."""

from calotype.serving.entry.data_collector import ModelDataCollector

__all__ = ["ModelDataCollector"]
