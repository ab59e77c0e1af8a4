#!/usr/bin/python
# Copyright (c) edgelab contributors
# SPDX-License-Identifier: Apache-2.0
"""Install, switch and remove versions of the edgelab runtime."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edge_runtime
short_description: Install, activate and roll back the edgelab runtime
version_added: 1.0.0
description:
  - Builds the wheel of C(python_runtime/) and gathers the locked wheels it needs, both on the controller and
    only when they are not in its cache, brings them to the host as one file, and installs them there into a
    virtual environment of their own without any package index.
  - The version is C(1.0.0+) and the first 12 hex digits of a hash over the runtime's sources and locks, so
    equal sources are installed once and a second run changes nothing. O(extras) are part of it
    (C(1.0.0+3fb2c19a07de.modbus)).
  - A version becomes the current one by a single rename, after its programs could be imported. Versions that
    came before stay for O(state=rolled_back). Running services are not touched; restart them in a handler.
  - The host needs Python 3.11 or later with the module C(venv); it needs neither C(pip) nor C(python3-venv).
author:
  - edgelab contributors (@edgelab)
options:
  state:
    description:
      - V(present) installs and activates the version of the sources.
      - V(rolled_back) activates the version that was current before, or O(version).
      - V(absent) removes O(version), or the whole O(root) without it.
    type: str
    choices: [present, absent, rolled_back]
    default: present
  profile:
    description:
      - Which of C(locks/*.lock) to install.
      - V(edge) for edge nodes, V(cloud) for those of CloudCore and EdgeSite, V(site) for both on one host.
      - What the packages of V(edge) cannot run is left out there, EdgeSite and the console among it.
    type: str
    choices: [edge, cloud, site]
    default: edge
  extras:
    description:
      - Further locks to install, each C(locks/<name>.lock), with what some mappers need.
      - V(modbus) has pymodbus and pyserial, V(opcua) has asyncua. Not with O(profile=cloud).
    type: list
    elements: str
    default: []
  root:
    description: Where versions are kept on the host.
    type: path
    default: /opt/edgelab
  python:
    description: The Python on the host that the virtual environment is made from.
    type: path
    default: /usr/bin/python3
  version:
    description:
      - The version to roll back to or to remove.
      - With O(state=present) it is found from the sources, and this option is left out.
    type: str
  keep:
    description: How many versions stay on the host, the current and the previous one always among them.
    type: int
    default: 2
  source:
    description:
      - The runtime's sources on the controller; by default those that came with this collection.
    type: path
  cache_dir:
    description: Where the controller keeps wheels and finished bundles.
    type: path
    default: ~/.cache/edgelab
  wheelhouse:
    description:
      - A directory on the controller with all wheels that the lock names, such as C(wheelhouse) of a bundle.
      - Wheels that its file C(built.lock) names are accepted by the hashes stated there. The runtime's own
        wheel is taken from it too when it is of the version of the sources.
      - Without it, wheels that are not in the cache are fetched with the controller's own pip settings.
    type: path
  index_url:
    description:
      - The package index to fetch wheels from, instead of that of the controller's own pip settings.
      - It may hold a user and a password; it is never put on a command line and never shown.
    type: str
  bundle:
    description: Set by this module itself. The file on the host that holds what to install.
    type: path
extends_documentation_fragment:
  - edgelab.kubeedge.attributes
attributes:
  action:
    description: The part that runs on the controller builds and sends the bundle.
    support: full
notes:
  - Unlike most modules this one works on two machines. O(source), O(cache_dir) and O(wheelhouse) are paths on
    the controller, O(root) and O(python) are paths on the host.
"""

EXAMPLES = r"""
- name: Install the runtime of this collection on an edge node
  edgelab.kubeedge.edge_runtime:
    profile: edge
    cache_dir: "{{ edgelab_cache_dir }}"

- name: Go back to the version before
  edgelab.kubeedge.edge_runtime:
    state: rolled_back

- name: Remove the runtime
  edgelab.kubeedge.edge_runtime:
    state: absent
"""

