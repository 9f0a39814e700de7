"""JSON of modules, members, projects and users in ProjectMan's format; the misspelt `deepth` is the vendor's."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Final

from gateway.twins.projectman.errors import Body
from gateway.twins.projectman.projects import Project, StoredModule
from gateway.twins.projectman.seed import IamUser, Member, ProjectManSeed, TwinOptions

JOINED_AT: Final = 1_600_000_000_000  # milliseconds; the unit is not documented


def serialize_module(project: Project, module: StoredModule) -> Body:
    """Return the body of a create or update response, the only one with a description."""
    return {
        "description": module.description,
        "module_name": module.name,
        "module_id": module.module_id,
        "owner": _owner(project, module),
    }


def serialize_tree(project: Project, page: slice, options: TwinOptions) -> Body:
    """Return a page of top-level modules, each with its descendants."""
    tops = project.children(None)
    nodes = [
        {**_node(project, top), "children": _CHILDREN[options.children](project, top.module_id)} for top in tops[page]
    ]
    return {"total": len(tops if options.total == "top" else project.modules), "modules": nodes}


def serialize_member(member: Member, seed: ProjectManSeed) -> Body:
    """Return an element of the list of members."""
    domain = next(iter(seed.domains.items()), ("", ""))
    role = "creator" if member.role_id == -1 else "member"
    return {
        "domain_name": domain[0],
        "domain_id": domain[1],
        **asdict(member),
        "role_name": role,
        "user_type": "User",
        "forbidden": 0,
    }


def serialize_project(project: Project) -> Body:
    """Return an element of the list of projects."""
    seed = project.seed
    return {
        "project_num_id": seed.project_num_id,
        "project_id": seed.project_id,
        "project_name": seed.project_name,
        "description": seed.description,
        "project_type": seed.project_type,
    }


def serialize_user(user: IamUser, seed: ProjectManSeed) -> Body:
    """Return the body of `GET /v4/user`."""
    return {
        "domain_id": seed.domains.get(user.domain, ""),
        "domain_name": user.domain,
        "user_num_id": user.user_num_id,
        "user_id": user.user_id,
        "user_name": user.user_name,
        "nick_name": user.nick_name,
        "created_time": JOINED_AT,
        "updated_time": JOINED_AT,
        "gender": "",
        "user_type": "User",
    }


def serialize_page(key: str, elements: Iterable[Body], page: slice) -> Body:
    """Return a page of a flat list, and the total."""
    bodies = list(elements)
    return {key: bodies[page], "total": len(bodies)}


def _node(project: Project, module: StoredModule) -> Body:
    return {
        "module_id": module.module_id,
        "module_name": module.name,
        "owner": _owner(project, module),
        "deepth": project.depth(module.module_id),
        "is_parent": bool(project.children(module.module_id)),
    }


def _child(project: Project, module: StoredModule) -> Body:
    return {**_node(project, module), "parent_module_id": module.parent_id}


def _flat(project: Project, module_id: int) -> list[Body]:
    return [_child(project, module) for module in project.descendants(module_id)]


def _nested(project: Project, module_id: int) -> list[Body]:
    return [_with_children(project, module) for module in project.children(module_id)]


def _with_children(project: Project, module: StoredModule) -> Body:
    """Return a node below the top; a leaf has no `children`, as in the documented example."""
    children = _nested(project, module.module_id)
    return {**_child(project, module), **({"children": children} if children else {})}


# Three levels are not documented: the top module lists all its descendants, or each level lists the next.
_CHILDREN: Final[Mapping[str, Callable[[Project, int], list[Body]]]] = {"flat": _flat, "nested": _nested}


def _owner(project: Project, module: StoredModule) -> Body | None:
    member = project.members.get(module.owner_id)
    if member is None:
        return None  # the owner has left the project
    return {key: value for key, value in asdict(member).items() if key != "role_id"}
