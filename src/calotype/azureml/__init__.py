"""The module paths of the retired SDK: names of ours, and nothing else."""

from calotype.webservice import absent
from calotype.webservice.absent import why_missing as why_missing

absent.offer_modules()
