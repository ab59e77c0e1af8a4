"""CronJobs: jobs at their times (pkg/controller/cronjob)."""

from edgelab.edgesite.controllers.cronjob.controller import CronJobController

__all__ = ["CronJobController"]
