"""What the two commands do with each object, and with all of a stream.

`mesh inject` asks for the sidecar by a label, which the webhook sees when pods are made; with `--manual` it writes the
sidecar out. `mesh uninject` undoes either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from injector.patch import Outcome, Place, Settings, Verdict, ask_for_sidecar, inject, uninject
from injector.patch.fields import Refusal, cut, read_fields, read_texts
from injector.patch.reasons import check_network
from injector.patch.wishes import find_strange, read_wishes
from mesh.contract import DISABLED, ENABLED, INIT_CONTAINER, INJECT, OUR_ANNOTATIONS
from mesh.inject.manifest import Document, change_items
from mesh.inject.report import Line
from mesh.inject.workloads import Fields, Identity, change_at, find_maker, find_pod, identify, is_namespace
from mesh.install.difference import is_within

LABELLED = "labelled"
UNKNOWN = "unknown"
_UNKNOWN = "it has spec.template.spec.containers, but is of no kind that we know; label its template yourself"
# What asks other meshes for a sidecar.
_RIVALS = {"linkerd.io/inject": ("enabled", "ingress"), "sidecar.istio.io/inject": ("true",)}


class Rewriting:
    """Objects go through `change`; `lines` and `others` say what became of them.

    `has_rules` tells whether a pod got the init container in a namespace of which nothing is known.
    """

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.others = 0
        self.has_rules = False

    def change(self, item: Fields) -> Fields:
        path = find_pod(item)
        identity = identify(item)
        if path is None and not is_namespace(item):
            self.pass_by(item, identity)
            return item
        try:
            return self.change_namespace(item, identity) if path is None else self.change_pod(item, path, identity)
        except Refusal as refusal:
            self.lines.append(Line(Verdict.REFUSED, identity, str(refusal)))
            return item

    def pass_by(self, item: Fields, identity: Identity) -> None:
        """It makes no pods, as far as we know."""
        self.others += 1

    def change_pod(self, item: Fields, path: tuple[str, ...], identity: Identity) -> Fields:
        raise NotImplementedError

    def change_namespace(self, item: Fields, identity: Identity) -> Fields:
        raise NotImplementedError

    def note(self, identity: Identity, outcome: Outcome, verdict: str = "") -> Fields:
        self.lines.append(Line(verdict or outcome.verdict, identity, outcome.sentence, outcome.warnings))
        return outcome.after


class Injection(Rewriting):
    """`namespaces` are those of the same stream, by name."""

    def __init__(self, settings: Settings, is_manual: bool, namespaces: dict[str, Fields]) -> None:
        super().__init__()
        self.settings, self.is_manual, self.namespaces = settings, is_manual, namespaces

    def pass_by(self, item: Fields, identity: Identity) -> None:
        if has_template(item):
            self.lines.append(Line(UNKNOWN, identity, _UNKNOWN))
        else:
            super().pass_by(item, identity)

    def change_pod(self, item: Fields, path: tuple[str, ...], identity: Identity) -> Fields:
        if maker := find_maker(item):
            sentence = f"{maker} made it, and is the one to inject"
            return self.note(identity, Outcome(Verdict.SKIPPED, item, item, sentence=sentence))
        place = self._find_place(identity)

        def change(pod: Fields) -> Fields:
            check_network(read_fields(pod, "spec"))
            bare = uninject(pod).after if self.is_manual else pod
            outcome = inject(bare, place, self.settings)
            if outcome.verdict is not Verdict.INJECTED:
                return self.note(identity, Outcome(outcome.verdict, pod, pod, outcome.reason, outcome.sentence))
            self.has_rules |= place.namespace not in self.namespaces and has_rules(outcome.after)
            if self.is_manual:
                return self._write_out(pod, outcome, identity)
            if (after := ask_for_sidecar(pod)) is pod:
                sentence = "it asks for the sidecar already"
                return self.note(identity, Outcome(Verdict.SKIPPED, pod, pod, "asked", sentence, outcome.warnings))
            return self.note(identity, Outcome(Verdict.INJECTED, pod, after, warnings=outcome.warnings), LABELLED)

        after = change_at(item, path, change)
        line = self.lines.pop()
        self.lines.append(
            line._replace(warnings=(*line.warnings, *find_misplaced(item, path), *find_rivals(item, path)))
        )
        return after

    def _write_out(self, pod: Fields, outcome: Outcome, identity: Identity) -> Fields:
        """A sidecar that was there is replaced, so that it is of this version and these settings."""
        if is_within(outcome.after, pod):
            sentence = "it has this very sidecar already"
            return self.note(identity, Outcome(Verdict.SKIPPED, pod, pod, "already", sentence, outcome.warnings))
        return self.note(identity, outcome)

    def _find_place(self, identity: Identity) -> Place:
        metadata = read_fields(self.namespaces.get(identity.namespace, {}), "metadata")
        labels, annotations = (read_texts(metadata, name, "metadata.") for name in ("labels", "annotations"))
        return Place(identity.namespace, labels, annotations, identity.kind, is_asked=True)

    def change_namespace(self, item: Fields, identity: Identity) -> Fields:
        """The webhook looks at its label; who writes sidecars out needs none."""
        if self.is_manual:
            self.others += 1
            return item
        metadata = read_fields(item, "metadata")
        labels, annotations = (read_texts(metadata, name, "metadata.") for name in ("labels", "annotations"))
        read_wishes({}, annotations, {}, self.settings.locked)  # or each of its pods would be refused, later
        warnings = (*find_strange(annotations, "annotation"), *find_strange(labels, "label"))
        sentence = ""
        if identity.name in self.settings.never:
            sentence = "it is never meshed, as the mesh itself depends on it"
        elif labels.get(INJECT) in (ENABLED, DISABLED):
            sentence = f"it says {INJECT}: {labels[INJECT]}"
        if sentence:
            return self.note(identity, Outcome(Verdict.SKIPPED, item, item, "", sentence, warnings))
        return self.note(identity, Outcome(Verdict.INJECTED, item, ask_for_sidecar(item), warnings=warnings), LABELLED)


class Removal(Rewriting):
    def has_left_namespaces(self) -> bool:
        """Whether what makes pods gave the sidecar up, and no namespace did."""
        removed = {line.identity.kind for line in self.lines if line.verdict == Verdict.REMOVED}
        return bool(removed) and "Namespace" not in removed

    def change_pod(self, item: Fields, path: tuple[str, ...], identity: Identity) -> Fields:
        return change_at(item, path, lambda pod: self.note(identity, uninject(pod)))

    def change_namespace(self, item: Fields, identity: Identity) -> Fields:
        return self.note(identity, uninject(item))


def find_misplaced(item: Fields, path: tuple[str, ...]) -> Iterator[str]:
    """A sentence for each of our names on what makes pods, where nobody looks at it."""
    names = [name for names in read_metadata(item) for name in names] if path else []
    for name in dict.fromkeys(names):
        if name.startswith((f"{INJECT.partition('/')[0]}/", OUR_ANNOTATIONS)):
            place = ".".join((*path, "metadata"))
            yield f"{cut(name)} is on the {item.get('kind')}, where it has no effect; put it into {place}"


def find_rivals(item: Fields, path: tuple[str, ...]) -> Iterator[str]:
    """A sentence for each sidecar of another mesh that would come as well."""
    pod: Any = item
    for name in path:
        pod = pod[name]
    for said in read_metadata(pod):
        for name, values in _RIVALS.items():
            if said.get(name) in values:
                yield f"{name}: {said[name]} asks for the sidecar of another mesh; take it out, or there may be two"


def read_metadata(item: Fields) -> Iterator[dict[str, str]]:
    """Its labels and its annotations, whatever else may be there."""
    metadata = item.get("metadata")
    for name in ("labels", "annotations"):
        said = metadata.get(name) if isinstance(metadata, dict) else None
        yield {key: text for key, text in said.items() if isinstance(key, str)} if isinstance(said, dict) else {}


def has_template(item: Fields) -> bool:
    """Whether it looks like something that makes pods."""
    found: Any = item
    for name in ("spec", "template", "spec", "containers"):
        found = found.get(name) if isinstance(found, dict) else None
    return isinstance(found, list)


def has_rules(pod: Fields) -> bool:
    return any(container["name"] == INIT_CONTAINER for container in pod["spec"].get("initContainers") or ())


def find_namespaces(documents: list[Document]) -> dict[str, Fields]:
    found: dict[str, Fields] = {}
    for item in list_items(documents):
        if is_namespace(item):
            found[identify(item).name] = item
    return found


def find_places(documents: list[Document]) -> set[str]:
    """The namespaces that what makes pods is put into, as far as it says so."""
    pods = [identify(item).namespace for item in list_items(documents) if find_pod(item) is not None]
    return {name for name in pods if name}


def list_items(documents: list[Document]) -> Iterator[Fields]:
    items: list[Fields] = []

    def collect(item: Fields) -> Fields:
        items.append(item)
        return item

    for document in documents:
        change_items(document.value, collect)
    yield from items


def rewrite(documents: list[Document], change: Callable[[Fields], Fields]) -> tuple[list[str], int]:
    """The documents' texts after the change, and how many of them lost their comments."""
    texts, lost = [], 0
    for document in documents:
        after: Any = change_items(document.value, change)
        text, is_bare = document.rewrite(after)
        texts.append(text)
        lost += is_bare
    return texts, lost
