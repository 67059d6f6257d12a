"""The module paths of the retired SDK: names of ours, and nothing else."""
