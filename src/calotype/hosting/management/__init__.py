"""All changes of services: what the SDK and the commands do, done once."""

from calotype.hosting.management.management import Management
from calotype.hosting.management.request import DeployRequest

__all__ = ["DeployRequest", "Management"]
