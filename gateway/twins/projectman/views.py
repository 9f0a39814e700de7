"""The views, one for each published operation; errors are raised and become responses in `app.py`."""

import json
from typing import Any, Final

from flask import Response, g, request

from gateway.twins.projectman.commands import Command, Delete
from gateway.twins.projectman.errors import Body, IamError
from gateway.twins.projectman.iam import INVALID_BODY
from gateway.twins.projectman.seed import load_seed
from gateway.twins.projectman.serializers import (
    serialize_member,
    serialize_page,
    serialize_project,
    serialize_tree,
    serialize_user,
)
from gateway.twins.projectman.store import Store
from gateway.twins.projectman.validation import (
    parse_create,
    parse_module_id,
    parse_paging,
    parse_project_id,
    parse_update,
)

MAX_MODULES_PER_PAGE: Final = 1000
MAX_MEMBERS_PER_PAGE: Final = 100
MAX_PROJECTS_PER_PAGE: Final = 1000


class Views:
    """The operations of ProjectMan and IAM, and the twin's control endpoints."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create_module(self, project_id: str) -> Response:
        """Create a module; responds 200, not 201."""
        return _json_response(self._commit(parse_create(project_id, request.get_data())))

    def list_modules(self, project_id: str) -> Response:
        """Return a page of top-level modules with their descendants."""
        page = parse_paging(request.args, max_limit=MAX_MODULES_PER_PAGE)
        with self._store.lock:
            project = self._store.projects.get(parse_project_id(project_id)).snapshot()
            return _json_response(serialize_tree(project, page, self._store.seed.options))

    def update_module(self, project_id: str, module_id: str) -> Response:
        """Update a module and return it."""
        return _json_response(self._commit(parse_update(project_id, module_id, request.get_data())))

    def delete_module(self, project_id: str, module_id: str) -> Response:
        """Delete a module; responds 204 without a body and ignores the body of the request."""
        self._commit(Delete(project_id=parse_project_id(project_id), module_id=parse_module_id(module_id)))
        return _no_content()

    def list_projects(self) -> Response:
        """Return the projects of which the user is a member, or all of the account."""
        page = parse_paging(request.args, max_limit=MAX_PROJECTS_PER_PAGE, aligned_offset=False)
        search, all_projects = request.args.get("search", ""), request.args.get("query_type") == "domain_projects"
        with self._store.lock:
            projects = [
                serialize_project(project)
                for project in self._store.projects.all()
                if (all_projects or g.user.user_id in project.members)
                and (search in project.seed.project_name or search in project.seed.description)
            ]
        return _json_response(serialize_page("projects", projects, page))

    def list_members(self, project_id: str) -> Response:
        """Return the members of a project, who may own its modules."""
        page = parse_paging(request.args, max_limit=MAX_MEMBERS_PER_PAGE)
        with self._store.lock:
            members = self._store.projects.get(parse_project_id(project_id)).members.values()
            serialized = [serialize_member(member, self._store.seed) for member in members]
            return _json_response(serialize_page("members", serialized, page))

    def show_user(self) -> Response:
        """Return the current user."""
        return _json_response(serialize_user(g.user, self._store.seed))

    def issue_token(self) -> Response:
        """Issue a token; responds 201 with the token in a header only."""
        try:
            login: Any = json.loads(request.get_data())
        except (ValueError, RecursionError):
            raise IamError(400, INVALID_BODY) from None
        token, body = self._store.tokens.issue(login, with_catalog=not request.args.get("nocatalog"))
        response = _json_response(body, 201)
        response.headers["X-Subject-Token"] = token
        return response

    def list_iam_projects(self) -> Response:
        """Return the user's IAM projects, whose ids are not ids of CodeArts projects."""
        return _json_response(self._store.tokens.list_projects(g.user, request.args.get("name")))

    def show_ledger(self) -> Response:
        """Return the writes that were applied; the real service has no such operation."""
        return _json_response({"writes": [entry.to_dict() for entry in self._store.ledger]})

    def show_requests(self) -> Response:
        """Return the request counts; the real service has no such operation."""
        return _json_response(self._store.request_counts())

    def reset(self) -> Response:
        """Return to the state of the seed; the real service has no such operation."""
        self._store.reset()
        return _no_content()

    def set_access_keys(self) -> Response:
        """Replace the access keys, as in the seed; an IAM user has two at most (IAM's user guide, access keys)."""
        self._store.access_keys.replace_keys(load_seed({"access_keys": json.loads(request.get_data())}).access_keys)
        return _no_content()

    def set_passwords(self) -> Response:
        """Replace the passwords of IAM users, by their names; the tokens that they have stay valid."""
        self._store.tokens.replace_passwords(json.loads(request.get_data()))
        return _no_content()

    def _commit(self, command: Command) -> Body:
        return self._store.commit(command, g.user.user_name, request.headers.get("X-Request-Id"))


def _no_content() -> Response:
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response


def _json_response(body: Body, status: int = 200) -> Response:
    """Return raw UTF-8 JSON; a lone surrogate, which UTF-8 cannot encode, becomes a question mark."""
    text = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    return Response(text, status=status, content_type="application/json;charset=UTF-8")
