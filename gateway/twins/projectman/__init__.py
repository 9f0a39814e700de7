"""A stateful stand-in for Huawei ProjectMan and its IAM, built from the vendor's documentation and client alone."""

from .app import create_twin
from .seed import SeedInvalidError

__all__ = ["SeedInvalidError", "create_twin"]
