"""Huawei Cloud ProjectMan (CodeArts Req): modules form a tree within a project."""

from gateway.backends.projectman.adapter import create_backend
from gateway.backends.projectman.options import parse_options

__all__ = ["create_backend", "parse_options"]
