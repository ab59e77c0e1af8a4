"""cloudcore.yaml: KubeEdge's file is read as KubeEdge reads it, and findings name the field."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgelab.settings.cloudcore import CloudCore, minimal, validate
from edgelab.settings.document import dump, parse

VECTORS = Path(__file__).parent / "vectors"


def problems(text: str) -> dict[str, str]:
    return {p.field: p.message for p in validate(parse(text, CloudCore()).settings)}


def test_the_default_configuration_reads_back_as_itself_and_is_valid() -> None:
    loaded = parse(dump(CloudCore()), CloudCore())
    assert loaded.settings == CloudCore()
    assert loaded.unknown == []
    assert validate(loaded.settings) == []


def test_the_minimal_configuration_has_no_unknown_field_and_raises_the_node_limit() -> None:
    loaded = parse(dump(minimal()), CloudCore())
    assert loaded.unknown == []
    assert loaded.settings.modules.cloudHub.nodeLimit == 1000
    assert validate(loaded.settings) == []


def test_a_tutorial_s_file_is_read_as_it_is() -> None:
    text = (VECTORS / "cloudcore-v1alpha1.yaml").read_text()
    loaded = parse(text, CloudCore())
    assert loaded.unknown == []
    assert validate(loaded.settings) == []
    hub = loaded.settings.modules.cloudHub
    assert hub.advertiseAddress == ["192.0.2.38"]
    assert hub.tlsCertFile == "/etc/kubeedge/certs/edge.crt"
    assert loaded.settings.modules.router.enable


def test_the_chart_s_api_version_and_misspelt_worker_names_are_accepted() -> None:
    loaded = parse(
        """
        apiVersion: cloudcore.config.kubeedge.io/v1alpha2
        kind: CloudCore
        modules: {edgeController: {load: {ServiceAccountTokenWorkers: 7, CreatePodWorks: 2}}}
        """,
        CloudCore(),
    )
    assert loaded.unknown == []
    assert loaded.settings.modules.edgeController.load.ServiceAccountTokenWorkers == 7


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("modules: {cloudHub: {advertiseAddress: [cloud.example]}}", "modules.cloudHub.advertiseAddress[0]"),
        ("modules: {cloudHub: {dnsNames: ['-bad']}}", "modules.cloudHub.dnsNames[0]"),
        ("modules: {cloudHub: {websocket: {enable: false}}}", "modules.cloudHub.websocket.enable"),
        (
            "modules: {cloudHub: {quic: {enable: true, maxIncomingStreams: 0}}}",
            "modules.cloudHub.quic.maxIncomingStreams",
        ),
        ("modules: {cloudHub: {https: {port: 10000}}}", "modules.cloudHub.https.port"),
        ("modules: {cloudHub: {websocket: {port: 70000}}}", "modules.cloudHub.websocket.port"),
        ("modules: {cloudHub: {nodeLimit: 0}}", "modules.cloudHub.nodeLimit"),
        ("commonConfig: {monitorServer: {bindAddress: here}}", "commonConfig.monitorServer.bindAddress"),
        ("kind: EdgeCore", "kind"),
        ("edgelab: {window: 0}", "edgelab.window"),
    ],
)
def test_what_would_not_work_is_named_by_field(text: str, field: str) -> None:
    assert field in problems(text)
