"""A stateful stand-in for BlueKing CMDB 3.13 / 3.14, behind the ESB and behind the API gateway."""

from gateway.twins.cmdb.app import create_twin

__all__ = ["create_twin"]
