"""The labels that presets find in paths. Each shape is named with where it is documented or was shown."""

from __future__ import annotations

import pytest

from exporter.watch.presets import PRESETS, labels

ID = "57353a2ab1bd38bc5b00500bd4dc9795b6bf0e6e3a15479c474ccb3be605cef8"
POD = "e4193b51-e5f8-4348-90b3-5423cb74e0d1"
UNDERSCORED = POD.replace("-", "_")
STATIC = "89f4f2cb511c3b0b7e5272cff5ec37bf"

SHAPES = [
    # kubelet, cgroupfs driver: kubernetes/kubernetes pkg/kubelet/cm, and containerd/containerd issue 4857
    ("kubernetes", f"/kubepods/burstable/pod{POD}", {"pod_uid": POD, "qos": "burstable"}),
    (
        "kubernetes",
        f"/kubepods/burstable/pod{STATIC}/{ID}",
        {"pod_uid": STATIC, "qos": "burstable", "container_id": ID},
    ),
    ("kubernetes", f"/kubepods/besteffort/pod{POD}/{ID}", {"pod_uid": POD, "qos": "besteffort", "container_id": ID}),
    ("kubernetes", f"/kubepods/pod{POD}/{ID}", {"pod_uid": POD, "qos": "guaranteed", "container_id": ID}),
    # CRI-O, cgroupfs driver: cri-o/cri-o internal/config/cgmgr/cgroupfs_linux.go
    ("kubernetes", f"/kubepods/pod{POD}/crio-{ID}", {"pod_uid": POD, "qos": "guaranteed", "container_id": ID}),
    # kubelet, systemd driver with Docker: kubernetes/kubernetes issue 95488, kontena/pharos-cluster issue 440
    (
        "kubernetes",
        f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UNDERSCORED}.slice/docker-{ID}.scope",
        {"pod_uid": POD, "qos": "burstable", "container_id": ID},
    ),
    # the pod itself: cri-o/cri-o issue 842
    (
        "kubernetes",
        f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{UNDERSCORED}.slice",
        {"pod_uid": POD, "qos": "besteffort"},
    ),
    # containerd: "slice:prefix:name" with the prefix cri-containerd, containerd/containerd issue 4857
    (
        "kubernetes",
        f"/kubepods.slice/kubepods-pod{UNDERSCORED}.slice/cri-containerd-{ID}.scope",
        {"pod_uid": POD, "qos": "guaranteed", "container_id": ID},
    ),
    # the same where kubelet has the systemd driver and containerd has not
    (
        "kubernetes",
        f"/system.slice/containerd.service/kubepods-burstable-pod{UNDERSCORED}.slice:cri-containerd:{ID}",
        {"pod_uid": POD, "qos": "burstable", "container_id": ID},
    ),
    # CRI-O, systemd driver: cri-o/cri-o internal/config/cgmgr/systemd_linux.go
    (
        "kubernetes",
        f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{UNDERSCORED}.slice/crio-{ID}.scope",
        {"pod_uid": POD, "qos": "besteffort", "container_id": ID},
    ),
    # a node in a container (kind): kubelet's --cgroup-root=/kubelet gives kubelet.slice/kubelet-kubepods.slice
    (
        "kubernetes",
        (
            f"/docker/{ID}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice"
            f"/kubelet-kubepods-burstable-pod{UNDERSCORED}.slice/cri-containerd-{ID}.scope"
        ),
        {"pod_uid": POD, "qos": "burstable", "container_id": ID},
    ),
    # Docker: docs.docker.com, "Runtime metrics"; rootless under the user's manager
    ("docker", f"/docker/{ID}", {"container_id": ID}),
    ("docker", f"/system.slice/docker-{ID}.scope", {"container_id": ID}),
    ("docker", f"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope", {"container_id": ID}),
    # podman: podman pull request 507, issues 6400 and 4639 (rootless), libpod_parent of the cgroupfs manager
    ("podman", f"/machine.slice/libpod-{ID}.scope", {"container_id": ID}),
    ("podman", f"/libpod_parent/libpod-{ID}", {"container_id": ID}),
    (
        "podman",
        f"/user.slice/user-1000.slice/user@1000.service/user.slice/user-libpod_pod_{ID}.slice/libpod-{ID}.scope",
        {"container_id": ID, "pod_id": ID},
    ),
    # systemd: docs/CGROUP_DELEGATION.md, systemd.slice(5)
    ("systemd", "/system.slice/ssh.service", {"unit": "ssh.service", "slice": "system.slice"}),
    ("systemd", "/init.scope", {"unit": "init.scope"}),
    ("systemd", "/user.slice", {"unit": "user.slice"}),
    (
        "systemd",
        "/user.slice/user-1000.slice/user@1000.service/app.slice/emacs.service",
        {"unit": "emacs.service", "slice": "app.slice"},
    ),
    (
        "systemd",
        "/user.slice/user-1000.slice/session-3.scope",
        {"unit": "session-3.scope", "slice": "user-1000.slice"},
    ),
    (
        "systemd",
        "/system.slice/system-getty.slice/getty@tty1.service",
        {"unit": "getty@tty1.service", "slice": "system-getty.slice"},
    ),
]

NOT_MEANT = [
    ("kubernetes", "/kubepods"),
    ("kubernetes", "/kubepods.slice/kubepods-burstable.slice"),
    # what a container makes below itself, and what watches over it
    ("kubernetes", f"/kubepods/pod{POD}/{ID}/init.scope"),
    ("kubernetes", f"/kubepods.slice/kubepods-pod{UNDERSCORED}.slice/crio-conmon-{ID}.scope"),
    ("kubernetes", f"/mykubepods/pod{POD}"),
    ("docker", "/docker"),
    ("docker", f"/docker/{ID[:12]}"),
    ("docker", f"/docker/buildkit/{ID}"),
    ("podman", f"/machine.slice/libpod-conmon-{ID}.scope"),
    ("podman", f"/machine.slice/libpod-{ID}.scope/container"),
    ("systemd", "/lab"),
    ("systemd", "/system.slice/ssh.service/worker"),
]


@pytest.mark.parametrize(("preset", "path", "expected"), SHAPES)
def test_a_path_gives_its_labels(preset: str, path: str, expected: dict[str, str]) -> None:
    found = PRESETS[preset].search(path)
    assert found is not None
    assert dict(labels(found)) == expected


@pytest.mark.parametrize(("preset", "path"), NOT_MEANT)
def test_a_path_that_is_not_meant_is_not_found(preset: str, path: str) -> None:
    assert PRESETS[preset].search(path) is None
