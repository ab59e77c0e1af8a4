"""Why a container or a volume cannot be had now, in the words that users of Kubernetes know."""

from __future__ import annotations


class ContainerProblem(Exception):
    """A container is not started; `reason` and the text become its waiting state."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class VolumeProblem(Exception):
    """A volume cannot be set up yet; the text says which and why."""


def config_error(message: str) -> ContainerProblem:
    """The pod's own description cannot be fulfilled (missing key, missing ConfigMap ...)."""
    return ContainerProblem("CreateContainerConfigError", message)
