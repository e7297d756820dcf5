"""What the cluster has of an installation that is no longer part of it: it was turned off, or is of a version before.

`kubectl apply` deletes nothing: an injector that is turned off would go on injecting. Only what is installed is judged;
what the parts themselves make, such as Leases, belongs to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from injector.options import NAME as INJECTOR
from mesh.install.builder import ORDER, Object

# Without the namespace's own object, all that is in it is to stay all the same.
_INSTALLED: Final = frozenset(ORDER) - {"Namespace"}
# What a part makes that is of no use without it.
_MADE_BY: Final[Mapping[tuple[str, str], tuple[str, str]]] = {("Secret", INJECTOR): ("Deployment", INJECTOR)}


class Identity(NamedTuple):
    kind: str
    namespace: str
    name: str


def find_leftovers(present: Iterable[Object], wanted: Iterable[Object]) -> list[Object]:
    """Of what is present, in its order, what is neither wanted nor made by what is wanted."""
    ours = {identify(item) for item in wanted}
    return [item for item in present if is_left_over(identify(item), ours)]


def identify(item: Object) -> Identity:
    return Identity(item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"])


def is_left_over(found: Identity, ours: set[Identity]) -> bool:
    maker = _MADE_BY.get((found.kind, found.name))
    if maker is not None:
        return Identity(maker[0], found.namespace, maker[1]) not in ours
    return found.kind in _INSTALLED and found not in ours


def advise(leftovers: list[Object], namespace: str, plurals: Mapping[str, str]) -> str:
    """How to be rid of them, the webhook first; `plurals` are the API's names by kind."""
    named = " ".join(f"{plurals[item['kind']]}/{item['metadata']['name']}" for item in leftovers)
    return (
        "what is no longer part of the installation stays as it is until you delete it; when this is applied: "
        f"kubectl --namespace {namespace} delete {named}"
    )
