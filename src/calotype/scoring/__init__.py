"""Scoring: one Scorer for files, folders, services and clusters; no torch."""
