"""`azureml.contrib.services`."""
