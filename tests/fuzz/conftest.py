"""The furnished workspaces of the isolation tests, to be shot at."""

from tests.api.conftest import place
from tests.isolation.conftest import new_neighbours

__all__ = ["new_neighbours", "place"]
