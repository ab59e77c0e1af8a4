#!/usr/bin/python
# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""Ansible module: a container image from Debian packages, as an OCI archive."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: debian_image
short_description: Build a container image from Debian packages, without a registry
version_added: 1.0.0
author: edgelab contributors (@edgelab)
description:
  - Makes an OCI layout archive out of packages from the controller's Debian mirror. It can be imported with
    C(ctr -n k8s.io images import) and with C(docker load).
  - Packages are unpacked, never installed; of the libraries only those that the programs need are taken.
  - The same packages and options give the same archive, byte for byte, so a second run changes nothing.
    A newer package on the mirror gives a new image.
requirements:
  - apt-get and dpkg-deb on the host that runs the module (not for O(name=pause)).
options:
  name:
    description:
      - Which image. V(pause), V(busybox) and V(nginx) are known recipes; other options replace their parts.
      - Any other name needs O(packages).
    type: str
    required: true
  reference:
    description: Name and tag under which a container runtime knows the image after the import.
    type: str
    required: true
  dest:
    description: Path of the archive.
    type: path
    required: true
  packages:
    description: Debian packages whose files make the image.
    type: list
    elements: str
  entrypoint:
    description: Program and first arguments.
    type: list
    elements: str
  cmd:
    description: Further arguments, which a pod's C(args) replace.
    type: list
    elements: str
  wheels:
    description:
      - Python wheels whose modules go into the image, as paths on the host that runs the module.
      - The packages have to bring a Python that they fit.
    type: list
    elements: path
  libraries:
    description:
      - Debian packages of which only the shared libraries that something needs go into the image, beside
        those of the packages that O(packages) depend on. Wheels do not say which packages they need.
    type: list
    elements: str
  env:
    description: Variables of the environment, beside C(PATH).
    type: dict
  user:
    description: User and group (C(UID:GID)) that the program runs as. The default is root.
    type: str
  arch:
    description: Debian architecture of the image. The default is that of the host that runs the module.
    type: str
    choices: [amd64, arm64, armhf]
  cache_dir:
    description: Where downloaded packages are kept. The default is the directory C(packages) beside O(dest).
    type: path
attributes:
  check_mode:
    support: full
    description: Looks packages up, downloads nothing, and says whether the image would change.
  diff_mode:
    support: full
    description: Shows the reference and the packages' versions before and after.
"""

EXAMPLES = r"""
- name: Build the pause image
  edgelab.kubeedge.debian_image:
    name: pause
    reference: edgelab.local/pause:3.9
    dest: /var/cache/edgelab/images/pause.tar
  delegate_to: localhost

- name: Build nginx for a Raspberry Pi
  edgelab.kubeedge.debian_image:
    name: nginx
    reference: edgelab.local/nginx:1.22
    arch: arm64
    dest: /var/cache/edgelab/images/nginx-arm64.tar
  delegate_to: localhost

- name: Build an image of any other package
  edgelab.kubeedge.debian_image:
    name: mosquitto
    reference: edgelab.local/mosquitto:2.0
    packages: [mosquitto]
    entrypoint: [/usr/sbin/mosquitto]
    dest: /var/cache/edgelab/images/mosquitto.tar
  delegate_to: localhost
"""

RETURN = r"""
dest:
  description: Path of the archive.
  returned: always
  type: str
reference:
  description: Name and tag of the image.
  returned: always
  type: str
digest:
  description: Digest of the image's manifest. In check mode that of the archive before, if any.
  returned: always
  type: str
  sample: sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef
packages:
  description: Versions of the packages that went in, libraries included.
  returned: always
  type: dict
  sample: {nginx: 1.22.1-9+deb12u11}
"""

import os
import platform
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.edgelab.kubeedge.plugins.module_utils import (
    oci_archive,
    oci_packages,
    oci_recipes,
)

MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "armhf", "armv6l": "armhf"}


def choose_recipe(params: dict[str, Any]) -> oci_recipes.Recipe:
    """The recipe that the options describe. Raises ValueError when there is none."""
    recipe = oci_recipes.known().get(params["name"])
    if recipe is None:
        if not params["packages"]:
            known = ", ".join(oci_recipes.known())
            raise ValueError(f"packages is needed: {params['name']} is none of the known images ({known})")
        recipe = oci_recipes.Recipe()
    for key in ("packages", "entrypoint", "cmd", "wheels", "libraries", "env", "user"):
        if params.get(key) is not None:
            setattr(recipe, key, params[key])
    return recipe


def describe(reference: str, packages: str) -> str:
    """One side of a diff."""
    return "\n".join([f"reference: {reference}", *packages.split()]) + "\n" if reference else ""


def ensure(params: dict[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Bring the archive about; gives the module's result. Raises ValueError and PackageError."""
    recipe = choose_recipe(params)
    arch = params["arch"] or MACHINES.get(platform.machine(), "")
    if arch not in oci_archive.OCI_ARCHITECTURES:
        raise ValueError(f"arch is needed: no image is made for {platform.machine()}")
    dest, reference = Path(params["dest"]), params["reference"]
    mirror, packages = None, {}
    if recipe.packages:
        mirror = oci_packages.Mirror(arch, Path(params["cache_dir"] or dest.parent / "packages"))
        packages = mirror.lookup([*recipe.packages, *recipe.libraries])
    before = oci_archive.inspect(str(dest))
    after = oci_recipes.versions(packages)
    changed = before.get("inputs") != oci_recipes.input_hash(recipe, arch, reference, packages)
    digest = before.get("digest", "")
    if changed and not check_mode:
        data, digest = oci_recipes.build(recipe, arch, reference, packages, mirror).archive()
        write(dest, data)
    return {
        "changed": changed,
        "dest": str(dest),
        "reference": reference,
        "digest": digest,
        "packages": {name: package.version for name, package in packages.items()},
        "diff": {
            "before_header": str(dest),
            "after_header": str(dest),
            "before": describe(before.get("reference", ""), before.get("packages", "")),
            "after": describe(reference, after),
        },
    }


def write(dest: Path, data: bytes) -> None:
    """Replace the file in one step, so that nobody ever imports half of it."""
    dest.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=dest.parent, prefix=f".{dest.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).chmod(0o644)
        Path(name).replace(dest)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def main() -> None:
    """Run as Ansible starts it."""
    texts = {"type": "list", "elements": "str"}
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "reference": {"type": "str", "required": True},
            "dest": {"type": "path", "required": True},
            "packages": texts,
            "entrypoint": texts,
            "cmd": texts,
            "wheels": {"type": "list", "elements": "path"},
            "libraries": texts,
            "env": {"type": "dict"},
            "user": {"type": "str"},
            "arch": {"type": "str", "choices": ["amd64", "arm64", "armhf"]},
            "cache_dir": {"type": "path"},
        },
        supports_check_mode=True,
    )
    try:
        result = ensure(module.params, check_mode=module.check_mode)
    except (ValueError, OSError, oci_packages.PackageError) as error:
        module.fail_json(msg=f"image {module.params['reference']} cannot be built: {error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
