"""One method for each published operation: read the request, ask the world, write the reply."""

import json
from typing import Any, Final

from flask import Response, g, request

from .refusals import Body, IamRefusal
from .replies import page_of, write_member, write_project, write_tree, write_user
from .rules import read_create, read_module_id, read_paging, read_project_id, read_update
from .world import World
from .writes import Delete, Write

MAX_MODULES_A_PAGE: Final = 1000
MAX_MEMBERS_A_PAGE: Final = 100
MAX_PROJECTS_A_PAGE: Final = 1000


class Views:
    """What the twin answers; a refusal is raised and becomes a reply elsewhere."""

    def __init__(self, world: World) -> None:
        self._world = world

    def create_module(self, project_id: str) -> Response:
        """Answer 200, not 201."""
        return _reply(self._commit(read_create(project_id, request.get_data())))

    def list_modules(self, project_id: str) -> Response:
        """Answer the tree, a page of top modules at a time."""
        page = read_paging(request.args, most=MAX_MODULES_A_PAGE)
        with self._world.lock:
            project = self._world.projects.get(read_project_id(project_id)).as_read()
            return _reply(write_tree(project, page, self._world.seed.options))

    def update_module(self, project_id: str, module_id: str) -> Response:
        """Answer 200 and the module."""
        return _reply(self._commit(read_update(project_id, module_id, request.get_data())))

    def delete_module(self, project_id: str, module_id: str) -> Response:
        """Answer 204 and not a byte; a body, if one was sent, is not looked at."""
        write = Delete(project_id=read_project_id(project_id), module_id=read_module_id(module_id))
        self._commit(write)
        return _nothing()

    def list_projects(self) -> Response:
        """Answer the projects the user is a member of, or all of the account."""
        page = read_paging(request.args, most=MAX_PROJECTS_A_PAGE, aligned=False)
        search, everywhere = request.args.get("search", ""), request.args.get("query_type") == "domain_projects"
        with self._world.lock:
            found = [
                write_project(project)
                for project in self._world.projects.all()
                if everywhere or g.user.user_id in project.members
                if search in project.seed.project_name or search in project.seed.description
            ]
        return _reply(page_of("projects", found, page))

    def list_members(self, project_id: str) -> Response:
        """Answer who may own a module of the project."""
        page = read_paging(request.args, most=MAX_MEMBERS_A_PAGE)
        with self._world.lock:
            members = self._world.projects.get(read_project_id(project_id)).members.values()
            return _reply(page_of("members", [write_member(each, self._world.seed) for each in members], page))

    def show_user(self) -> Response:
        """Answer who is asking."""
        return _reply(write_user(g.user, self._world.seed))

    def issue_token(self) -> Response:
        """Answer 201; the token is in the header and nowhere else."""
        try:
            asked: Any = json.loads(request.get_data())
        except (ValueError, RecursionError):
            raise IamRefusal(400, "The request body is invalid.") from None
        token, told = self._world.tokens.issue(asked, catalog=not request.args.get("nocatalog"))
        reply = _reply(told, 201)
        reply.headers["X-Subject-Token"] = token
        return reply

    def list_iam_projects(self) -> Response:
        """Answer the IAM projects of the user, whose ids are no CodeArts project ids."""
        return _reply(self._world.tokens.projects(g.user, request.args.get("name")))

    def show_ledger(self) -> Response:
        """Answer the ground truth; no such thing exists on the real service."""
        return _reply({"writes": [entry.told() for entry in self._world.entries]})

    def show_requests(self) -> Response:
        """Answer what was asked so far; no such thing exists on the real service."""
        return _reply(self._world.requests())

    def reset(self) -> Response:
        """Lay the seed anew; no such thing exists on the real service."""
        self._world.reset()
        return _nothing()

    def _commit(self, write: Write) -> Body:
        return self._world.commit(write, g.user.user_name, request.headers.get("X-Request-Id"))


def _nothing() -> Response:
    reply = Response(status=204)
    del reply.headers["Content-Type"]
    return reply


def _reply(body: Body, status: int = 200) -> Response:
    """Write JSON as raw UTF-8; a lone surrogate, which UTF-8 cannot hold, becomes a question mark."""
    text = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    return Response(text, status=status, content_type="application/json;charset=UTF-8")
