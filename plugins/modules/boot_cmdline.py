#!/usr/bin/python
# Copyright (c) edgelab contributors
# SPDX-License-Identifier: Apache-2.0
"""Keep arguments on the kernel command line that a board's firmware reads."""

from __future__ import annotations

DOCUMENTATION = r"""
module: boot_cmdline
short_description: Keep arguments on a board's kernel command line
version_added: 1.0.0
description:
  - Edits C(cmdline.txt), the file from which the firmware of a Raspberry Pi takes the kernel command line.
  - The file is a set of arguments on one line. The firmware reads the first line only, so this module never
    adds a second one. Arguments that are not named stay what they are, where they are; a missing one goes to
    the end, and the newline at the end of the file stays as it was.
  - The file lies on a FAT partition. It is replaced by a synchronised copy beside it, so that a power cut
    leaves the old line or the new one.
author:
  - edgelab contributors (@edgelab)
options:
  arguments:
    description:
      - Arguments, each C(key) or C(key=value), without white space.
      - With O(state=present), C(key=value) is added beside other values of that key, because some keys, such
        as C(console), may stand there many times. O(exclusive) replaces those.
      - With O(state=absent), C(key) removes the argument C(key) and each C(key=...), and C(key=value) only
        itself.
    type: list
    elements: str
    required: true
  state:
    description: Whether the arguments are to be there.
    type: str
    choices: [present, absent]
    default: present
  exclusive:
    description: Whether an argument that is added replaces all others of its key. Only with O(state=present).
    type: bool
    default: false
  path:
    description:
      - The file. By default the first that exists of C(/boot/firmware/cmdline.txt) (Raspberry Pi OS 12 and
        later, Ubuntu) and C(/boot/cmdline.txt) (older ones).
      - A symbolic link is followed, and so is the text that Raspberry Pi OS 12 leaves in
        C(/boot/cmdline.txt), which only says where the file has moved to.
    type: path
  running:
    description: Where the command line of the running kernel is read from.
    type: path
    default: /proc/cmdline
  backup:
    description: Keep a copy with a time stamp beside the file before it is changed.
    type: bool
    default: false
extends_documentation_fragment:
  - edgelab.kubeedge.attributes
"""

EXAMPLES = r"""
- name: Switch the memory controller on
  edgelab.kubeedge.boot_cmdline:
    arguments: [cgroup_enable=memory, cgroup_memory=1]
  register: cmdline # cmdline.reboot_required tells whether the kernel runs with them

- name: Do not let the kernel write to the serial port
  edgelab.kubeedge.boot_cmdline:
    arguments: [console=serial0]
    state: absent
    backup: true
"""

RETURN = r"""
path:
  description: The file that the firmware reads.
  type: str
  returned: always
before:
  description: The line that was found.
  type: str
  returned: always
after:
  description: The line as it is now, or would be in check mode.
  type: str
  returned: always
reboot_required:
  description:
    - Whether the running kernel lacks an argument that is to be there, or has one that is not to be there.
    - Also true when the file was right already and the host has not been booted since.
  type: bool
  returned: always
backup_file:
  description: The copy that was kept.
  type: str
  returned: when O(backup) and changed
"""

import contextlib
import os
import re
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

PLACES = ("/boot/firmware/cmdline.txt", "/boot/cmdline.txt")
SPLIT = re.compile(r'(?:[^\s"]|"[^"]*(?:"|$))+')
"""An argument, as the kernel splits them: white space inside double quotes belongs to it (lib/cmdline.c)."""
MOVED = re.compile(r"\b(?:moved|located|edit)\b.*?(/[^\s'\"]*cmdline\.txt)", re.IGNORECASE | re.DOTALL)
MAX_LINKS = 4


class CmdlineError(Exception):
    """The file cannot be used; the message names it and what to do."""


def split(line):
    """Arguments of a command line, in order."""
    return SPLIT.findall(line)


def key_of(argument):
    """`key` of `key=value`. The kernel takes dashes and underscores in keys as the same (parameqn)."""
    return argument.partition("=")[0].replace("-", "_")


def same(one, other):
    """Whether two arguments say the same to the kernel."""
    return key_of(one) == key_of(other) and one.partition("=")[1:] == other.partition("=")[1:]


def matches(argument, wanted):
    """Whether `argument` is one that removing `wanted` means."""
    return same(argument, wanted) if "=" in wanted else key_of(argument) == key_of(wanted)


def present(found, wanted, exclusive):
    """The arguments `found` with each of `wanted`; what was there keeps its place."""
    result = list(found)
    for argument in wanted:
        if exclusive:
            result = alone(result, argument)
        if not any(same(x, argument) for x in result):
            result.append(argument)
    return result


