"""DaemonSets: one pod on every node that fits (pkg/controller/daemon)."""

from edgelab.edgesite.controllers.daemonset.controller import DaemonSetController

__all__ = ["DaemonSetController"]
