#!/usr/bin/python
# Copyright (c) edgelab contributors
# SPDX-License-Identifier: Apache-2.0
"""Back up, check and restore what the daemons of a host keep."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edge_backup
short_description: Back up, verify and restore what the edgelab daemons of a host keep
version_added: 1.0.0
description:
  - Writes files, databases and Secrets of the daemons on a host into one archive with a manifest that holds
    the component, the runtime's version, the time, the node's name and the SHA-256 of each file.
  - Databases are copied by SQLite's online backup while the daemon works, and checked for integrity.
  - A restore checks every hash, the databases, the node, the cluster and the room on the disk before it
    touches anything, and then replaces all files or none.
  - Archives and the directory that holds them are for root only, because they hold keys.
author:
  - edgelab contributors (@edgelab)
options:
  state:
    description:
      - V(present) makes an archive, unless O(max_age) says that the newest one will do.
      - V(verified) checks an archive and changes nothing.
      - V(restored) puts an archive's files, databases and Secrets back. Daemons must have been stopped.
    type: str
    choices: [present, verified, restored]
    default: present
  node:
    description: Name of the node or host; an archive of another one is refused.
    type: str
    required: true
  directory:
    description: Where archives are kept, each in a directory that is named after its time.
    type: path
    default: /var/backups/edgelab
  archive:
    description:
      - The archive to verify or restore.
      - The default is the node's newest one in O(directory), of O(version) if that is given.
    type: path
  version:
    description: Version of the runtime, for the manifest, and to choose the archive to verify or restore.
    type: str
    default: ""
  cluster_ca:
    description:
      - Files with the cluster's CA; the first that exists identifies the cluster.
      - An archive of another cluster is refused. A host that has none of the files takes every archive of
        its node.
    type: list
    elements: path
    default: []
  components:
    description:
      - What to put into the archive; what is not on the host is named in the manifest as missing.
      - For O(state=restored) and O(state=verified) only the names matter; the default is all of the archive.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the component.
        type: str
        required: true
      files:
        description: Files and directories, and patterns with C(*) for those that are there.
        type: list
        elements: path
        default: []
      databases:
        description: SQLite databases, which may be in use.
        type: list
        elements: path
        default: []
      secrets_of:
        description: Namespace whose Secrets belong to the component, read through O(kubeconfig).
        type: str
        default: ""
  restore_databases:
    description:
      - V(always) restores databases that hold something else.
      - V(schema) restores only those whose tables have another form, for the way back to an earlier version.
        A database that this version can read is newer than the backup and the better one to keep.
    type: str
    choices: [always, schema]
    default: always
  max_age:
    description: Seconds for which the newest archive is good enough; V(0) always makes a new one.
    type: int
    default: 0
  keep:
    description: How many of the node's archives stay in O(directory).
    type: int
    default: 5
  force:
    description: Restore an archive of another node or cluster.
    type: bool
    default: false
extends_documentation_fragment:
  - edgelab.kubeedge.attributes
  - edgelab.kubeedge.attributes.keadm
  - edgelab.kubeedge.attributes.cluster
"""

EXAMPLES = r"""
- name: Back up EdgeCore
  edgelab.kubeedge.edge_backup:
    node: edge1
    cluster_ca: [/etc/kubeedge/ca/rootCA.crt]
    components:
      - name: edgecore
        files: [/etc/kubeedge/config/edgecore.yaml, /etc/kubeedge/ca, /etc/kubeedge/certs]
        databases: [/var/lib/kubeedge/edgecore.db]

- name: Check the newest archive
  edgelab.kubeedge.edge_backup:
    state: verified
    node: edge1

- name: Restore it, EdgeCore being stopped
  edgelab.kubeedge.edge_backup:
    state: restored
    node: edge1
    cluster_ca: [/etc/kubeedge/ca/rootCA.crt]
"""

RETURN = r"""
archive:
  description: The archive that was made, verified or restored; empty in check mode when it would be made.
  type: str
  returned: success
  sample: /var/backups/edgelab/20261126T110500Z/edge1.tar.gz
version:
  description: Version of the runtime that the archive was made with.
  type: str
  returned: success
time:
  description: When the archive was made, in UTC.
  type: str
  returned: success
  sample: 20261126T110500Z
components:
  description: Names of the components in the archive.
  type: list
  elements: str
  returned: success
missing:
  description: Paths that were not on the host when the archive was made.
  type: list
  elements: str
  returned: success
restored:
  description: Paths that were put back, or would be.
  type: list
  elements: str
  returned: success
removed:
  description: Archives that were removed because there were more than O(keep).
  type: list
  elements: str
  returned: success
"""

