"""The projects and their module trees, as they are at this moment; it refuses nothing but an unknown project."""

from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from itertools import count

from gateway.twins.faults import ReadLag

from .refusals import Reason
from .seed import Member, Seed, SeedModule, SeedProject


@dataclass(slots=True)
class Module:
    """A module as stored; `parent_id` is None at the top."""

    module_id: int
    name: str
    owner_id: str
    description: str | None
    parent_id: int | None


class Project:
    """One project: its members by id, its modules by id in the order they were made."""

    def __init__(self, seed: SeedProject) -> None:
        self.seed = seed
        self.members: dict[str, Member] = {member.user_id: member for member in seed.members}
        self.modules: dict[int, Module] = {}
        self._lag: ReadLag[int, Module] = ReadLag()

    def hide(self, seconds: float, before: Mapping[int, Module | None]) -> None:
        """Keep the write that follows from readers for a while; `before` is what it is going to touch."""
        self._lag.hide(seconds, before)

    def as_read(self) -> "Project":
        """Return the project as readers see it, which is without what a read lag hides."""
        seen = copy(self)
        seen.modules = self._lag.seen(self.modules)
        return seen

    def children(self, module_id: int | None) -> list[Module]:
        """Return the modules right below one, or the top modules."""
        return [module for module in self.modules.values() if module.parent_id == module_id]

    def descendants(self, module_id: int) -> Iterator[Module]:
        """Yield everything below a module, parents before children."""
        for child in self.children(module_id):
            yield child
            yield from self.descendants(child.module_id)

    def depth(self, module_id: int | None) -> int:
        """Count the levels down to a module: 1 at the top, 0 for None."""
        depth = 0
        while module_id is not None:
            depth, module_id = depth + 1, self.modules[module_id].parent_id
        return depth


class Projects:
    """All projects, and the one sequence that numbers new modules in all of them."""

    def __init__(self, seed: Seed) -> None:
        self.options = seed.options
        self._by_id = {project.project_id: Project(project) for project in seed.projects}
        self._taken = {module_id for project in seed.projects for module_id in _given_ids(project.modules)}
        self._sequence = count(seed.options.first_module_id)
        for project in self._by_id.values():
            self._plant(project, project.seed.modules, None)

    def get(self, project_id: str) -> Project:
        """Return a project; raises PM.02152005."""
        if project_id not in self._by_id:
            raise Reason.PROJECT_UNKNOWN.refusal()
        return self._by_id[project_id]

    def all(self) -> list[Project]:
        """Return every project in the seed's order."""
        return list(self._by_id.values())

    def next_id(self) -> int:
        """Take the next free number."""
        return next(number for number in self._sequence if number not in self._taken)

    def _plant(self, project: Project, modules: Iterable[SeedModule], parent_id: int | None) -> None:
        for seed in modules:
            module_id = seed.module_id or self.next_id()
            project.modules[module_id] = Module(module_id, seed.module_name, seed.owner, seed.description, parent_id)
            self._plant(project, seed.children, module_id)


def _given_ids(modules: Iterable[SeedModule]) -> Iterator[int]:
    for module in modules:
        if module.module_id is not None:
            yield module.module_id
        yield from _given_ids(module.children)