def alone(found, argument):
    """The arguments `found`, in which `argument` takes the first place of its key and the others of it go."""
    result, stands = [], False
    for other in found:
        if key_of(other) != key_of(argument):
            result.append(other)
        elif not stands:
            result.append(other if same(other, argument) else argument)
            stands = True
    return result


def absent(found, unwanted):
    """The arguments `found` without each of `unwanted`."""
    return [x for x in found if not any(matches(x, argument) for argument in unwanted)]


def edit(text, change):
    """The text of a cmdline.txt after `change` of its arguments: exactly one line.

    Text whose arguments stay the same comes back untouched, spaces included; only a text of several lines, of
    which the firmware reads but the first, becomes one.
    """
    ending = "\n" if text.endswith("\n") else ""
    lines = [line for line in text.splitlines() if line.strip()]
    found = split(lines[0]) if lines else []
    result = change(found)
    if result == found and len(lines) <= 1 and text.strip("\n") == (lines[0] if lines else ""):
        return text
    return " ".join(result) + ending


def check_arguments(arguments):
    """Refuses what is no single argument.

    Raises:
        CmdlineError: naming it.
    """
    for argument in arguments:
        if split(argument) != [argument] or not key_of(argument) or argument.count('"') % 2:
            raise CmdlineError(
                f"{argument!r} is no argument of a kernel command line: write key or key=value,"
                " one argument an item, white space only in double quotes"
            )


def locate(path, places=PLACES, links=0):
    """The file that the firmware reads, and its text, from the file that was named.

    Raises:
        CmdlineError: there is none.
    """
    if path is None:
        path = next((place for place in places if os.path.exists(place)), None)
        if path is None:
            raise CmdlineError(
                f"there is none of {' and '.join(places)}: is the boot partition mounted?"
                " Set `path` where it is another file"
            )
    real = os.path.realpath(path)
    try:
        text = Path(real).read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise CmdlineError(f"there is no {path}: is the boot partition mounted?") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CmdlineError(f"{path} cannot be read as text: {error}") from None
    moved = MOVED.search(text)
    if moved and not _boots(text):
        if links == MAX_LINKS:
            raise CmdlineError(f"{path} points to {moved.group(1)}, which points on and on")
        return locate(moved.group(1), places, links + 1)
    return real, text


def _boots(text):
    """Whether the first line is a command line and no sentence: it says where the root file system is."""
    return any(key_of(argument) == "root" for argument in split(text.partition("\n")[0]))


def write(path, text):
    """Puts `text` in the place of the file, such that a power cut leaves the old one or this one.

    FAT has no owners or modes to keep; on other file systems they are those of the old file.
    """
    folder = os.path.dirname(path)
    old = os.stat(path)
    descriptor, draft = tempfile.mkstemp(dir=folder, prefix=".cmdline.", suffix=".new")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode("utf-8"))
            with contextlib.suppress(PermissionError):
                os.fchmod(descriptor, old.st_mode & 0o7777)
                os.fchown(descriptor, old.st_uid, old.st_gid)
            file.flush()
            os.fsync(descriptor)
        os.replace(draft, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
        raise
    sync_folder(folder)


def sync_folder(folder):
    """Waits until the names in `folder` are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reboot_required(running, arguments, state):
    """Whether the running kernel differs from what is asked of the file."""
    if state == "absent":
        return absent(running, arguments) != running
    return any(not any(same(x, argument) for x in running) for argument in arguments)


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "arguments": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "exclusive": {"type": "bool", "default": False},
            "path": {"type": "path"},
            "running": {"type": "path", "default": "/proc/cmdline"},
            "backup": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    options = module.params
    arguments, state = options["arguments"], options["state"]

    def change(found):
        if state == "absent":
            return absent(found, arguments)
        return present(found, arguments, options["exclusive"])

    try:
        check_arguments(arguments)
        path, before = locate(options["path"])
        running = split(Path(options["running"]).read_text(encoding="utf-8"))
    except (CmdlineError, OSError) as error:
        module.fail_json(msg=f"boot_cmdline: {error}")
    after = edit(before, change)
    result = {
        "changed": after != before,
        "path": path,
        "before": before.rstrip("\n"),
        "after": after.rstrip("\n"),
        "reboot_required": reboot_required(running, arguments, state),
    }
    if module._diff:
        result["diff"] = {"before": before, "after": after, "before_header": path, "after_header": path}
    if result["changed"] and not module.check_mode:
        try:
            if options["backup"]:
                result["backup_file"] = module.backup_local(path)
            write(path, after)
        except OSError as error:
            module.fail_json(msg=f"boot_cmdline: {path} cannot be written: {error.strerror}", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
