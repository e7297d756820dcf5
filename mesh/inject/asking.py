"""What manual injection reckons with: flags, over what is installed in the cluster if it is asked, over the defaults.

So the sidecar that is written out is the one that the webhook would put in, and a namespace that has no webhook gets
the same.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from injector.patch import Settings
from injector.patch.fields import Refusal
from injector.patch.settings import name_control_plane
from mesh.contract import CONTROL_NAMESPACE
from mesh.inject.fault import Unusable
from mesh.inject.workloads import Fields
from mesh.version import VERSION

if TYPE_CHECKING:
    from mesh.install.cluster import Cluster


class Asked(NamedTuple):
    """The flags; `options` are NAME=VALUE."""

    is_manual: bool
    control_plane: str | None
    options: list[str]
    namespace: str | None
    from_cluster: bool
    kubeconfig: str | None

    def settings(self) -> Settings:
        """Without a cluster; raises Refusal."""
        return self.over(Settings(name_control_plane(self.namespace or CONTROL_NAMESPACE)))

    def over(self, found: Settings) -> Settings:
        """The flags have the last word, option by option."""
        return replace(
            found,
            control_plane=self.control_plane or found.control_plane,
            defaults={**found.defaults, **dict(map(parse_option, self.options))},
        )


def parse_option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise Refusal(f"--set {text}: write NAME=VALUE")
    return name, value


class Found(NamedTuple):
    """What the cluster says: the settings there, the namespaces by name, and what people should know of that."""

    settings: Settings
    namespaces: dict[str, Fields]
    notes: tuple[str, ...]


def ask_cluster(asked: Asked, names: Collection[str]) -> Found:
    """`names` are the namespaces to look at. Raises Unusable, with what to do."""
    from mesh.install.saying import Refused
    from mesh.install.work import check_namespace, in_cluster

    place = asked.namespace or CONTROL_NAMESPACE
    try:
        check_namespace(place, is_single=True)
        return in_cluster(asked.kubeconfig, lambda cluster: read_cluster(cluster, asked, place, names))
    except Refused as refused:
        raise Unusable(str(refused).replace("give --ignore-cluster", "leave --from-cluster out")) from None
    except Refusal as refusal:
        raise Unusable(f"{refusal}; use the mesh of the version that is installed") from None


async def read_cluster(cluster: Cluster, asked: Asked, place: str, names: Collection[str]) -> Found:
    from mesh.install.injection import make_settings

    record = await cluster.record(place)
    if record is None:
        raise Unusable(
            f"Gossamer is not installed in {place}; name where it is with --namespace, or leave --from-cluster out"
        )
    settings = asked.over(make_settings(record.values, place, record.version))
    namespaces, unseen = await read_namespaces(cluster, names)
    notes = [f"the settings are those of Gossamer {record.version} in {place}"]
    if record.version != VERSION:
        notes.append(f"this is mesh {VERSION}, which writes the sidecar as of its own version")
    if unseen:
        notes.append(f"what the namespace says is not known, as you may not get it: {', '.join(unseen)}")
    return Found(settings.on_kubernetes(*await cluster.version()), namespaces, tuple(notes))


async def read_namespaces(cluster: Cluster, names: Collection[str]) -> tuple[dict[str, Fields], list[str]]:
    """Those that are there, and the names of those that may not be seen."""
    from controlplane.sources.wire import Refusal as Denied

    found: dict[str, Fields] = {}
    unseen = []
    for name in sorted(names):
        try:
            if namespace := await cluster.get(f"/api/v1/namespaces/{quote(name, safe='')}"):
                found[name] = namespace
        except Denied:
            unseen.append(name)
    return found, unseen
