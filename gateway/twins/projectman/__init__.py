"""Twin of Huawei Cloud ProjectMan and its IAM, built from the vendor's documentation and client only."""

from gateway.twins.projectman.app import create_twin
from gateway.twins.projectman.seed import SeedInvalidError

__all__ = ["SeedInvalidError", "create_twin"]
