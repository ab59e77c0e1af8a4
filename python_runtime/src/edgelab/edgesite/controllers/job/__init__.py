"""Jobs: pods that run to their end (pkg/controller/job)."""

from edgelab.edgesite.controllers.job.controller import JobController

__all__ = ["JobController"]
