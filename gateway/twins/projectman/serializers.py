"""JSON of modules, members, projects and users in ProjectMan's format; the misspelt `deepth` is the vendor's."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Final

from gateway.twins.projectman.errors import Body
from gateway.twins.projectman.projects import Project, StoredModule
from gateway.twins.projectman.seed import IamUser, Member, ProjectManSeed, TwinOptions

USER_CREATED_AT: Final = 1_600_000_000_000  # milliseconds; the unit is not documented


def serialize_module(project: Project, module: StoredModule) -> Body:
    """Return the body of a create or update response, the only one with a description."""
    return {
        "description": module.description,
        "module_name": module.name,
        "module_id": module.module_id,
        "owner": _serialize_owner(project, module),
    }


def serialize_tree(project: Project, page: slice, options: TwinOptions) -> Body:
    """Return a page of top-level modules, each with its descendants."""
    top_modules = project.children(None)
    nodes = [
        {
            **_serialize_node(project, top_module),
            "children": _CHILD_SERIALIZERS[options.children](project, top_module.module_id),
        }
        for top_module in top_modules[page]
    ]
    return {"total": len(top_modules if options.total == "top" else project.modules), "modules": nodes}


def serialize_member(member: Member, seed: ProjectManSeed) -> Body:
    """Return an element of the list of members."""
    domain_name, domain_id = next(iter(seed.domains.items()), ("", ""))  # a member in the seed names none
    role_name = "creator" if member.role_id == -1 else "member"
    return {
        "domain_name": domain_name,
        "domain_id": domain_id,
        **asdict(member),
        "role_name": role_name,
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
        "created_time": USER_CREATED_AT,
        "updated_time": USER_CREATED_AT,
        "gender": "",
        "user_type": "User",
    }


def serialize_page(key: str, elements: Iterable[Body], page: slice) -> Body:
    """Return a page of a flat list under `key`, and the number of all elements."""
    bodies = list(elements)
    return {key: bodies[page], "total": len(bodies)}


def _serialize_node(project: Project, module: StoredModule) -> Body:
    return {
        "module_id": module.module_id,
        "module_name": module.name,
        "owner": _serialize_owner(project, module),
        "deepth": project.depth(module.module_id),
        "is_parent": bool(project.children(module.module_id)),
    }


def _serialize_child(project: Project, module: StoredModule) -> Body:
    return {**_serialize_node(project, module), "parent_module_id": module.parent_id}


def _flat_descendants(project: Project, module_id: int) -> list[Body]:
    return [_serialize_child(project, module) for module in project.descendants(module_id)]


def _nested_children(project: Project, module_id: int) -> list[Body]:
    return [_serialize_subtree(project, module) for module in project.children(module_id)]


def _serialize_subtree(project: Project, module: StoredModule) -> Body:
    """Return a node below the top; a leaf has no `children`, as in the documented example."""
    children = _nested_children(project, module.module_id)
    return {**_serialize_child(project, module), **({"children": children} if children else {})}


# Three levels are not documented: the top module lists all its descendants, or each level lists the next.
_CHILD_SERIALIZERS: Final[Mapping[str, Callable[[Project, int], list[Body]]]] = {
    "flat": _flat_descendants,
    "nested": _nested_children,
}


def _serialize_owner(project: Project, module: StoredModule) -> Body | None:
    member = project.members.get(module.owner_id)
    if member is None:
        return None  # the owner has left the project
    return {key: value for key, value in asdict(member).items() if key != "role_id"}
