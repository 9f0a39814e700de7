"""How ProjectMan, its API gateway (APIGW) and IAM say no: three shapes of one refusal, and the codes the twin uses."""

from collections.abc import Mapping
from enum import Enum
from typing import Final

Body = dict[str, object]


class Refusal(Exception):
    """A request that is answered with an error; nothing was changed."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code} {message}")
        self.status = status
        self.code = code
        self.message = message

    def body(self, request_id: str) -> Body:
        """Give the ProjectMan shape, which keeps the request's id to the header."""
        del request_id
        return {"error_code": self.code, "error_msg": self.message}


class ApigwRefusal(Refusal):
    """Said by the API gateway before ProjectMan saw the request; its body repeats the request id."""

    def body(self, request_id: str) -> Body:
        """Give the API gateway's shape."""
        return {"error_msg": self.message, "error_code": self.code, "request_id": request_id}


class IamRefusal(Refusal):
    """Said by IAM in Keystone's shape: the code is the status again, as an integer."""

    TITLES: Final[Mapping[int, str]] = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, str(status), message)

    def body(self, request_id: str) -> Body:
        """Give Keystone's shape."""
        del request_id
        return {"error": {"code": self.status, "message": self.message, "title": self.TITLES[self.status]}}


class Reason(Enum):
    """ProjectMan's codes; all travel with HTTP 400.

    The codes that begin with PM.EMU are invented and look it: no public code for these cases is known.
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

    def refusal(self, *details: object) -> Refusal:
        """Fill the wording's places with `details`."""
        code, wording = self.value
        return Refusal(400, code, wording.format(*details))


def not_published() -> ApigwRefusal:
    """Refuse a path or method that the API gateway does not know."""
    return ApigwRefusal(404, "APIGW.0101", "The API does not exist")


def too_large() -> ApigwRefusal:
    """Refuse a body beyond the API gateway's limit."""
    return ApigwRefusal(413, "APIGW.0201", "API request error: the body exceeds 12 MB")


def unauthenticated(message: str) -> ApigwRefusal:
    """Refuse who asks, in one of the wordings of APIGW.0301."""
    return ApigwRefusal(401, "APIGW.0301", message)


def token_outdated() -> ApigwRefusal:
    """Refuse a token that was good once."""
    return ApigwRefusal(401, "APIGW.0307", "The token must be updated.")
