"""edgelab.webhooks of cloudcore.yaml."""

from __future__ import annotations

from typing import Any

import pytest

from edgelab.settings import cloudcore


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"host": "10.0.0.1"}, ""),
        ({"host": "cloud.example"}, ""),
        ({"service": "cloudcore-webhooks"}, ""),
        ({"host": "a b"}, "edgelab.webhooks.host"),
        ({"host": "cloud", "service": "cloudcore"}, "edgelab.webhooks.service"),
        ({"enable": True, "port": 10002}, "edgelab.webhooks.port"),
        ({"enable": True, "port": 70000}, "edgelab.webhooks.port"),
    ],
)
def test_where_the_api_server_finds_the_webhooks(changes: dict[str, Any], field: str) -> None:
    settings = cloudcore.CloudCore()
    for name, value in changes.items():
        setattr(settings.edgelab.webhooks, name, value)
    found = [problem.field for problem in cloudcore.validate(settings)]
    assert found == ([field] if field else [])
