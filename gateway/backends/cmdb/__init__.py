"""BlueKing CMDB: modules live in a set of a business."""

from gateway.backends.cmdb.adapter import connect
from gateway.backends.cmdb.options import read_options

__all__ = ["connect", "read_options"]
