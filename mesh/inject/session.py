"""One run of `mesh inject` or `mesh uninject`, from what was given to what is written and said."""

from __future__ import annotations

import sys
from collections.abc import Callable

from injector.patch import Settings
from injector.patch.fields import Refusal
from mesh.inject.fault import Unusable
from mesh.inject.manifest import join, read_documents
from mesh.inject.report import is_refused, summarize
from mesh.inject.rewriting import LABELLED, Injection, Removal, Rewriting, find_namespaces, rewrite
from mesh.inject.sources import read_sources
from mesh.inject.workloads import Fields

EXIT_FAILED = 1
EXIT_USAGE = 2
_RULES = (
    "note      the init container needs NET_ADMIN: a namespace that enforces PodSecurity baseline or restricted takes "
    "only pods with the annotation config.gossamer.mesh/interception: none"
)


def inject(sources: list[str], is_manual: bool, control_plane: str | None, options: list[str]) -> int:
    """The exit code; `options` are NAME=VALUE."""
    if not is_manual and (options or control_plane):
        return fail("inject", "--set and --control-plane need --manual; without it, annotate the pods", EXIT_USAGE)
    try:
        defaults = dict(map(parse_option, options))
        settings = Settings(defaults=defaults) if control_plane is None else Settings(control_plane, defaults=defaults)
    except Refusal as refusal:
        return fail("inject", str(refusal).replace("defaults:", "--set"), EXIT_USAGE)
    return run("inject", sources, lambda namespaces: Injection(settings, is_manual, namespaces))


def uninject(sources: list[str]) -> int:
    return run("uninject", sources, lambda _: Removal())


def parse_option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise Refusal(f"--set {text}: write NAME=VALUE")
    return name, value


def run(command: str, sources: list[str], make: Callable[[dict[str, Fields]], Rewriting]) -> int:
    """All of the input is read, and nothing is written if some of it cannot be meant."""
    try:
        read = [read_documents(source) for source in read_sources(sources)]
    except Unusable as fault:
        return fail(command, str(fault), EXIT_FAILED)
    rewriting = make(find_namespaces([document for documents in read for document in documents]))
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
    print(text, file=sys.stderr)


def fail(command: str, sentence: str, code: int) -> int:
    say(f"mesh {command}: {sentence}.")
    return code
