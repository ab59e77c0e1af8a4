"""Deployments: rolling changes of a pod template through ReplicaSets (pkg/controller/deployment)."""

from edgelab.edgesite.controllers.deployment.controller import DeploymentController

__all__ = ["DeploymentController"]
