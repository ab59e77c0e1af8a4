"""A property's `pushMethod`: where a mapper sends samples, beside the twin."""

from edgelab.objects.pushmethods.methods import (
    Http,
    Influxdb2,
    Login,
    Method,
    Mqtt,
    Mysql,
    Otel,
    Redis,
    TDEngine,
)
from edgelab.objects.pushmethods.parse import NOTHING, Push, parse

__all__ = [
    "NOTHING",
    "Http",
    "Influxdb2",
    "Login",
    "Method",
    "Mqtt",
    "Mysql",
    "Otel",
    "Push",
    "Redis",
    "TDEngine",
    "parse",
]