import calendar
import contextlib
import json
import os
import shutil
import tempfile
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.edgelab.kubeedge.plugins.module_utils import backup_archive, backup_restore
from ansible_collections.edgelab.kubeedge.plugins.module_utils.backup_archive import BackupError
from ansible_collections.edgelab.kubeedge.plugins.module_utils.backup_sqlite import DatabaseError
from ansible_collections.edgelab.kubeedge.plugins.module_utils.keadm import (
    CLUSTER_SPEC,
    KEADM_SPEC,
    KeadmError,
    ask,
)

STAMP = "%Y%m%dT%H%M%SZ"
COMPONENT_SPEC = {
    "name": {"type": "str", "required": True},
    "files": {"type": "list", "elements": "path", "default": []},
    "databases": {"type": "list", "elements": "path", "default": []},
    "secrets_of": {"type": "str", "default": "", "no_log": False},
}


def told(path, manifest, changed, restored=(), removed=()):
    """The module's result."""
    components = manifest["components"]
    return {
        "changed": changed,
        "archive": path,
        "version": manifest["version"],
        "time": manifest["time"],
        "components": sorted(components),
        "missing": sorted(item for component in components.values() for item in component["missing"]),
        "restored": list(restored),
        "removed": list(removed),
    }


def secrets(module, namespace):
    """The Secrets of a namespace, as keadm exports them; None from a keadm that cannot. Raises KeadmError."""
    where = ["--namespace", namespace, "--kind", "Secret", "--kube-config", module.params["kubeconfig"]]
    try:
        return ask(module, ["export", *where])["objects"]
    except KeadmError as error:
        if "No such command" in str(error):
            return None
        raise


def fresh_enough(module, path):
    """The manifest of an archive that is young enough and has all components; None otherwise."""
    manifest = backup_archive.read_manifest(path)
    age = time.time() - calendar.timegm(time.strptime(manifest["time"], STAMP))
    wanted = {component["name"] for component in module.params["components"]}
    same = manifest["version"] == module.params["version"] and wanted <= set(manifest["components"])
    return manifest if same and age < module.params["max_age"] else None


def present(module):
    """Make an archive if need be."""
    params = module.params
    known = backup_archive.archives(params["directory"], params["node"])
    if known and params["max_age"] > 0:
        manifest = fresh_enough(module, known[0])
        if manifest:
            return told(known[0], manifest, False)
    head = {
        "node": params["node"],
        "version": params["version"],
        "cluster": backup_archive.cluster_id(params["cluster_ca"]),
        "time": time.strftime(STAMP, time.gmtime()),
    }
    if module.check_mode:
        return told("", dict(head, components={}), True)
    path, manifest = write(module, head)
    return told(path, manifest, True, removed=rotate(params["directory"], params["node"], params["keep"]))


