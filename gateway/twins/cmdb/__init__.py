"""Twin of BlueKing CMDB 3.9 to 3.14, behind the ESB and behind the API gateway."""

from gateway.twins.cmdb.app import create_twin

__all__ = ["create_twin"]
