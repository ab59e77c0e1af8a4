"""`kubernetes.zip`, the built-in API types: what each of these scripts puts into it, the others leave alone.

The same contents make the same bytes: members have no time of their own.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ARCHIVE = Path(__file__).parents[1] / "src/edgelab/data/apis/kubernetes.zip"


def members() -> dict[str, bytes]:
    """Everything that is in it, by name."""
    with zipfile.ZipFile(ARCHIVE) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def put(name: str, table: Any) -> int:
    """Write one member anew, behind all others, as JSON; gives its size in bytes."""
    data = json.dumps(table, separators=(",", ":"), sort_keys=True).encode()
    write({**{other: text for other, text in members().items() if other != name}, name: data})
    return len(data)


def write(contents: Mapping[str, bytes]) -> None:
    """Write the archive, in this order."""
    with zipfile.ZipFile(ARCHIVE, "w") as archive:
        for name, data in contents.items():
            member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, data, compresslevel=9)
