"""One run of `mesh inject` or `mesh uninject`, from what was given to what is written and said."""

from __future__ import annotations

import sys
from collections.abc import Callable

from injector.patch import Settings
from injector.patch.fields import Refusal
from mesh.contract import ENABLED, INJECT
from mesh.inject.asking import Asked, ask_cluster
from mesh.inject.fault import Unusable
from mesh.inject.manifest import Document, join, read_documents
from mesh.inject.report import is_refused, summarize
from mesh.inject.rewriting import LABELLED, Injection, Removal, Rewriting, find_namespaces, find_places, rewrite
from mesh.inject.sources import read_sources
from mesh.log import escape

EXIT_FAILED = 1
EXIT_USAGE = 2
_OF_MANUAL = "--set, --control-plane, --namespace, --from-cluster and --kubeconfig"
_RULES = (
    "note      the init container needs NET_ADMIN: a namespace that enforces PodSecurity baseline or restricted takes "
    "only pods with the annotation config.gossamer.mesh/interception: none"
)

_LABEL_STAYS = (
    f"note      a namespace with the label {INJECT}={ENABLED} still gives the sidecar to its pods; to end that: "
    f"kubectl label namespace NAME {INJECT}-"
)


def inject(sources: list[str], asked: Asked) -> int:
    """The exit code."""
    if not asked.is_manual and any(asked):
        return fail("inject", f"{_OF_MANUAL} need --manual; without it, annotate the pods", EXIT_USAGE)
    if asked.kubeconfig and not asked.from_cluster:
        return fail("inject", "--kubeconfig is for --from-cluster; give both", EXIT_USAGE)
    try:
        settings = asked.settings()
    except Refusal as refusal:
        return fail("inject", str(refusal).replace("defaults:", "--set"), EXIT_USAGE)
    return run("inject", sources, lambda documents: plan(documents, asked, settings))


def plan(documents: list[Document], asked: Asked, settings: Settings) -> Injection:
    """What a namespace says in the stream is what will be so in the cluster."""
    namespaces = find_namespaces(documents)
    if not asked.from_cluster:
        return Injection(settings, asked.is_manual, namespaces)
    found = ask_cluster(asked, find_places(documents) - namespaces.keys())
    for note in found.notes:
        say(f"note      {note}")
    return Injection(found.settings, asked.is_manual, found.namespaces | namespaces)


def uninject(sources: list[str]) -> int:
    removal = Removal()
    code = run("uninject", sources, lambda _: removal)
    if not code and removal.has_left_namespaces():
        say(_LABEL_STAYS)
    return code


def run(command: str, sources: list[str], make: Callable[[list[Document]], Rewriting]) -> int:
    """All of the input is read, and nothing is written if some of it cannot be meant."""
    try:
        read = [read_documents(source) for source in read_sources(sources)]
        rewriting = make([document for documents in read for document in documents])
    except Unusable as fault:
        return fail(command, str(fault), EXIT_FAILED)
    texts, lost = [], 0
    for documents in read:
        parts, bare = rewrite(documents, rewriting.change)
        texts.append("".join(parts))
        lost += bare
    for line in rewriting.lines:
        say(str(line))
    if is_refused(rewriting.lines):
        return fail(command, "nothing is written, since some objects are refused: mend them", EXIT_FAILED)
    if lost:
        say(f"note      comments are lost in {lost} of the documents, whose layout has no place for this (anchors?)")
    if rewriting.has_rules:
        say(_RULES)
    say(f"mesh {command}: {summarize(rewriting.lines, rewriting.others)}")
    if any(line.verdict == LABELLED for line in rewriting.lines):
        say("mesh inject: the webhook adds the sidecar to what is labelled, whenever a pod is made")
    sys.stdout.write(join(texts))
    return 0


def say(text: str) -> None:
    """What is given in manifests may hold characters that move a cursor."""
    print("\n".join(map(escape, text.split("\n"))), file=sys.stderr)


def fail(command: str, sentence: str, code: int) -> int:
    say(f"mesh {command}: {escape(sentence)}.")
    return code
