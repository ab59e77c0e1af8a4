"""edged: a kubelet in miniature, fed by MetaManager and working through the container runtime."""

from edgelab.edgecore.edged.module import Edged

__all__ = ["Edged"]
