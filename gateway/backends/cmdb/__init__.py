"""BlueKing CMDB: a module belongs to a set of a business."""

from gateway.backends.cmdb.adapter import create_backend
from gateway.backends.cmdb.options import OptionsSchema

__all__ = ["OptionsSchema", "create_backend"]
