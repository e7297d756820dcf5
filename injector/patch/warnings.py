"""What somebody should hear of although the pod gets its sidecar: one sentence each."""

from __future__ import annotations

from collections.abc import Iterator

from injector.patch.ending import explain_end, read_end
from injector.patch.fields import Fields, read_fields, read_texts
from injector.patch.place import Place
from injector.patch.settings import Settings
from injector.patch.wishes import Wishes, find_strange
from mesh.contract import OUR_ANNOTATIONS

POD_SECURITY = "pod-security.kubernetes.io/enforce"
_JOBS = ("Job", "CronJob")


def find_warnings(pod: Fields, place: Place, wishes: Wishes, settings: Settings) -> Iterator[str]:
    metadata, spec = read_fields(pod, "metadata"), read_fields(pod, "spec")
    for member, what in (("annotations", "annotation"), ("labels", "label")):
        yield from find_strange(read_texts(metadata, member, "metadata."), what)
    level = place.labels.get(POD_SECURITY)
    if wishes.intercepts and level in ("baseline", "restricted"):
        yield (
            f"the namespace enforces PodSecurity {level}, which forbids the init container's NET_ADMIN: allow "
            f"privileged there ({POD_SECURITY}), or set annotation {OUR_ANNOTATIONS}interception: none"
        )
    if not wishes.native_sidecar and (place.owner in _JOBS or spec.get("restartPolicy") in ("OnFailure", "Never")):
        yield (
            "the sidecar is a plain container, with which a job never completes: start it by "
            "`mesh proxy await --shutdown -- COMMAND`, or use a native sidecar"
        )
    if spec.get("dnsPolicy") == "Default":
        yield f"dnsPolicy Default does not know the cluster's names, and so not {settings.control_plane}"
    if problem := explain_end(wishes, read_end(spec)):
        yield problem