RETURN = r"""
version:
  description: The version that is current now, or would be.
  type: str
  returned: success
  sample: 1.0.0+3fb2c19a07de
previous:
  description: The version that O(state=rolled_back) would go back to.
  type: str
  returned: success
bin_dir:
  description: The directory of the current version's programs.
  type: str
  returned: success
  sample: /opt/edgelab/current/bin
versions:
  description: All versions on the host, the one installed last first.
  type: list
  elements: str
  returned: success
installed:
  description: Whether this run installed the version, rather than only activating it.
  type: bool
  returned: success
"""

import glob
import importlib.metadata
import json
import os
import shutil
import subprocess
import tarfile
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.edgelab.kubeedge.plugins.module_utils.runtime_layout import COMPLETE, Layout

OLDEST_PYTHON = (3, 11)
INSTALL_TIMEOUT = 600
PROBE = (
    "import json, platform, sys; print(json.dumps({'version': list(sys.version_info[:2]), "
    "'machine': platform.machine(), 'libc': platform.libc_ver(sys.executable), "
    "'bits': sys.maxsize.bit_length() + 1}))"
)


class RuntimeFailure(Exception):
    """The runtime cannot be installed; the message names the step and the cause."""


def probe(python):
    """What of the host's Python decides which wheels fit. Raises RuntimeFailure."""
    try:
        done = subprocess.run(
            [python, "-I", "-c", PROBE], capture_output=True, text=True, check=True, timeout=60
        )
        facts = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise RuntimeFailure(f"{python} does not run: {error}") from None
    if tuple(facts["version"]) < OLDEST_PYTHON:
        found = ".".join(map(str, facts["version"]))
        raise RuntimeFailure(f"the runtime needs Python 3.11 or later, {python} is {found}")
    return facts


