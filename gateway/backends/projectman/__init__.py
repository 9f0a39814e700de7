"""Huawei Cloud ProjectMan (CodeArts Req): modules form a tree within a project."""

from gateway.backends.projectman.adapter import create_backend
from gateway.backends.projectman.options import OptionsSchema

__all__ = ["OptionsSchema", "create_backend"]
