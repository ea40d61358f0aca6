"""What container runtimes and systemd call their cgroups, and the labels in a path.

An expression is searched in the whole path below the cgroup root; a cgroup that it is found in is watched.
"""

from __future__ import annotations

import re

_ID = "[0-9a-f]{64}"

PRESETS = {
    # /kubepods/burstable/podUID/ID by the cgroupfs driver, where a guaranteed pod has no class;
    # /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice/cri-containerd-ID.scope by systemd's;
    # SLICE:cri-containerd:ID where kubelet has systemd's and containerd has not.
    "kubernetes": re.compile(
        r"/(?:[\w.-]*-)?kubepods(?:\.slice)?(?=[/-]|\.slice/)"
        r"(?:.*?[/-](?P<qos>burstable|besteffort)(?:\.slice)?)?"
        r"(?:/[^/]*)??[/-]pod(?P<pod_uid>[0-9a-f]{8}(?:[-_]?[0-9a-f]{4}){3}[-_]?[0-9a-f]{12})(?:\.slice)?"
        rf"(?:[/:](?:(?:cri-containerd|crio|docker|containerd)[-:])?(?P<container_id>{_ID})(?:\.scope)?)?$"
    ),
    # /docker/ID by the cgroupfs driver, docker-ID.scope by systemd's.
    "docker": re.compile(rf"/docker[/-](?P<container_id>{_ID})(?:\.scope)?$"),
    # libpod-ID.scope below the slice of the machine, of a user or of a pod; libpod_parent/libpod-ID without systemd.
    "podman": re.compile(rf"(?:libpod_pod_(?P<pod_id>{_ID})(?:\.slice)?/)?libpod-(?P<container_id>{_ID})(?:\.scope)?$"),
    # Units of the system and of users: services, scopes and the slices that hold them.
    "systemd": re.compile(
        r"(?:(?P<slice>[^/]+\.slice)/(?:(?![^/]+\.slice/)[^/]+/)*)?(?P<unit>[^/]+\.(?:service|scope|slice))$"
    ),
}


def labels(found: re.Match[str]) -> tuple[tuple[str, str], ...]:
    """The labels that an expression captures in a path, those that took no part left out."""
    named = {name: value for name, value in found.groupdict().items() if value}
    if "pod_uid" in found.re.groupindex:
        # systemd's driver writes the uid with underscores, as a dash has a meaning in a slice's name.
        named["pod_uid"] = named["pod_uid"].replace("_", "-")
        named.setdefault("qos", "guaranteed")
    return tuple(sorted(named.items()))
