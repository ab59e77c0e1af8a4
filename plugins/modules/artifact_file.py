#!/usr/bin/python
# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""Ansible module: a file by URL and checksum, from the site or a mirror of it."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: artifact_file
short_description: Fetch a file by its URL and SHA-256
version_added: 1.0.0
author: edgelab contributors (@edgelab)
description:
  - Downloads a file in one step. It is there only when its content has the checksum, so a second run reads
    the file and changes nothing.
  - An error names the URL, the cause and the variables that help, and comes before any host is touched.
options:
  url:
    description: Where the file is. A user and a password in it are sent and never shown.
    type: str
    required: true
  sha256:
    description: The file's SHA-256 in hex.
    type: str
    required: true
  dest:
    description: Path of the file.
    type: path
    required: true
  variable:
    description: Name of the variable that overrides O(url); told in errors.
    type: str
    default: artifacts_urls
  username:
    description: User for HTTP basic authentication.
    type: str
  password:
    description: Password for HTTP basic authentication.
    type: str
  timeout:
    description: Seconds without an answer after which the site counts as unreachable.
    type: int
    default: 30
attributes:
  check_mode:
    support: full
    description: Says whether the file would be fetched.
  diff_mode:
    support: full
    description: Shows the checksum before and after.
"""

EXAMPLES = r"""
- name: Fetch runc for a Raspberry Pi
  edgelab.kubeedge.artifact_file:
    url: https://github.com/opencontainers/runc/releases/download/v1.4.3/runc.arm64
    sha256: 633301e2e32f8a5ad54031aab4901eb00308bec677dd15faa2751e8f9dab5ca4
    dest: /var/cache/edgelab/files/runc-1.4.3-arm64
  delegate_to: localhost
"""

RETURN = r"""
dest:
  description: Path of the file.
  returned: success
  type: str
url:
  description: Where it came from, without credentials.
  returned: success
  type: str
"""

import os
import re
from urllib.parse import unquote, urlsplit

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.edgelab.kubeedge.plugins.module_utils import fetching

HELP = (
    "Set artifacts_mirror or artifacts_mirrors to a mirror that this controller reaches, override the "
    "file's address in {variable}, or use a bundle (artifacts_bundle)"
)
CHECKSUM_HELP = (
    "Nothing was changed. If the file at the mirror is the right one, its checksum in {variable} is wrong; "
    "otherwise the mirror holds another file, or something on the way changed it"
)
ROOM_HELP = "Free some space, or set artifacts_cache_dir to a file system with more"


def advice(message):
    """What to do about an error of fetching."""
    if "SHA-256" in message:
        return CHECKSUM_HELP
    return ROOM_HELP if "no room" in message else HELP


def main():
    """Run as Ansible starts it."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "sha256": {"type": "str", "required": True},
            "dest": {"type": "path", "required": True},
            "variable": {"type": "str", "default": "artifacts_urls"},
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "timeout": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    options = module.params
    # Not to be seen in the invocation that Ansible shows with -vvv either.
    secret = urlsplit(options["url"]).password
    if secret:
        module.no_log_values.update({secret, unquote(secret)})
    expected, dest = options["sha256"].lower(), options["dest"]
    if not re.fullmatch("[0-9a-f]{64}", expected):
        module.fail_json(
            msg=f"the checksum of {fetching.without_password(options['url'])} is no SHA-256: {expected!r}. "
            f"Correct it in {options['variable']}"
        )
    before = fetching.sha256(dest) if os.path.exists(dest) else ""
    changed = before != expected
    if changed and not module.check_mode:
        try:
            fetching.fetch(
                options["url"],
                expected,
                dest,
                username=options["username"],
                password=options["password"],
                timeout=options["timeout"],
            )
        except fetching.FetchError as error:
            help_text = advice(str(error)).format(variable=options["variable"])
            module.fail_json(msg=f"{error}. {help_text}.")
    module.exit_json(
        changed=changed,
        dest=dest,
        url=fetching.without_password(options["url"]),
        diff={"before": before + "\n" if before else "", "after": expected + "\n"},
    )


if __name__ == "__main__":
    main()
