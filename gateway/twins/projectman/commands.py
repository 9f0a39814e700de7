"""The commands that change modules of a project; they run under the lock of the store."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from gateway.twins.projectman.errors import ErrorCode
from gateway.twins.projectman.projects import Project, Projects, StoredModule


class Command(Protocol):
    """A change of modules of one project, applied as a whole or not at all."""

    operation: ClassVar[str]

    @property
    def project_id(self) -> str:
        """The project to change."""
        ...

    def apply(self, projects: Projects) -> list[StoredModule]:
        """Change the project and return the changed modules, the requested one first; raises ProjectManError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """Create a module, at the top level if it has no parent."""

    operation: ClassVar[str] = "create"
    project_id: str
    name: str
    owner_id: str
    description: str | None
    parent_id: int | None

    def apply(self, projects: Projects) -> list[StoredModule]:
        """Check owner, parent, depth, number of modules and name, in this order; then create."""
        project, options = projects.get(self.project_id), projects.options
        _require_member(project, self.owner_id)
        if self.parent_id is not None and self.parent_id not in project.modules:
            raise ErrorCode.PARENT_UNKNOWN.error()
        if project.depth(self.parent_id) >= options.max_depth:
            raise ErrorCode.TOO_DEEP.error(options.max_depth)
        if len(project.modules) >= options.max_modules:
            raise ErrorCode.TOO_MANY.error(options.max_modules)
        _require_free_name(project, self.name)
        module = StoredModule(projects.next_id(), self.name, self.owner_id, self.description, self.parent_id)
        project.modules[module.module_id] = module
        return [module]


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Replace name, owner and description (None: not sent); the parent cannot be changed."""

    operation: ClassVar[str] = "update"
    project_id: str
    module_id: int
    name: str
    owner_id: str
    description: str | None

    def apply(self, projects: Projects) -> list[StoredModule]:
        """Check module, owner and name, in this order; then update."""
        project = projects.get(self.project_id)
        module = _get_module(project, self.module_id)
        _require_member(project, self.owner_id)
        if self.name != module.name:
            _require_free_name(project, self.name)
        module.name, module.owner_id = self.name, self.owner_id
        if self.description is not None or projects.options.omitted_description == "cleared":
            module.description = self.description
        return [module]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Delete a module with its descendants, or refuse to if the options say so."""

    operation: ClassVar[str] = "delete"
    project_id: str
    module_id: int

    def apply(self, projects: Projects) -> list[StoredModule]:
        """Check that the module exists and may be deleted; then delete."""
        project = projects.get(self.project_id)
        deleted = [_get_module(project, self.module_id), *project.descendants(self.module_id)]
        if len(deleted) > 1 and projects.options.delete_with_children == "refused":
            raise ErrorCode.HAS_CHILDREN.error()
        for module in deleted:
            del project.modules[module.module_id]
        return deleted


def _get_module(project: Project, module_id: int) -> StoredModule:
    if module_id not in project.modules:
        raise ErrorCode.MODULE_UNKNOWN.error()
    return project.modules[module_id]


def _require_member(project: Project, user_id: str) -> None:
    if user_id not in project.members:
        raise ErrorCode.OWNER_NOT_MEMBER.error()


def _require_free_name(project: Project, name: str) -> None:
    """Raise NAME_TAKEN if the project has a module of this name: under any parent, in the same case."""
    if any(module.name == name for module in project.modules.values()):
        raise ErrorCode.NAME_TAKEN.error()
