# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""The `pause` program as a complete static ELF file, made without a compiler.

A pod's first process holds its namespaces open, ends on SIGINT or SIGTERM and collects orphaned
children. That is five system calls, so the machine code is kept here and the ELF header is built
around it: the same bytes on every controller, for every architecture, 4 KiB of memory on the node.

Each program is, in C:

    sigset_t set = {SIGINT, SIGTERM, SIGCHLD};
    rt_sigprocmask(SIG_BLOCK, &set, NULL, 8);       // blocked signals reach even process 1
    for (;;) {
        int number = rt_sigtimedwait(&set, NULL, NULL, 8);
        if (number < 0) continue;                   // EINTR
        if (number != SIGCHLD) exit(0);
        while (wait4(-1, NULL, WNOHANG, NULL) > 0) {}
    }

The last eight bytes are the signal set, 0x14002. `objdump -b binary -D -m <machine>` lists the rest.
"""

from __future__ import annotations

import struct

BASE = 0x400000
HEADER = 0x80  # room for the ELF header and one program header, in both word sizes

AMD64 = """
b80e000000 31ff 488d3552000000 31d2 41ba08000000 0f05
b880000000 488d3d3c000000 31f6 31d2 41ba08000000 0f05 85c0 78e4 83f811 751b
b83d000000 4883cfff 31f6 ba01000000 4531d2 0f05 85c0 7fe7 ebc4
31ff b83c000000 0f05 0f1f00 0240010000000000
"""

ARM64 = """
000080d2 61030010 020080d2 030180d2 e81080d2 010000d4
c0020010 010080d2 020080d2 030180d2 281180d2 010000d4 1f0000f1 2bffff54 1f4400f1 41010054
00008092 010080d2 220080d2 030080d2 882080d2 010000d4 1f0000f1 2cffff54 eeffff17
000080d2 a80b80d2 010000d4 0240010000000000
"""

ARMHF = """
0000a0e3 64108fe2 0020a0e3 0830a0e3 af70a0e3 000000ef
50008fe2 0010a0e3 0020a0e3 0830a0e3 b170a0e3 000000ef 000050e3 f7ffffba 110050e3 0800001a
0000e0e3 0010a0e3 0120a0e3 0030a0e3 7270a0e3 000000ef 000050e3 f7ffffca ecffffea
0000a0e3 0170a0e3 000000ef 0240010000000000
"""

# Debian architecture -> (ELF machine, 64 bit, ELF flags, code)
PROGRAMS = {
    "amd64": (62, True, 0, AMD64),
    "arm64": (183, True, 0, ARM64),
    "armhf": (40, False, 0x5000400, ARMHF),
}


def pause_program(arch: str) -> bytes:
    """The executable for a Debian architecture. Raises KeyError for one that is not in PROGRAMS."""
    machine, wide, flags, text = PROGRAMS[arch]
    code = bytes.fromhex("".join(text.split()))
    size = HEADER + len(code)
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1, 1]) + bytes(9)
    if wide:
        head = struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, BASE + HEADER, 64, 0, flags, 64, 56, 1, 0, 0, 0)
        segment = struct.pack("<IIQQQQQQ", 1, 5, 0, BASE, BASE, size, size, 0x10000)
    else:
        head = struct.pack("<HHIIIIIHHHHHH", 2, machine, 1, BASE + HEADER, 52, 0, flags, 52, 32, 1, 0, 0, 0)
        segment = struct.pack("<IIIIIIII", 1, 0, BASE, BASE, size, size, 5, 0x10000)
    return (ident + head + segment).ljust(HEADER, b"\0") + code