def write(module, head):
    """Gather everything in a scratch directory, then move the finished archive to its place."""
    directory = module.params["directory"]
    os.makedirs(directory, mode=0o700, exist_ok=True)
    os.chmod(directory, 0o700)
    need = size_of(module.params["components"])
    backup_archive.need_space(directory, 2 * need)
    place = os.path.join(directory, head["time"])
    scratch = tempfile.mkdtemp(dir=directory, prefix=".backup-")
    try:
        writer = backup_archive.Writer(scratch, head)
        for part in module.params["components"]:
            held = secrets(module, part["secrets_of"]) if part["secrets_of"] else []
            writer.add(part["name"], part["files"], part["databases"], [held] if held else [])
            if held is None:
                without = "Secrets of {secrets_of}: this version of keadm has no export".format(**part)
                writer.manifest["components"][part["name"]]["missing"].append(without)
        unfinished = os.path.join(scratch, "archive")
        writer.write(unfinished)
        os.makedirs(place, mode=0o700, exist_ok=True)
        path = os.path.join(place, "{node}.tar.gz".format(**head))
        os.replace(unfinished, path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return path, writer.manifest


def size_of(components):
    """Bytes of all files and databases together."""
    total = 0
    for component in components:
        found, _missing = backup_archive.found_files(component["files"] + component["databases"])
        for path in found:
            with contextlib.suppress(OSError):
                total += os.lstat(path).st_size
    return total


def rotate(directory, node, keep):
    """Remove the node's oldest archives."""
    gone = backup_archive.archives(directory, node)[max(1, keep) :]
    for path in gone:
        os.unlink(path)
        with contextlib.suppress(OSError):  # another host's archive lies there, too
            os.rmdir(os.path.dirname(path))
    return gone


def chosen(module):
    """The archive that is meant, and its manifest. Raises BackupError."""
    params = module.params
    if params["archive"]:
        return params["archive"], backup_archive.read_manifest(params["archive"])
    for path in backup_archive.archives(params["directory"], params["node"]):
        manifest = backup_archive.read_manifest(path)
        if params["version"] in ("", manifest["version"]):
            return path, manifest
    what = " of version {version}".format(**params) if params["version"] else ""
    raise BackupError(
        "there is no backup of {node}{what} in {directory}: name one in archive".format(what=what, **params)
    )


def belongs_here(module, path, manifest):
    """Raise BackupError for an archive of another node or cluster, or without a component that is wanted."""
    params = module.params
    lacking = {part["name"] for part in params["components"]} - set(manifest["components"])
    if lacking:
        raise BackupError("{} holds no {}".format(path, ", ".join(sorted(lacking))))
    if params["force"]:
        return
    if manifest["node"] != params["node"]:
        raise BackupError(
            "{} is a backup of {}, and this is {node}; force restores it all the same".format(
                path, manifest["node"], **params
            )
        )
    here = backup_archive.cluster_id(params["cluster_ca"])
    if here and manifest["cluster"] and here != manifest["cluster"]:
        raise BackupError(
            f"{path} is a backup of another cluster (its CA differs); force restores it all the same"
        )


def checked(module, use=None):
    """Verify the archive that is meant; `use` gets its parts while they lie in a scratch directory."""
    path, manifest = chosen(module)
    belongs_here(module, path, manifest)
    names = [part["name"] for part in module.params["components"]]
    scratch = tempfile.mkdtemp(dir=module.tmpdir)
    try:
        where = backup_archive.unpack(path, manifest, names, scratch)
        changed, restored = use(module, manifest, names, where) if use else (False, [])
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return told(path, manifest, changed, restored=restored)


def put_back(module, manifest, names, where):
    """Replace what differs; gives whether anything did, and what."""
    components = [part for name, part in manifest["components"].items() if not names or name in names]
    only_schema = module.params["restore_databases"] == "schema"
    entries = [e for part in components for e in part["entries"] if backup_restore.differs(e, only_schema)]
    if not module.check_mode:
        backup_restore.refuse_open_databases(entries)
        backup_restore.replace(entries, where)
    names = [entry["path"] for entry in entries]
    for held in [held for part in components for held in part["objects"] if held["count"]]:
        with open(where[held["member"]]) as file:
            objects = {"apiVersion": "v1", "kind": "List", "items": json.load(file)}
        command = ["apply", "--filename", "-", "--kube-config", module.params["kubeconfig"]]
        answer = ask(module, command + (["--check"] if module.check_mode else []), stdin=objects)
        names += ["{kind}/{name}".format(**one) for one in answer["objects"] if one["action"] != "unchanged"]
    return bool(names), names


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "verified", "restored"], "default": "present"},
            "node": {"type": "str", "required": True},
            "directory": {"type": "path", "default": "/var/backups/edgelab"},
            "archive": {"type": "path"},
            "version": {"type": "str", "default": ""},
            "cluster_ca": {"type": "list", "elements": "path", "default": []},
            "components": {"type": "list", "elements": "dict", "default": [], "options": COMPONENT_SPEC},
            "restore_databases": {"type": "str", "choices": ["always", "schema"], "default": "always"},
            "max_age": {"type": "int", "default": 0},
            "keep": {"type": "int", "default": 5},
            "force": {"type": "bool", "default": False},
            **KEADM_SPEC,
            **CLUSTER_SPEC,
        },
        supports_check_mode=True,
    )
    work = {"present": present, "verified": checked, "restored": lambda given: checked(given, put_back)}
    try:
        result = work[module.params["state"]](module)
    except (BackupError, DatabaseError, KeadmError, OSError) as error:
        module.fail_json(msg=f"edge_backup: {error}")
    if module._diff and result["changed"]:
        lines = result["restored"] or [result["archive"] or "a new archive in " + module.params["directory"]]
        result["diff"] = {"before": "", "after": "".join(line + "\n" for line in lines)}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
