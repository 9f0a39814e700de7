"""Writes modules, members, projects and users down as ProjectMan does; the misspelt `deepth` is the vendor's."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Final

from .projects import Module, Project
from .refusals import Body
from .seed import IamUser, Member, Options, Seed

JOINED: Final = 1_600_000_000_000  # milliseconds; the unit is not documented


def write_module(project: Project, module: Module) -> Body:
    """Write the answer to a create or an update: four keys, and the only place that tells a description."""
    return {
        "description": module.description,
        "module_name": module.name,
        "module_id": module.module_id,
        "owner": _owner(project, module),
    }


def write_tree(project: Project, page: slice, options: Options) -> Body:
    """Write one page of top modules, each with what is below it."""
    tops = project.children(None)
    nodes = [
        {**_node(project, top), "children": _CHILDREN[options.children](project, top.module_id)} for top in tops[page]
    ]
    return {"total": len(tops if options.total == "top" else project.modules), "modules": nodes}


def write_member(member: Member, seed: Seed) -> Body:
    """Write one entry of the list of members."""
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


def write_project(project: Project) -> Body:
    """Write one entry of the list of projects."""
    seed = project.seed
    return {
        "project_num_id": seed.project_num_id,
        "project_id": seed.project_id,
        "project_name": seed.project_name,
        "description": seed.description,
        "project_type": seed.project_type,
    }


def write_user(user: IamUser, seed: Seed) -> Body:
    """Write who is asking."""
    return {
        "domain_id": seed.domains.get(user.domain, ""),
        "domain_name": user.domain,
        "user_num_id": user.user_num_id,
        "user_id": user.user_id,
        "user_name": user.user_name,
        "nick_name": user.nick_name,
        "created_time": JOINED,
        "updated_time": JOINED,
        "gender": "",
        "user_type": "User",
    }


def _node(project: Project, module: Module) -> Body:
    return {
        "module_id": module.module_id,
        "module_name": module.name,
        "owner": _owner(project, module),
        "deepth": project.depth(module.module_id),
        "is_parent": bool(project.children(module.module_id)),
    }


def _child(project: Project, module: Module) -> Body:
    return {**_node(project, module), "parent_module_id": module.parent_id}


def _flat(project: Project, module_id: int) -> list[Body]:
    return [_child(project, module) for module in project.descendants(module_id)]


def _nested(project: Project, module_id: int) -> list[Body]:
    return [_with_children(project, module) for module in project.children(module_id)]


def _with_children(project: Project, module: Module) -> Body:
    """Write a node below the top; a leaf has no `children` at all, as the documented child has no such field."""
    below = _nested(project, module.module_id)
    return {**_child(project, module), **({"children": below} if below else {})}


# Three levels are documented nowhere: either the top module lists all below it, or each level lists the next.
_CHILDREN: Final[Mapping[str, Callable[[Project, int], list[Body]]]] = {"flat": _flat, "nested": _nested}


def _owner(project: Project, module: Module) -> Body | None:
    member = project.members.get(module.owner_id)
    if member is None:
        return None  # the owner has left the project
    return {key: value for key, value in asdict(member).items() if key != "role_id"}


def page_of(key: str, entries: Iterable[Body], page: slice) -> Body:
    """Write a flat list: one page of it, and the total."""
    every = list(entries)
    return {key: every[page], "total": len(every)}
