"""The module paths of the retired SDK: names of ours, and nothing else."""

from calotype.webservice import absent

absent.offer_modules()
