"""Batch endpoints: jobs that send every image of a set through a service's model or script."""
