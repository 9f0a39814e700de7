"""The three writes, each judging and changing one project; whoever applies one holds the twin's lock."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from .projects import Module, Project, Projects
from .refusals import Reason


class Write(Protocol):
    """Something that changes modules of one project, or refuses and changes nothing."""

    operation: ClassVar[str]

    @property
    def project_id(self) -> str:
        """The project it changes."""
        ...

    def apply(self, projects: Projects) -> list[Module]:
        """Change the project and return every module touched, the one asked for first; raises Refusal."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """Add a module, at the top where it has no parent."""

    operation: ClassVar[str] = "create"
    project_id: str
    name: str
    owner_id: str
    description: str | None
    parent_id: int | None

    def apply(self, projects: Projects) -> list[Module]:
        """Judge owner, parent, depth, number and name, in this order."""
        project, options = projects.get(self.project_id), projects.options
        _refuse_stranger(project, self.owner_id)
        if self.parent_id is not None and self.parent_id not in project.modules:
            raise Reason.PARENT_UNKNOWN.refusal()
        if project.depth(self.parent_id) >= options.max_depth:
            raise Reason.TOO_DEEP.refusal(options.max_depth)
        if len(project.modules) >= options.max_modules:
            raise Reason.TOO_MANY.refusal(options.max_modules)
        _refuse_taken(project, self.name)
        module = Module(projects.next_id(), self.name, self.owner_id, self.description, self.parent_id)
        project.modules[module.module_id] = module
        return [module]


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Replace name, owner and description; a description of None was not sent. The parent stays."""

    operation: ClassVar[str] = "update"
    project_id: str
    module_id: int
    name: str
    owner_id: str
    description: str | None

    def apply(self, projects: Projects) -> list[Module]:
        """Judge module, owner and name, in this order."""
        project = projects.get(self.project_id)
        module = _existing(project, self.module_id)
        _refuse_stranger(project, self.owner_id)
        if self.name != module.name:
            _refuse_taken(project, self.name)
        module.name, module.owner_id = self.name, self.owner_id
        if self.description is not None or projects.options.omitted_description == "cleared":
            module.description = self.description
        return [module]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Remove a module and, where the options have it so, everything below it."""

    operation: ClassVar[str] = "delete"
    project_id: str
    module_id: int

    def apply(self, projects: Projects) -> list[Module]:
        """Judge whether the module is there, and whether it may go with its sub-modules."""
        project = projects.get(self.project_id)
        doomed = [_existing(project, self.module_id), *project.descendants(self.module_id)]
        if len(doomed) > 1 and projects.options.delete_with_children == "refused":
            raise Reason.HAS_CHILDREN.refusal()
        for module in doomed:
            del project.modules[module.module_id]
        return doomed


def _existing(project: Project, module_id: int) -> Module:
    if module_id not in project.modules:
        raise Reason.MODULE_UNKNOWN.refusal()
    return project.modules[module_id]


def _refuse_stranger(project: Project, user_id: str) -> None:
    if user_id not in project.members:
        raise Reason.OWNER_NOT_MEMBER.refusal()


def _refuse_taken(project: Project, name: str) -> None:
    """Names are unique in the whole project, under whatever parent; upper and lower case differ."""
    if any(module.name == name for module in project.modules.values()):
        raise Reason.NAME_TAKEN.refusal()
