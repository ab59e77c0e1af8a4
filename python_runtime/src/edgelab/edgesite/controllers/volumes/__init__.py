"""Volumes and claims: static binding, reclaiming, protection (pkg/controller/volume).

Nothing is provisioned here: claims of a class with a provisioner wait for that provisioner.
"""

from edgelab.edgesite.controllers.volumes.binder import VolumeBinder
from edgelab.edgesite.controllers.volumes.protection import ProtectionController

__all__ = ["ProtectionController", "VolumeBinder"]