def run(step, command, **environment):
    """Run a command of the installation. Raises RuntimeFailure with the last lines it said."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "PYTHON"))}
    try:
        done = subprocess.run(
            command,
            env=dict(inherited, PIP_CONFIG_FILE=os.devnull, **environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=INSTALL_TIMEOUT,
            cwd="/",
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise RuntimeFailure(f"{step}: {error}") from None
    if done.returncode:
        words = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise RuntimeFailure("{}: {}".format(step, " | ".join(words[-4:])))


def install(layout, version, python, bundle):
    """Unpack the bundle and make a virtual environment of it. Raises RuntimeFailure."""
    venv = layout.venv(version)
    shutil.rmtree(venv, ignore_errors=True)
    os.makedirs(layout.venvs, mode=0o755, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=layout.root, prefix=".unpack-") as unpacked:
        unpack(bundle, unpacked)
        with open(os.path.join(unpacked, "bundle.json")) as file:
            manifest = json.load(file)
        if manifest["version"] != version:
            raise RuntimeFailure("the bundle holds {} instead of {}".format(manifest["version"], version))
        run("making a virtual environment", [python, "-I", "-m", "venv", "--without-pip", venv])
        fill(venv, unpacked)
        leave_out(venv, manifest.get("leaves_out", []))
        program = os.path.join(venv, "bin", "python")
        run("compiling", [program, "-I", "-m", "compileall", "-q", "-j", "0", os.path.join(venv, "lib")])
        imports = "import " + ", ".join(manifest["verify"])
        run("checking that the programs load", [program, "-I", "-c", imports])
    with open(os.path.join(venv, COMPLETE), "w") as file:
        json.dump(manifest, file)


def unpack(bundle, target):
    """Extract a tar file of ours."""
    with tarfile.open(bundle) as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(target, filter="data")
        else:
            tar.extractall(target)  # noqa: S202 - made by our own action plugin; this Python knows no filter


def fill(venv, unpacked):
    """Install every wheel of the bundle, by hash, with the pip that came along."""
    pip = glob.glob(os.path.join(unpacked, "installer", "pip-*.whl"))
    if not pip:
        raise RuntimeFailure("the bundle holds no pip")
    command = [os.path.join(venv, "bin", "python"), "-m", "pip", "install", "--quiet", "--no-compile"]
    command += [
        "--no-index",
        "--no-deps",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--root-user-action=ignore",
    ]
    command += ["--find-links", os.path.join(unpacked, "wheels"), "--require-hashes"]
    command += ["-r", os.path.join(unpacked, "requirements.txt")]
    run("installing the wheels", command, PYTHONPATH=pip[0])


def leave_out(venv, parts):
    """Take away parts of the runtime that this host has no packages for, and their programs."""
    (packages,) = glob.glob(os.path.join(glob.escape(venv), "lib", "python*", "site-packages"))
    for part in parts:
        try:
            shutil.rmtree(os.path.join(packages, "edgelab", *part.split("/")))
        except FileNotFoundError:
            raise RuntimeFailure(f"the lock leaves out {part}, which the runtime does not have") from None
    modules = tuple("edgelab.{}.".format(part.replace("/", ".")) for part in parts)
    for distribution in importlib.metadata.distributions(name="edgelab", path=[packages]):
        for script in distribution.entry_points:
            if script.value.startswith(modules):
                os.remove(os.path.join(venv, "bin", script.name))


def present(module, layout):
    """Install if need be, then activate."""
    version = module.params["version"]
    if not version:
        raise RuntimeFailure("no version given: this module is run through its action plugin")
    installed = layout.is_complete(version)
    result = {
        "changed": not installed or layout.linked("current") != version,
        "version": version,
        "installed": False,
    }
    if not result["changed"] or module.check_mode:
        return result
    if not installed:
        bundle = module.params["bundle"]
        if not bundle:
            module.exit_json(changed=False, needs_bundle=True, python=probe(module.params["python"]))
        install(layout, version, module.params["python"], bundle)
        result["installed"] = True
    layout.activate(version)
    layout.prune(module.params["keep"])
    return result


def rolled_back(module, layout):
    """Make an earlier version current."""
    current = layout.linked("current")
    version = module.params["version"] or layout.linked("previous")
    if not version:
        raise RuntimeFailure(f"there is no earlier version to go back to below {layout.root}")
    if not layout.is_complete(version):
        known = ", ".join(layout.versions()) or "none"
        raise RuntimeFailure(f"version {version} is not installed; installed: {known}")
    if version != current and not module.check_mode:
        layout.roll_back(version)
    return {"changed": version != current, "version": version, "installed": False}


def absent(module, layout):
    """Remove one version, or everything."""
    version = module.params["version"]
    current = layout.linked("current")
    if not version:
        changed = os.path.isdir(layout.root)
        if changed and not module.check_mode:
            layout.remove_all()
        return {"changed": changed, "version": "", "installed": False}
    if version == current:
        raise RuntimeFailure(f"version {version} is the current one: activate another first")
    changed = os.path.isdir(layout.venv(version))
    if changed and not module.check_mode:
        layout.remove(version)
    return {"changed": changed, "version": current or "", "installed": False}


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent", "rolled_back"], "default": "present"},
            "profile": {"type": "str", "choices": ["edge", "cloud", "site"], "default": "edge"},
            "extras": {"type": "list", "elements": "str", "default": []},
            "root": {"type": "path", "default": "/opt/edgelab"},
            "python": {"type": "path", "default": "/usr/bin/python3"},
            "version": {"type": "str"},
            "keep": {"type": "int", "default": 2},
            "source": {"type": "path"},
            "cache_dir": {"type": "path", "default": "~/.cache/edgelab"},
            "wheelhouse": {"type": "path"},
            "index_url": {"type": "str", "no_log": True},
            "bundle": {"type": "path"},
        },
        supports_check_mode=True,
    )
    layout = Layout(module.params["root"])
    before = layout.linked("current") or ""
    try:
        result = {"present": present, "rolled_back": rolled_back, "absent": absent}[module.params["state"]](
            module, layout
        )
    except (RuntimeFailure, OSError, tarfile.TarError) as error:
        module.fail_json(msg=f"edge_runtime: {error}")
    if module._diff:
        result["diff"] = {
            "before": before + "\n" if before else "",
            "after": result["version"] + "\n" if result["version"] else "",
            "before_header": os.path.join(layout.root, "current"),
            "after_header": os.path.join(layout.root, "current"),
        }
    module.exit_json(
        previous=layout.linked("previous") or "",
        bin_dir=os.path.join(layout.root, "current", "bin"),
        versions=layout.versions(),
        **result,
    )


if __name__ == "__main__":
    main()
