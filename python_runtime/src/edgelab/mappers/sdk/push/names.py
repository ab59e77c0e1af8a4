"""Names of tables. What a user wrote becomes part of SQL: it is quoted, or replaced."""

from __future__ import annotations

import hashlib
import re

from edgelab.mappers.sdk.push.sample import Sample

MYSQL_LONGEST = 64
TDENGINE_LONGEST = 192
_STRANGE = re.compile(r"[^A-Za-z0-9_/-]")


def mysql_table(sample: Sample) -> str:
    """`<namespace>/<device>/<property>`, unquoted."""
    return f"{sample.id}/{sample.prop}"


def mysql_fault(table: str) -> str:
    """Why MySQL cannot have a table of this name (manual, "Schema Object Names"); empty when it can."""
    if len(table) > MYSQL_LONGEST:
        return f"the table {table!r} would have {len(table)} characters, and MySQL takes {MYSQL_LONGEST}"
    if "\0" in table or table.endswith(" ") or any(ord(char) > 0xFFFF for char in table):
        return f"MySQL takes no table of the name {table!r}"
    return ""


def mysql_quoted(name: str) -> str:
    """In backquotes, and fit for a statement with `%s` in it."""
    return "`" + name.replace("`", "``").replace("%", "%%") + "`"


def tdengine_name(text: str) -> str:
    """A name with `-` as `_`, like KubeEdge's. One with other characters, or too long, ends with its hash."""
    plain = text.replace("-", "_")
    if _STRANGE.search(text) or len(text) > TDENGINE_LONGEST:
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        return _STRANGE.sub("_", plain)[: TDENGINE_LONGEST - 9] + "_" + digest
    return plain


def tdengine_text(text: str) -> str:
    """A literal (docs.tdengine.com, "Escape Characters")."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
