"""Settings of the kubelet part that follow from one another."""

from __future__ import annotations

from edgelab.settings.kubelet import TailoredKubeletConfig


def test_images_are_managed_where_containers_run_unless_another_socket_is_named() -> None:
    assert TailoredKubeletConfig().image_endpoint == "unix:///run/containerd/containerd.sock"
    own = "unix:///run/k3s/containerd.sock"
    assert TailoredKubeletConfig(containerRuntimeEndpoint=own).image_endpoint == own
    assert (
        TailoredKubeletConfig(containerRuntimeEndpoint=own, imageServiceEndpoint="unix:///i").image_endpoint
        == "unix:///i"
    )
