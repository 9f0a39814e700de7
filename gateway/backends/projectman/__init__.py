"""Huawei Cloud ProjectMan (CodeArts Req): modules form a tree within a project."""

from gateway.backends.projectman.adapter import connect
from gateway.backends.projectman.options import read_options

__all__ = ["connect", "read_options"]
