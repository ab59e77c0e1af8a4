"""Volumes and claims: static binding, reclaiming, protection (pkg/controller/volume).

Nothing is provisioned here: claims of a class with a provisioner wait for that provisioner.
"""

from edgelab.edgesite.controllers.volumes.binder import VolumeBinder
from edgelab.edgesite.controllers.volumes.classes import ClassProtectionController
from edgelab.edgesite.controllers.volumes.ephemeral import EphemeralVolumeController
from edgelab.edgesite.controllers.volumes.expansion import ExpansionController
from edgelab.edgesite.controllers.volumes.protection import ProtectionController

__all__ = [
    "ClassProtectionController",
    "EphemeralVolumeController",
    "ExpansionController",
    "ProtectionController",
    "VolumeBinder",
]
