"""`keadm config migrate`: which file is which, and the files of today that they become together."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgelab.keadm.config import Component, load_program, masked
from edgelab.keadm.files import is_private, write_private
from edgelab.keadm.report import Answer, Failure
from edgelab.settings import first_files
from edgelab.settings.document import Problem, dump, merge, parse, read_yaml
from edgelab.settings.first_files import Converted, Note

EDGE_KEYS = {"mqtt", "edgehub", "edged", "mesh"}
CLOUD_KEYS = {"controller", "cloudhub", "devicecontroller"}
LOG_KEYS = {"loggerLevel", "enableRsyslog", "logFormatText", "writers"}
BACKUP = ".before-migration"
_AT_JOIN = "a join token is handed over by `keadm join`, in a file that goes away then"


@dataclass(slots=True)
class Migration:
    """One file of today: its document, and what became of each key of the files it comes from."""

    component: Component
    document: dict[str, Any] = field(default_factory=dict)
    notes: list[tuple[str, Note]] = field(default_factory=list)

    def add(self, source: Path, converted: Converted) -> None:
        """Take what one file has become."""
        self.document = merge(self.document, converted.document)
        self.notes += [(str(source), note) for note in converted.notes]

    def problems(self) -> list[Problem]:
        """Why the daemon would not start with it."""
        program = load_program(self.component)
        loaded = parse(dump(self.document), program.defaults(), source=self.component)
        return list(program.validate(loaded.settings))


def migrate_files(paths: list[Path], directory: Path | None, *, check: bool) -> Answer:
    """Convert; write into `directory` when there is one. Raises Failure, and ConfigError for bad YAML."""
    done = convert([(path, read(path)) for path in expand(paths)])
    written = [write(one, directory, check=check) for one in done] if directory else []
    data = {
        "changed": any(changed for _, changed in written),
        "files": [str(path) for path, _ in written],
        "documents": {one.component: masked(one.document) for one in done},
        "notes": [{"file": file, **asdict(note)} for one in done for file, note in one.notes],
        "problems": [asdict(problem) for one in done for problem in one.problems()],
    }
    told = [f"# {file}: {note}" for one in done for file, note in one.notes]
    told += [f"# to be put right: {problem}" for one in done for problem in one.problems()]
    if not directory:
        return Answer(data, "\n".join(told) + "\n" + "---\n".join(dump(one.document) for one in done))
    verb = "would be written" if check else "is written"
    told += [f"{path} {verb if changed else 'is so already'}" for path, changed in written]
    return Answer(data, "\n".join(told))


def expand(paths: list[Path]) -> list[Path]:
    """The files, with those of directories. Raises Failure when there are none."""
    found = [entry for path in paths for entry in (sorted(path.glob("*.yaml")) if path.is_dir() else [path])]
    if not found:
        raise Failure(f"there is no YAML file in {', '.join(map(str, paths))}")
    return found


def read(path: Path) -> dict[str, Any]:
    """The file's mapping. Raises OSError and ConfigError."""
    return read_yaml(path.read_text(encoding="utf-8"), str(path))


def convert(sources: list[tuple[Path, dict[str, Any]]]) -> list[Migration]:
    """Sort the files by what they are. Raises Failure naming one that is none of KubeEdge's."""
    done: dict[Component, Migration] = {}
    rest = []
    for path, document in sources:
        component = main_component(document)
        if component:
            _one(done, component).add(path, main_file(component, document))
        else:
            rest.append((path, document))
    for path, document in rest:
        component = side_component(path, document, set(done))
        known = first_files.EDGE_MODULES if component is Component.edgecore else first_files.CLOUD_MODULES
        if LOG_KEYS & document.keys():
            converted = first_files.logging_yaml(document, component)
        else:
            converted = first_files.modules_yaml(document, known)
        _one(done, component).add(path, converted)
    return list(done.values())


def main_component(document: dict[str, Any]) -> Component | None:
    """Whose main file it is; None for one that goes with a main file."""
    group = str(document.get("apiVersion", "")).partition(".")[0]
    kind = str(document.get("kind", "")).lower()
    for component in Component:
        if component.value in (group, kind):
            return component
    if EDGE_KEYS & document.keys():
        return Component.edgecore
    return Component.cloudcore if CLOUD_KEYS & document.keys() else None


def side_component(path: Path, document: dict[str, Any], mains: set[Component]) -> Component:
    """Whom modules.yaml or logging.yaml belongs to. Raises Failure for another file."""
    modules = document.get("modules")
    enabled = modules.get("enabled") if isinstance(modules, dict) else None
    if isinstance(enabled, list):
        of_cloud = any(name in first_files.CLOUD_MODULES for name in enabled)
        return Component.cloudcore if of_cloud else Component.edgecore
    if LOG_KEYS & document.keys():
        return mains.pop() if len(mains) == 1 else Component.edgecore
    raise Failure(
        f"{path} is no file of KubeEdge's: expected edgecore.yaml or cloudcore.yaml, or edge.yaml,"
        " controller.yaml, modules.yaml, logging.yaml of a release up to 1.2"
    )


def main_file(component: Component, document: dict[str, Any]) -> Converted:
    """What a main file becomes: of the first releases, of an older version, or of today."""
    if "apiVersion" not in document and "kind" not in document:
        converted = first_files.edge_yaml if component is Component.edgecore else first_files.controller_yaml
        return converted(document)
    program = load_program(component)
    loaded = parse(dump(document), program.defaults(), source=component, migrate=program.migrate)
    new = Converted(loaded.document)
    for problem in loaded.outdated:
        kind, _, text = problem.message.partition(": ")
        if kind == "removed":
            new.drop(problem.field, text)
        elif kind == "moved":
            new.notes.append(Note(problem.field, text.removeprefix("now ")))
        else:
            new.notes.append(Note(problem.field, problem.field, problem.message))
    for problem in loaded.unknown:
        _remove(new.document, problem.field)
        new.drop(problem.field, problem.message)
    hub = (new.document.get("modules") or {}).get("edgeHub") or {}
    if hub.pop("token", ""):
        new.drop("modules.edgeHub.token", _AT_JOIN)
    return new


def write(one: Migration, directory: Path, *, check: bool) -> tuple[Path, bool]:
    """Write one file, keep what was there. Raises Failure when the daemon would not start with it."""
    problems = one.problems()
    if problems:
        listed = "; ".join(map(str, problems))
        raise Failure(f"{one.component}.yaml is not written, correct the old file first: {listed}")
    path = directory / f"{one.component}.yaml"
    text = dump(one.document)
    before = path.read_text(encoding="utf-8") if path.exists() else None
    changed = before != text or not is_private(path)
    if changed and not check:
        if before is not None and before != text:
            write_private(path.with_name(path.name + BACKUP), before)
        write_private(path, text)
    return path, changed


def _one(done: dict[Component, Migration], component: Component) -> Migration:
    if component not in done:
        defaults = load_program(component).defaults()
        head = {"apiVersion": defaults.apiVersion, "kind": defaults.kind}
        done[component] = Migration(component, head)
    return done[component]


def _remove(document: dict[str, Any], path: str) -> None:
    """Take out a key, whose name may itself hold dots."""
    for key in list(document):
        if path == key:
            del document[key]
        elif path.startswith(f"{key}.") and isinstance(document[key], dict):
            _remove(document[key], path[len(key) + 1 :])
