"""Projects and their module trees, as stored."""

from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from itertools import count

from gateway.twins.faults.injector import ReadLag
from gateway.twins.projectman.errors import ErrorCode
from gateway.twins.projectman.seed import Member, ProjectManSeed, SeedModule, SeedProject


@dataclass(slots=True)
class StoredModule:
    """A module as stored; `parent_id` is None for a top-level module."""

    module_id: int
    name: str
    owner_id: str
    description: str | None
    parent_id: int | None


class Project:
    """A project with its members by id and its modules by id, in the order of creation."""

    def __init__(self, seed: SeedProject) -> None:
        self.seed = seed
        self.members: dict[str, Member] = {member.user_id: member for member in seed.members}
        self.modules: dict[int, StoredModule] = {}
        self._lag: ReadLag[int, StoredModule] = ReadLag()

    def hide(self, seconds: float, old_modules: Mapping[int, StoredModule | None]) -> None:
        """Hide a write from reads for `seconds`; `old_modules` are the modules before it, None for a new one."""
        self._lag.hide(seconds, old_modules)

    def snapshot(self) -> "Project":
        """Return the project as reads see it."""
        snapshot = copy(self)
        snapshot.modules = self._lag.visible(self.modules)
        return snapshot

    def children(self, module_id: int | None) -> list[StoredModule]:
        """Return the direct children of a module, or the top-level modules for None."""
        return [module for module in self.modules.values() if module.parent_id == module_id]

    def descendants(self, module_id: int) -> Iterator[StoredModule]:
        """Yield all descendants of a module, parents before children."""
        for child in self.children(module_id):
            yield child
            yield from self.descendants(child.module_id)

    def depth(self, module_id: int | None) -> int:
        """Return the level of a module: 1 at the top, 0 for None."""
        depth = 0
        while module_id is not None:
            depth, module_id = depth + 1, self.modules[module_id].parent_id
        return depth


class Projects:
    """All projects, and the sequence of module ids that they share."""

    def __init__(self, seed: ProjectManSeed) -> None:
        self.options = seed.options
        self._by_id = {project.project_id: Project(project) for project in seed.projects}
        self._reserved_ids = {module_id for project in seed.projects for module_id in _ids_in_seed(project.modules)}
        self._sequence = count(seed.options.first_module_id)
        for project in self._by_id.values():
            self._load_modules(project, project.seed.modules, None)

    def get(self, project_id: str) -> Project:
        """Return a project; raises PM.02152005."""
        if project_id not in self._by_id:
            raise ErrorCode.PROJECT_UNKNOWN.error()
        return self._by_id[project_id]

    def all(self) -> list[Project]:
        """Return all projects in the seed's order."""
        return list(self._by_id.values())

    def next_id(self) -> int:
        """Return the next id of the sequence; ids that the seed uses are skipped."""
        return next(number for number in self._sequence if number not in self._reserved_ids)

    def _load_modules(self, project: Project, modules: Iterable[SeedModule], parent_id: int | None) -> None:
        for module in modules:
            module_id = module.module_id or self.next_id()
            project.modules[module_id] = StoredModule(
                module_id, module.module_name, module.owner, module.description, parent_id
            )
            self._load_modules(project, module.children, module_id)


def _ids_in_seed(modules: Iterable[SeedModule]) -> Iterator[int]:
    for module in modules:
        if module.module_id is not None:
            yield module.module_id
        yield from _ids_in_seed(module.children)
