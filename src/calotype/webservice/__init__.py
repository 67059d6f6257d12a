"""Deploying models as web services, under the names of the retired SDK."""
