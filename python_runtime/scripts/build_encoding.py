#!/usr/bin/env python3
"""Write `src/edgelab/data/apis/encoding.txt`: how Go encodes the fields of the served types.

An object that Kubernetes has decoded and encoded again has lost what is empty and may be left out
(`omitempty` on a string, a number, a boolean), and has got what is never left out: structs, lists and
scalars without `omitempty`. (Pointers without it are required or have defaults.) OpenAPI does not tell
which is which; the tags in the sources do. One line for each type: its name, the fields to leave out when
they are zero, the fields to fill and with what.

Usage: build_encoding.py PATH_OF_k8s.io   (it holds `api`, `apimachinery` and so on, as in GOPATH or in a
vendor directory)
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

OUTPUT = Path(__file__).parents[1] / "src/edgelab/data/apis/encoding.txt"
PACKAGES = {
    "apimachinery/pkg/apis/meta/v1": "io.k8s.apimachinery.pkg.apis.meta.v1",
    "apiextensions-apiserver/pkg/apis/apiextensions/v1": (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"
    ),
    "kube-aggregator/pkg/apis/apiregistration/v1": "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1",
}
VERSIONS = ("v1", "v2")
SCALARS = {"string": '""', "bool": "false", "byte": "0"} | dict.fromkeys(
    ("int", "int32", "int64", "uint8", "uint32", "uint64", "float64"), "0"
)
KNOWN = {
    "types.UID": "string",
    "resource.Quantity": "=q",
    "metav1.Time": "=null",
    "metav1.MicroTime": "=null",
    "intstr.IntOrString": "=0",
    "runtime.RawExtension": "=null",
    "metav1.FieldsV1": "=null",
}
QUANTITY = '"0"'
SHOWN_NULL = (("TypedLocalObjectReference", "apiGroup"), ("TypedObjectReference", "apiGroup"))
"""Pointers that are neither required nor have a default, and yet are never left out."""


class Field(NamedTuple):
    """A field of a struct; embedded ones have no name."""

    name: str
    kind: str
    options: str


class Sources:
    """Structs and other names of all packages, by `package.Type` with the package's OpenAPI name."""

    def __init__(self, root: Path) -> None:
        self.structs: dict[str, list[Field]] = {}
        self.names: dict[str, str] = {}
        packages = dict(PACKAGES)
        for path in sorted((root / "api").glob("*/v*")):
            if path.name in VERSIONS:
                packages[f"api/{path.parent.name}/{path.name}"] = f"io.k8s.api.{path.parent.name}.{path.name}"
        for directory, package in packages.items():
            for file in sorted((root / directory).glob("*.go")):
                if not file.name.endswith("_test.go") and not file.name.startswith(("zz_", "generated")):
                    self._parse(file.read_text(), package)

    def _parse(self, text: str, package: str) -> None:
        imports = _imports(text)
        text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
        text = re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
        for name, body in re.findall(r"^type (\w+) struct \{(.*?)^\}", text, re.DOTALL | re.MULTILINE):
            self.structs[f"{package}.{name}"] = list(_fields(body, package, imports))
        for name, kind in re.findall(r"^type (\w+) ([*\[\]\w.]+)$", text, re.MULTILINE):
            if kind != "struct":
                self.names[f"{package}.{name}"] = _qualified(kind, package, imports)

    def fields(self, name: str) -> Iterator[Field]:
        """The fields of a struct, embedded ones in line."""
        for field in self.structs[name]:
            if field.name:
                yield field
            elif field.kind in self.structs:
                yield from self.fields(field.kind)

    def resolved(self, kind: str) -> str:
        """What stands behind a name."""
        while kind in self.names:
            kind = self.names[kind]
        return kind


def _imports(text: str) -> dict[str, str]:
    found = {}
    for alias, path in re.findall(r'^\s*(?:import )?(\w+)? ?"k8s\.io/([\w./-]+)"', text, re.MULTILINE):
        package = PACKAGES.get(path) or "io.k8s." + path.replace("/", ".")
        found[alias or path.rpartition("/")[2]] = package
    return found


def _fields(body: str, package: str, imports: dict[str, str]) -> Iterator[Field]:
    for line in filter(None, map(str.strip, body.splitlines())):
        tag = re.search(r'json:"([^"]*)"', line)
        words = re.sub(r"`.*|//.*", "", line).split()
        if not words:
            continue
        name, _, options = (tag[1] if tag else "").partition(",")
        kind = _qualified(words[-1], package, imports)
        if name != "-":
            yield Field("" if "inline" in options else name, kind, options)


def _qualified(kind: str, package: str, imports: dict[str, str]) -> str:
    if kind == "[]byte":
        return "bytes"
    if kind.startswith(("*", "[]", "map[", "interface")):
        return "*" if kind.startswith("*") else "[]"
    alias, dot, name = kind.rpartition(".")
    for known, other in KNOWN.items():
        if known == kind or (
            package == PACKAGES["apimachinery/pkg/apis/meta/v1"] and f"metav1.{kind}" == known
        ):
            return other
    if f"metav1.{name}" in KNOWN and imports.get(alias, "").endswith("meta.v1"):
        return KNOWN[f"metav1.{name}"]
    return kind if not dot and kind in SCALARS else f"{imports.get(alias, alias) if dot else package}.{name}"


def encoding(name: str, sources: Sources) -> tuple[list[str], dict[str, str]]:
    """Fields to leave out when they are zero, and what the others are filled with."""
    omitted: list[str] = []
    filled: dict[str, str] = {}
    for field in sources.fields(name):
        kind, may_lack = sources.resolved(field.kind), "omit" in field.options
        if kind in SCALARS:
            if may_lack:
                omitted.append(field.name)
            else:
                filled[field.name] = SCALARS[kind]
        elif kind == "bytes" and may_lack:
            omitted.append(field.name)
        elif kind in ("[]", "bytes") or (kind == "*" and (name.rpartition(".")[2], field.name) in SHOWN_NULL):
            if not may_lack:
                filled[field.name] = "null"
        elif kind != "*" and "omitzero" not in field.options:
            value = kind[1:] if kind.startswith("=") else kind
            filled[field.name] = QUANTITY if value == "q" else value
    return omitted, filled


def main() -> None:
    """Write the file anew."""
    sources = Sources(Path(sys.argv[1]))
    lines = []
    for name in sorted(sources.structs):
        if name.endswith("List"):
            continue
        omitted, filled = encoding(name, sources)
        filled = {
            key: value
            for key, value in filled.items()
            if value in sources.structs or not value.startswith("io.")
        }
        if omitted or filled:
            fills = ",".join(f"{key}={value}" for key, value in sorted(filled.items()))
            lines.append(f"{name} {','.join(sorted(omitted))} {fills}\n")
    OUTPUT.write_text("".join(lines))
    print(f"{OUTPUT.name}: {len(lines)} types, {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
