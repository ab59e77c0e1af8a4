"""The parts of an image's name, for EdgeApplications that change one of them (KubeEdge `imageparser`)."""

from __future__ import annotations

from dataclasses import dataclass, replace

COMPONENTS = {"Registry": "registry", "Repository": "repository", "Tag": "version"}


@dataclass(frozen=True, slots=True)
class Image:
    """`[registry/]repository[:tag][@digest]`; `version` is the tag, the digest, or `tag@digest`."""

    registry: str
    repository: str
    version: str

    def __str__(self) -> str:
        path = f"{self.registry}/{self.repository}" if self.registry else self.repository
        if not self.version:
            return path
        return f"{path}@{self.version}" if self.version.startswith("sha256:") else f"{path}:{self.version}"


def parse(text: str) -> Image:
    """An image's name in its parts. Raises ValueError for one without a repository."""
    name, at, digest = text.partition("@")
    slash = name.rfind("/")
    colon = name.find(":", slash + 1)
    tag = name[colon + 1 :] if colon >= 0 else ""
    path = name[:colon] if colon >= 0 else name
    first, separator, rest = path.partition("/")
    has_registry = bool(separator) and ("." in first or ":" in first or first == "localhost")
    image = Image(
        first if has_registry else "",
        rest if has_registry else path,
        f"{tag}@{digest}" if tag and at else tag or digest,
    )
    if not image.repository:
        raise ValueError(f"{text!r} is no image")
    return image


def change(text: str, component: str, operator: str, value: str) -> str:
    """The image with one part replaced, removed, or lengthened by `value` (operator `add`).

    `component` is Registry, Repository or Tag. Raises ValueError.
    """
    image = parse(text)
    field = COMPONENTS[component]
    before: str = getattr(image, field)
    after = {"add": before + value, "replace": value, "remove": ""}[operator]
    after = after.removeprefix("@") if field == "version" else after
    if field == "repository" and not after:
        raise ValueError(f"{text!r} would be left without a repository")
    return str(replace(image, **{field: after}))
