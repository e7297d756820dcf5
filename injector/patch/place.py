"""Where a pod will run and who asks for it: what the pod itself does not say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Place:
    """`namespace` is empty where it is not known; `labels` and `annotations` are the namespace's.

    `owner` is the kind of who made the pod, such as Job. `is_asked` holds where somebody named this very pod, as
    `mesh inject` does: then it only matters that nobody opted out.
    """

    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    owner: str = ""
    is_asked: bool = False
