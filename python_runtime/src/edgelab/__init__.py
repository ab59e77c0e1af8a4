"""KubeEdge's CloudCore and EdgeCore, and the EdgeSite control plane, in Python."""

__version__ = "1.0.0"
KUBEEDGE_VERSION = "v1.23.0"
"""The KubeEdge release whose protocol, CRDs and file formats this runtime follows."""
KUBERNETES_VERSION = "v1.32.10"
"""The Kubernetes release that EdgeCore's kubelet behaviour follows; Node objects report it."""
