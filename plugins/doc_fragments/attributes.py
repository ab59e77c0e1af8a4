"""Documentation that the modules of this collection share."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes of modules that change a host or the cluster."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Tells what would change without changing anything.
    support: full
  diff_mode:
    description: Returns what differs when the task runs in diff mode.
    support: full
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
  platform:
    description: Operating systems the module runs on.
    support: full
    platforms: debian
"""

    KEADM = r"""
options:
  keadm:
    description:
      - Path of C(keadm) on the host; it does the work, this module only asks it.
    type: path
    default: /opt/edgelab/current/bin/keadm
"""

    CLUSTER = r"""
options:
  kubeconfig:
    description:
      - Path, on the host, of the kubeconfig of an administrator.
    type: path
    default: /etc/edgelab/admin.kubeconfig
"""
