"""Errors of ProjectMan, its API gateway (APIGW) and IAM: three body formats, and the codes that the twin uses."""

from collections.abc import Mapping
from enum import Enum
from typing import Final

Body = dict[str, object]


class ProjectManError(Exception):
    """An error response of ProjectMan; nothing was changed."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code} {message}")
        self.status = status
        self.code = code
        self.message = message

    def body(self, request_id: str) -> Body:
        """Return the body; ProjectMan sends the request id in a header only."""
        del request_id
        return {"error_code": self.code, "error_msg": self.message}


class ApigError(ProjectManError):
    """An error of the API gateway in front of ProjectMan; the body repeats the request id."""

    def body(self, request_id: str) -> Body:
        """Return the body in the API gateway's format."""
        return {"error_msg": self.message, "error_code": self.code, "request_id": request_id}


class IamError(ProjectManError):
    """An error of IAM in the format of Keystone: the code is the status, as an integer."""

    TITLES: Final[Mapping[int, str]] = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, str(status), message)

    def body(self, request_id: str) -> Body:
        """Return the body in the format of Keystone."""
        del request_id
        return {"error": {"code": self.status, "message": self.message, "title": self.TITLES[self.status]}}


class ErrorCode(Enum):
    """Codes of ProjectMan, all sent with HTTP 400.

    Codes that begin with PM.EMU are invented: no public code for these cases is known.
    """

    PROJECT_UNKNOWN = ("PM.02152005", "project missing or deleted")
    BAD_PAGING = ("PM.02174103", "分页参数错误")
    BAD_PARAMETER = ("PM.02175006", "参数错误: {0}")
    TOO_MANY = ("PM.02175101", "number of sub items exceeds {0}")
    OWNER_NOT_MEMBER = ("PM.02177003", "非目标项目成员")
    NAME_TAKEN = ("PM.EMU00001", "emulated, the real code is unknown: duplicate module name")
    PARENT_UNKNOWN = ("PM.EMU00002", "emulated, the real code is unknown: parent module not found")
    MODULE_UNKNOWN = ("PM.EMU00003", "emulated, the real code is unknown: module not found")
    TOO_DEEP = ("PM.EMU00004", "emulated, the real code is unknown: modules nest at most {0} deep")
    HAS_CHILDREN = ("PM.EMU00005", "emulated, the real code is unknown: the module has sub-modules")

    def error(self, *details: object) -> ProjectManError:
        """Return the error with `details` filled into its text."""
        code, text = self.value
        return ProjectManError(400, code, text.format(*details))


def api_not_found() -> ApigError:
    """Return the error for a path or method that the API gateway does not publish."""
    return ApigError(404, "APIGW.0101", "The API does not exist")


def body_too_large() -> ApigError:
    """Return the error for a body over the API gateway's limit."""
    return ApigError(413, "APIGW.0201", "API request error: the body exceeds 12 MB")


def unauthenticated(message: str) -> ApigError:
    """Return an authentication error; APIGW.0301 has several texts."""
    return ApigError(401, "APIGW.0301", message)


def token_expired() -> ApigError:
    """Return the error for an expired token."""
    return ApigError(401, "APIGW.0307", "The token must be updated.")
