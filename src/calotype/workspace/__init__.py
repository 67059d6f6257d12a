"""A place for datasets, models, environments, runs and services: tables and artifacts."""
