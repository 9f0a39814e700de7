"""The doubles that the api's tests use."""

from tests.unit.api.conftest import cmdb, projectman

__all__ = ["cmdb", "projectman"]
