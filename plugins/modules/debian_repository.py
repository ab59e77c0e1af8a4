#!/usr/bin/python
# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""Ansible module: Debian packages with all they depend on, as a flat repository in one tar file."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: debian_repository
short_description: Gather Debian packages with their dependencies into a flat repository
version_added: 1.0.0
author: edgelab contributors (@edgelab)
description:
  - Makes a tar file with packages, all they depend on, C(Packages), C(Packages.gz) and C(Release), for any
    suite and architecture. Unpacked on a host it is an apt source (C(deb [trusted=yes] file:/path ./)).
  - apt resolves with lists of its own and checks signatures; the machine's own packages play no part.
requirements:
  - apt and dpkg on the host that runs the module.
options:
  dest:
    description: Path of the tar file.
    type: path
    required: true
  suite:
    description: The suite that the packages are for, such as V(bookworm).
    type: str
    required: true
  arch:
    description: Debian architecture.
    type: str
    required: true
    choices: [amd64, arm64, armhf]
  packages:
    description: Packages that must be there.
    type: list
    elements: str
    required: true
  optional_packages:
    description: Packages that are taken where a source has them, and else reported in RV(absent).
    type: list
    elements: str
    default: []
  sources:
    description: Where packages come from.
    type: list
    elements: dict
    required: true
    suboptions:
      uri:
        description: Address of the repository.
        type: str
        required: true
      suite:
        description: Suite, or a path that ends with a slash.
        type: str
        required: true
      components:
        description: Components, separated by spaces.
        type: str
        default: main
      signed_by:
        description: Keyring. The default is Debian's.
        type: path
      required:
        description: Whether it is an error when it cannot be read; otherwise it is reported in RV(absent).
        type: bool
        default: true
  cache_dir:
    description: Where lists and packages are kept.
    type: path
    required: true
attributes:
  check_mode:
    support: partial
    description: Tells what would change without changing anything.
    details: Says that a repository would be made when there is none; reads nothing from the sources.
  diff_mode:
    support: full
    description: Shows the Release file's SHA-256 before and after.
"""

EXAMPLES = r"""
- name: Gather what edge nodes with Debian 12 need
  edgelab.kubeedge.debian_repository:
    dest: /srv/bundle/apt/bookworm-arm64.tar
    suite: bookworm
    arch: arm64
    packages: [containerd, mosquitto]
    sources:
      - uri: http://deb.debian.org/debian
        suite: bookworm
      - uri: http://deb.debian.org/debian-security
        suite: bookworm-security
    cache_dir: /var/cache/edgelab/apt/bookworm-arm64
  delegate_to: localhost
"""

RETURN = r"""
dest:
  description: Path of the tar file.
  returned: success
  type: str
release:
  description: SHA-256 of its file C(Release).
  returned: success
  type: str
packages:
  description: Versions by name.
  returned: success
  type: dict
absent:
  description: Sources and optional packages that could not be had, each with the reason.
  returned: success
  type: list
  elements: dict
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.edgelab.kubeedge.plugins.module_utils import debian_repository as repository


def gather(options):
    """Make the repository; the module's result. Raises RepositoryError."""
    dest = Path(options["dest"])
    before = repository.release_of(dest)
    apt = repository.Apt(options["cache_dir"], options["arch"], options["sources"])
    apt.update()
    optional = apt.available(options["optional_packages"])
    absent = [
        {"what": f"package {name} for {options['suite']} {options['arch']}", "reason": "no source has it"}
        for name in options["optional_packages"]
        if name not in optional
    ]
    files = apt.download([*options["packages"], *optional])
    after = repository.write(dest, files, options["suite"], options["arch"])
    return {
        "changed": before != after,
        "dest": str(dest),
        "release": after,
        "packages": repository.versions(files),
        "absent": [*apt.absent, *absent],
        "diff": {"before": before + "\n" if before else "", "after": after + "\n"},
    }


def main():
    """Run as Ansible starts it."""
    source = {
        "uri": {"type": "str", "required": True},
        "suite": {"type": "str", "required": True},
        "components": {"type": "str", "default": "main"},
        "signed_by": {"type": "path"},
        "required": {"type": "bool", "default": True},
    }
    module = AnsibleModule(
        argument_spec={
            "dest": {"type": "path", "required": True},
            "suite": {"type": "str", "required": True},
            "arch": {"type": "str", "required": True, "choices": ["amd64", "arm64", "armhf"]},
            "packages": {"type": "list", "elements": "str", "required": True},
            "optional_packages": {"type": "list", "elements": "str", "default": []},
            "sources": {"type": "list", "elements": "dict", "required": True, "options": source},
            "cache_dir": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        before = repository.release_of(Path(module.params["dest"]))
        module.exit_json(
            changed=not before, dest=module.params["dest"], release=before, packages={}, absent=[], diff={}
        )
    try:
        module.exit_json(**gather(module.params))
    except (repository.RepositoryError, OSError) as error:
        module.fail_json(msg=f"packages for {module.params['suite']} {module.params['arch']}: {error}")


if __name__ == "__main__":
    main()
