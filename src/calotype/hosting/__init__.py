"""Runs the services of a workspace on this machine: keeper, replicas, front door."""
