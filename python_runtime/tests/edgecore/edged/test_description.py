"""From a Pod to environment, limits, names, resolver and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.component.edged.meta import FakeMeta
from tests.edgecore.edged.samples import HandClock, pod

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.edgecore.edged import (
    atomic,
    builder,
    cgroups,
    env,
    names,
    podspec,
    resolver,
    security,
    volumes,
)
from edgelab.edgecore.edged.atomic import File
from edgelab.edgecore.edged.credentials import location
from edgelab.edgecore.edged.fields import PodFacts
from edgelab.edgecore.edged.problems import ContainerProblem, VolumeProblem
from edgelab.edgecore.edged.restarts import Backoff

Obj = dict[str, Any]
FACTS = PodFacts(["10.0.0.2"], ["192.168.1.20"], "edge1", {"cpu": "2", "memory": "1Gi"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)-$(B)", "1-$(B)"),
        ("$$(A)", "$(A)"),
        ("$A $", "$A $"),
        ("$(A", "$(A"),
        ("$$$(A)", "$1"),
    ],
)
def test_variables_expand_as_kubernetes_documents(text: str, expected: str) -> None:
    assert env.expand(text, {"A": "1"}) == expected


async def test_environment_takes_all_its_sources_in_order() -> None:
    meta = FakeMeta()
    meta.put("configmap", "settings", {"A": "one", "B": "two"})
    meta.put("secret", "hidden", {"password": "geheim"})
    container = {
        "name": "main",
        "resources": {"limits": {"cpu": "1500m", "memory": "64Mi"}},
        "envFrom": [
            {"configMapRef": {"name": "settings"}, "prefix": "P_"},
            {"secretRef": {"name": "absent", "optional": True}},
        ],
        "env": [
            {"name": "PLAIN", "value": "x"},
            {"name": "COMBINED", "value": "$(PLAIN)/$(P_A)"},
            {"name": "PASS", "valueFrom": {"secretKeyRef": {"name": "hidden", "key": "password"}}},
            {
                "name": "MAYBE",
                "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "no", "optional": True}},
            },
            {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            {
                "name": "MEM",
                "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}},
            },
        ],
    }
    values = await env.environment(pod(container), container, meta, FACTS)
    assert values == {
        "P_A": "one",
        "P_B": "two",
        "PLAIN": "x",
        "COMBINED": "x/one",
        "PASS": "geheim",
        "LABEL": "web",
        "NODE": "edge1",
        "CPU": "2",
        "MEM": "64",
    }


async def test_missing_key_is_named_as_the_kubelet_names_it() -> None:
    meta = FakeMeta()
    meta.put("secret", "hidden", {})
    variable = {"name": "X", "valueFrom": {"secretKeyRef": {"name": "hidden", "key": "k"}}}
    container = {"name": "main", "env": [variable]}
    with pytest.raises(ContainerProblem, match="couldn't find key k in Secret default/hidden") as caught:
        await env.environment(pod(container), container, meta, FACTS)
    assert caught.value.reason == "CreateContainerConfigError"


async def test_absent_object_while_offline_says_that_the_cloud_is_needed() -> None:
    meta = FakeMeta()
    meta.online = False
    container = {"name": "main", "envFrom": [{"configMapRef": {"name": "settings"}}]}
    with pytest.raises(ContainerProblem, match="is not stored on this node"):
        await env.environment(pod(container), container, meta, FACTS)


LIMITED = {"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "128Mi"}}


@pytest.mark.parametrize(
    ("resources", "qos", "group"),
    [
        ({}, "BestEffort", "/kubepods/besteffort/podu-1"),
        (LIMITED, "Burstable", "/kubepods/burstable/podu-1"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed", "/kubepods/podu-1"),
    ],
)
def test_quality_of_service_decides_the_control_group(resources: Obj, qos: str, group: str) -> None:
    described = pod({"name": "main", "image": "x", "resources": resources})
    assert podspec.qos_class(described) == qos
    assert cgroups.parent(described, "cgroupfs") == group


def test_systemd_driver_gets_the_name_of_a_slice() -> None:
    assert cgroups.parent(pod(), "systemd") == "kubepods-besteffort-podu_1.slice"


def test_limits_become_shares_quota_and_bytes() -> None:
    container = {"name": "main", "image": "x", "resources": LIMITED}
    found = cgroups.resources(pod(container), container, node_memory=1 << 30)
    assert (found.cpu_shares, found.cpu_quota, found.cpu_period) == (256, 50000, 100000)
    assert (found.memory_limit_in_bytes, found.oom_score_adj) == (128 << 20, 938)


def test_empty_groups_of_a_pod_are_removed_in_every_hierarchy(tmp_path: Path) -> None:
    for hierarchy in ("cpu", "memory"):
        (tmp_path / hierarchy / "kubepods" / "podu-1" / "sub").mkdir(parents=True)
    cgroups.remove("/kubepods/podu-1", tmp_path)
    assert not list(tmp_path.glob("*/kubepods/podu-1"))
    assert (tmp_path / "cpu" / "kubepods").is_dir()


def node(tmp_path: Path) -> builder.NodeSettings:
    return builder.NodeSettings(name="edge1", root=tmp_path / "kubelet", log_root=tmp_path / "logs")


def test_sandbox_carries_the_labels_by_which_it_is_found_again(tmp_path: Path) -> None:
    ports = [{"containerPort": 80, "hostPort": 8080}]
    config = builder.sandbox_config(pod({"name": "main", "image": "x", "ports": ports}), 2, node(tmp_path))
    assert config.labels["io.kubernetes.pod.uid"] == "u-1"
    assert (config.metadata.attempt, config.hostname) == (2, "web")
    assert (config.port_mappings[0].host_port, config.port_mappings[0].container_port) == (8080, 80)
    assert config.log_directory == str(tmp_path / "logs" / "default_web_u-1")


def test_host_network_maps_no_ports_and_shares_the_namespace(tmp_path: Path) -> None:
    ports = [{"containerPort": 80, "hostPort": 80}]
    described = pod({"name": "main", "image": "x", "ports": ports}, hostNetwork=True)
    config = builder.sandbox_config(described, 0, node(tmp_path))
    assert not config.port_mappings
    assert config.linux.security_context.namespace_options.network == pb.NODE


async def test_container_gets_hosts_file_termination_log_and_volumes(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    mounts = [{"name": "data", "mountPath": "/data", "subPath": "inner", "readOnly": True}]
    container = {
        "name": "main",
        "image": "nginx",
        "command": ["run", "$(X)"],
        "env": [{"name": "X", "value": "1"}],
        "volumeMounts": mounts,
    }
    described = pod(
        container,
        volumes=[{"name": "data", "emptyDir": {}}],
        hostAliases=[{"ip": "10.9.9.9", "hostnames": ["a", "b"]}],
    )
    config = await builder.container_config(
        described,
        container,
        restarts=3,
        image=pb.Image(id="sha256:1"),
        paths={"data": tmp_path / "data"},
        facts=FACTS,
        node=node(tmp_path),
        meta=FakeMeta(),
    )
    assert list(config.command) == ["run", "1"]
    assert config.log_path == "main/3.log"
    assert config.annotations[names.RESTART_COUNT] == "3"
    by_path = {mount.container_path: mount for mount in config.mounts}
    assert by_path["/data"].host_path == str(tmp_path / "data" / "inner")
    assert by_path["/data"].readonly
    hosts = Path(by_path["/etc/hosts"].host_path).read_text()
    assert "10.0.0.2\tweb\n" in hosts
    assert "10.9.9.9\ta\tb\n" in hosts
    assert Path(by_path["/dev/termination-log"].host_path).stat().st_mode & 0o777 == 0o666


def test_sub_path_must_stay_inside_its_volume(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "out").symlink_to("/etc")
    for path in ("../other", "out"):
        with pytest.raises(ValueError, match="leaves the volume"):
            volumes.sub_path(volume, path)


def test_root_image_is_refused_for_a_pod_that_must_not_be_root() -> None:
    container = {"name": "main", "securityContext": {"runAsNonRoot": True}}
    with pytest.raises(ContainerProblem, match="image will run as root"):
        security.container_context(pod(container), container, pb.Image(id="x"), seccomp_default=False)
    fine = security.container_context(
        pod(container), container, pb.Image(id="x", uid=pb.Int64Value(value=33)), seccomp_default=False
    )
    assert fine.run_as_user.value == 33


def test_cluster_dns_comes_with_the_search_list_of_the_namespace(tmp_path: Path) -> None:
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("nameserver 1.1.1.1\nsearch lan\n")
    found = resolver.dns_config(pod(), ["169.254.96.16"], "cluster.local", str(resolv))
    assert list(found.servers) == ["169.254.96.16"]
    assert list(found.searches) == [
        "default.svc.cluster.local",
        "svc.cluster.local",
        "cluster.local",
        "lan",
    ]
    assert list(found.options) == ["ndots:5"]
    fallback = resolver.dns_config(pod(), [], "cluster.local", str(resolv))
    assert (list(fallback.servers), list(fallback.searches)) == (["1.1.1.1"], ["lan"])


def test_files_change_all_at_once_and_only_when_they_differ(tmp_path: Path) -> None:
    directory = tmp_path / "volume"
    assert atomic.write(directory, {"a": File(b"1", 0o644), "sub/b": File(b"2", 0o400)})
    first = (directory / "..data").readlink()
    assert (directory / "a").read_bytes() == b"1"
    assert (directory / "sub" / "b").stat().st_mode & 0o777 == 0o400
    assert not atomic.write(directory, {"a": File(b"1", 0o644), "sub/b": File(b"2", 0o400)})
    assert atomic.write(directory, {"a": File(b"3", 0o644)})
    assert (directory / "a").read_bytes() == b"3"
    assert not (directory / "sub").is_symlink()
    assert not (directory / first).exists()
    with pytest.raises(ValueError, match="inside"):
        atomic.write(directory, {"../a": File(b"", 0o644)})


def test_files_whose_names_a_power_cut_kept_back_get_them_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"a": File(b"1", 0o644)}
    with monkeypatch.context() as cut:
        cut.setattr(atomic, "_link_names", _power_cut)
        with pytest.raises(KeyboardInterrupt):
            atomic.write(tmp_path, files)
    atomic.write(tmp_path, files)
    assert (tmp_path / "a").read_bytes() == b"1"


def _power_cut(*_: object) -> None:
    raise KeyboardInterrupt


async def test_projected_volume_joins_token_config_map_and_downward_api(tmp_path: Path) -> None:
    meta = FakeMeta()
    meta.put("configmap", "kube-root-ca.crt", {"ca.crt": "PEM"})
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    described = pod(volumes=[{"name": "api", "projected": {"defaultMode": 420, "sources": sources}}])
    paths = await volumes.Volumes(tmp_path, meta).set_up(described, FACTS)
    assert (paths["api"] / "token").read_text() == "token-of-default"
    assert (paths["api"] / "token").stat().st_mode & 0o777 == 0o644
    assert (paths["api"] / "ca.crt").read_text() == "PEM"
    assert (paths["api"] / "namespace").read_text() == "default"
    assert (tmp_path / "pods").stat().st_mode & 0o777 == 0o750


async def test_missing_config_map_of_a_volume_is_named(tmp_path: Path) -> None:
    described = pod(volumes=[{"name": "v", "configMap": {"name": "none"}}])
    with pytest.raises(VolumeProblem, match='volume "v" : configmaps "none" not found'):
        await volumes.Volumes(tmp_path, FakeMeta()).set_up(described, FACTS)


async def test_volume_type_that_is_not_offered_is_named(tmp_path: Path) -> None:
    described = pod(volumes=[{"name": "v", "nfs": {"server": "x", "path": "/"}}])
    with pytest.raises(VolumeProblem, match="volume type nfs is not offered"):
        await volumes.Volumes(tmp_path, FakeMeta()).set_up(described, FACTS)


async def test_host_path_types_are_checked(tmp_path: Path) -> None:
    def described(kind: str, path: Path) -> Obj:
        return pod(volumes=[{"name": "v", "hostPath": {"path": str(path), "type": kind}}])

    made = await volumes.Volumes(tmp_path, FakeMeta()).set_up(
        described("DirectoryOrCreate", tmp_path / "new"), FACTS
    )
    assert made["v"].is_dir()
    with pytest.raises(VolumeProblem, match="is not a socket file"):
        await volumes.Volumes(tmp_path, FakeMeta()).set_up(described("Socket", tmp_path / "new"), FACTS)


def test_references_name_every_config_map_and_secret() -> None:
    container = {
        "name": "main",
        "envFrom": [{"secretRef": {"name": "s1"}}],
        "env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "c1", "key": "k"}}}],
    }
    described = pod(
        container,
        volumes=[
            {"name": "v", "secret": {"secretName": "s2"}},
            {"name": "w", "projected": {"sources": [{"configMap": {"name": "c2"}}]}},
        ],
    )
    assert podspec.references(described) == {
        ("secret", "s1"),
        ("configmap", "c1"),
        ("secret", "s2"),
        ("configmap", "c2"),
    }


def test_delays_double_from_ten_seconds_to_five_minutes_and_start_over_after_a_good_time() -> None:
    clock = HandClock()
    backoff = Backoff(clock)
    assert [backoff.failed("k") for _ in range(7)] == [10, 20, 40, 80, 160, 300, 300]
    assert backoff.waiting("k") == 300
    clock.moment += 299
    assert backoff.waiting("k") == 1
    clock.moment += 400
    assert backoff.failed("k") == 10
    assert backoff.waiting("other") == 0


@pytest.mark.parametrize(
    ("image", "policy", "registry"),
    [
        ("nginx", "Always", "docker.io"),
        ("nginx:1.22", "IfNotPresent", "docker.io"),
        ("edgelab.local/nginx:1.22", "IfNotPresent", "edgelab.local"),
        ("localhost:5000/a", "Always", "localhost:5000"),
        ("a@sha256:00", "IfNotPresent", "docker.io"),
    ],
)
def test_image_names_decide_policy_and_registry(image: str, policy: str, registry: str) -> None:
    assert podspec.pull_policy({"image": image}) == policy
    assert location(image)[0] == registry


async def test_names_that_no_variable_can_have_are_left_out_and_told() -> None:
    meta, told = FakeMeta(), []
    meta.put("configmap", "settings", {"good.name": "1", "bad=name": "2", "übel": "3"})
    container = {"name": "main", "envFrom": [{"configMapRef": {"name": "settings"}, "prefix": "P_"}]}
    values = await env.environment(pod(container), container, meta, FACTS, lambda *event: told.append(event))
    assert values == {"P_good.name": "1"}
    assert told == [
        (
            "InvalidEnvironmentVariableNames",
            "Keys [P_bad=name, P_übel] from the EnvFrom configMap default/settings were skipped since they "
            "are considered invalid environment variable names.",
        )
    ]


def test_full_host_name_comes_from_the_subdomain(tmp_path: Path) -> None:
    described = pod(hostname="h", subdomain="web-svc", setHostnameAsFQDN=True)
    assert resolver.hostname(described, "edge1", "cluster.local") == "h.web-svc.default.svc.cluster.local"
    hosts = resolver.hosts_file(described, ["10.0.0.2"], "edge1", "cluster.local")
    assert "10.0.0.2\th.web-svc.default.svc.cluster.local\th\n" in hosts
    assert resolver.hostname(pod(hostname="h", subdomain="web-svc"), "edge1", "cluster.local") == "h"
    long = pod(hostname="h" * 40, subdomain="web-svc", setHostnameAsFQDN=True)
    with pytest.raises(ContainerProblem, match="64 characters is the max, 74 characters requested"):
        resolver.hostname(long, "edge1", "cluster.local")


def test_resolver_limits_and_a_missing_cluster_dns_are_told(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("nameserver 1.1.1.1\nnameserver 1.0.0.1\n")
    extra = {"nameservers": ["8.8.8.8", "9.9.9.9"], "searches": [f"s{n}.example" for n in range(40)]}
    described = pod(dnsConfig={**extra, "options": [{"name": "timeout", "value": "1"}]})
    found = resolver.dns_config(described, [], "cluster.local", str(resolv), lambda *e: told.append(e))
    assert list(found.servers) == ["1.1.1.1", "1.0.0.1", "8.8.8.8"]
    assert (len(found.searches), list(found.options)) == (32, ["timeout:1"])
    assert [reason for reason, _ in told] == ["MissingClusterDNS", "DNSConfigForming", "DNSConfigForming"]
    assert told[0][1].startswith('pod: "web_default(u-1)". kubelet does not have ClusterDNS IP configured')
    assert "the applied nameserver line is: 1.1.1.1 1.0.0.1 8.8.8.8" in told[1][1]
    none = resolver.dns_config(pod(dnsPolicy="None", dnsConfig=extra), ["169.254.96.16"], "x", str(resolv))
    assert list(none.servers) == ["8.8.8.8", "9.9.9.9"]


def test_profiles_and_proc_mount_reach_the_runtime(tmp_path: Path) -> None:
    context = {
        "seccompProfile": {"type": "Localhost", "localhostProfile": "p/audit.json"},
        "appArmorProfile": {"type": "Localhost", "localhostProfile": "mine"},
        "procMount": "Unmasked",
        "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
    }
    container = {"name": "main", "image": "x", "securityContext": context}
    found = security.container_context(
        pod(container), container, pb.Image(id="x"), seccomp_default=False, seccomp_root=tmp_path
    )
    assert found.seccomp.localhost_ref == str(tmp_path / "p" / "audit.json")
    assert (found.apparmor.profile_type, found.apparmor.localhost_ref) == (
        pb.SecurityProfile.Localhost,
        "mine",
    )
    assert not found.masked_paths
    assert (list(found.capabilities.add_capabilities), list(found.capabilities.drop_capabilities)) == (
        ["NET_ADMIN"],
        ["ALL"],
    )
    plain = security.container_context(pod(), {"name": "main"}, pb.Image(id="x"), seccomp_default=True)
    assert plain.seccomp.profile_type == pb.SecurityProfile.RuntimeDefault
    assert plain.masked_paths
    assert not plain.HasField("apparmor")
