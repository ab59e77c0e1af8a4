"""Generate the protobuf stubs that are committed beside their .proto files.

    .venv/bin/python python_runtime/scripts/build_stubs.py

Needs grpcio-tools, which only developers install. The stubs refuse a protobuf runtime older than
the generator, so the lower bound in pyproject.toml follows what is printed at the end.
"""

from __future__ import annotations

import re
import sys
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

SOURCE = Path(__file__).resolve().parents[1] / "src"
PROTOS = [
    SOURCE / "edgelab/cri/api/runtime.proto",
    SOURCE / "edgelab/protocol/dmi/api.proto",
    SOURCE / "edgelab/protocol/otlp/metrics.proto",
]


def main() -> int:
    """Generate all; gives the exit status."""
    well_known = resources.files("grpc_tools") / "_proto"
    for proto in PROTOS:
        status = protoc.main(
            [
                "protoc",
                f"-I{SOURCE}",
                f"-I{well_known}",
                f"--python_out={SOURCE}",
                f"--pyi_out={SOURCE}",
                str(proto),
            ]
        )
        if status:
            return int(status)
        stub = proto.with_name(f"{proto.stem}_pb2.py")
        version = re.search(r"Protobuf Python Version: (\S+)", stub.read_text())
        print(f"{stub.relative_to(SOURCE)}: protobuf >= {version[1] if version else 'unknown'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
