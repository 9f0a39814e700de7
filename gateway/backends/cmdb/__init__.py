"""BlueKing CMDB: a module belongs to a set of a business."""

from gateway.backends.cmdb.adapter import create_backend
from gateway.backends.cmdb.options import parse_options

__all__ = ["create_backend", "parse_options"]
