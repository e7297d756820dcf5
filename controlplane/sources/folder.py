"""The objects of all manifests in a directory, kept as last good through everything that can happen to files.

A file counts as changed, or gone, once two polls in a row have seen it so: what is being written or moved is left
alone until it rests. One that never does, because it is rewritten all the time, is taken after a while as it is found,
if it did not change under our eyes and parses. What cannot be read keeps its last good objects: a file, an object in
it, or all of the directory.
Of an object that is written twice the first counts, in the order of file names.
"""

from __future__ import annotations

import difflib
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from controlplane.model.fields import ObjectError, printable
from controlplane.model.objects import Key, Object
from controlplane.model.read import KINDS_BY_NAME, read
from controlplane.model.snapshot import KINDS, Change, Relist
from controlplane.sources.directory import Bounds, Stamp, TooMuch, Unsettled, read_file, scan
from controlplane.sources.inventory import name
from controlplane.sources.manifest import Document, ManifestError, parse
from controlplane.sources.misfits import find_misfits

MAX_PROBLEMS = 100
UNREST_S = 1.0
_FRESH_S = 2.0  # a file younger than this may change once more without a new stamp
_SLICES_GROUP = "discovery.k8s.io/"
Place = tuple[str, Key]  # kind and key


@dataclass(slots=True)
class Manifest:
    """What a file gives: objects with their lines, and its problems."""

    objects: dict[Place, tuple[Object, int]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    is_read: bool = True


class Folder:
    """Blocking: for one thread at a time."""

    def __init__(self, path: str, bounds: Bounds, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.objects: dict[Place, Object] = {}
        self.read_at: float | None = None  # until then, all that the directory holds has been taken up
        self._bounds = bounds
        self._clock = clock
        self._seen: dict[str, Stamp] = {}
        self._taken: dict[str, Stamp] = {}
        self._unrest: dict[str, float] = {}  # since when files are other than what was taken
        self._manifests: dict[str, Manifest] = {}
        self._outage = ""
        self._doubles: list[str] = []
        self._misfits: list[str] = []

    def load(self) -> None:
        """Read everything as it is now; OSError or TooMuch if the directory cannot be read."""
        self._seen = scan(self.path, self._bounds)
        self.read_at = self._clock()
        newest_ns = time.time_ns() - int(_FRESH_S * 1e9)
        for file, stamp in self._seen.items():
            self._take(file, stamp)
            if stamp.mtime_ns > newest_ns:
                self._taken.pop(file, None)  # so that the next poll reads it again
        self._merge()

    @property
    def unread(self) -> list[str]:
        """The files that could not be read as a whole, nor ever before."""
        return [file for file, manifest in self._manifests.items() if not (manifest.is_read or manifest.objects)]

    def relists(self) -> list[Relist]:
        """All objects, kind by kind."""
        return [
            Relist(kind, tuple(item for (of_kind, _), item in self.objects.items() if of_kind == kind))
            for kind in KINDS
        ]

    def poll(self) -> list[Change]:
        """Look again; what has changed."""
        began_at = self._clock()
        try:
            found = scan(self.path, self._bounds)
        except (OSError, TooMuch) as error:
            self._outage = f"cannot read the directory {self.path}: {explain(error)}; what was read last stays in use"
            return []
        self._outage = ""
        different = {file for file in {*found, *self._manifests} if found.get(file) != self._taken.get(file)}
        different |= self._manifests.keys() - found.keys()
        self._unrest = {file: self._unrest.get(file, began_at) for file in different}
        resting = {file for file in different if found.get(file) == self._seen.get(file)}
        restless = {file for file in different - resting if began_at - self._unrest[file] >= UNREST_S}
        self._seen = found
        for file in resting:
            if self._take(file, found.get(file)):
                del self._unrest[file]
        for file in restless & found.keys():
            if self._catch(file, found[file]):
                self._unrest[file] = began_at
        self.read_at = min(self._unrest.values(), default=began_at)
        return self._merge() if resting or restless else []

    def _catch(self, file: str, stamp: Stamp) -> bool:
        """Take a file that does not rest, if what it says now is whole. It counts as changed until it rests."""
        before = self._manifests.get(file)
        is_taken = self._take(file, stamp)
        self._taken.pop(file, None)
        if before is None or self._manifests[file].objects is not before.objects:
            return is_taken
        self._manifests[file] = before
        return False

    def _take(self, file: str, stamp: Stamp | None) -> bool:
        """Read a file, or forget it. False: it changes at this very moment."""
        if stamp is None:
            self._manifests.pop(file, None)
            self._taken.pop(file, None)
            return True
        before = self._manifests.get(file, Manifest())
        try:
            data = read_file(os.path.join(self.path, file), stamp, self._bounds)
        except Unsettled:
            return False
        except OSError as error:  # tried again at each poll: it may be over without a new stamp
            self._manifests[file] = Manifest(before.objects, [f"{file}: {explain(error)}{_consequence(before)}"], False)
            return True
        except TooMuch as error:
            self._manifests[file] = Manifest(before.objects, [f"{file}: {error}{_consequence(before)}"], False)
        else:
            self._manifests[file] = read_manifest(file, data, before)
        self._taken[file] = stamp
        self.counts["unreadable", "", "file"] += bool(self._manifests[file].problems)
        return True

    def _merge(self) -> list[Change]:
        """Put all files together, and compare with what was."""
        objects: dict[Place, Object] = {}
        owners: dict[Place, str] = {}
        self._doubles = []
        for file in sorted(self._manifests):
            for place, (item, line) in self._manifests[file].objects.items():
                if place in objects:
                    self._doubles.append(
                        f"{file}:{line}: {_title(place)} stands in {owners[place]} already, which counts"
                    )
                else:
                    objects[place], owners[place] = item, file
        self._misfits = find_misfits(objects.values())
        changed = [place for place in {*objects, *self.objects} if objects.get(place) != self.objects.get(place)]
        before, self.objects = self.objects, objects
        for kind, key in changed:
            type_ = "DELETED" if (kind, key) not in objects else "MODIFIED" if (kind, key) in before else "ADDED"
            self.counts["events", kind, type_] += 1
        return [Change(kind, key, objects.get((kind, key))) for kind, key in sorted(changed)]

    def problems(self) -> list[str]:
        found = [self._outage] if self._outage else []
        found += [problem for file in sorted(self._manifests) for problem in self._manifests[file].problems]
        found += self._doubles
        found += self._misfits
        if not self.objects and not found:
            found.append(f"no objects in {self.path}: put Services and EndpointSlices there, as *.yaml or *.json")
        more = [f"{len(found) - MAX_PROBLEMS} more"] if len(found) > MAX_PROBLEMS else []
        return [*map(printable, found[:MAX_PROBLEMS]), *more]


def read_manifest(file: str, data: bytes, before: Manifest) -> Manifest:
    """The objects in a file's bytes; `before` is what it gave last, which stays for what cannot be read now."""
    try:
        documents = parse(data.decode("utf-8-sig"), file.endswith(".json"))
    except UnicodeDecodeError:
        return Manifest(before.objects, [f"{file}: no UTF-8 text{_consequence(before)}"], False)
    except ManifestError as error:
        return Manifest(before.objects, [f"{file}:{error}{_consequence(before)}"], False)
    manifest = Manifest()
    for document in documents:
        _read_document(file, document, before, manifest)
    return manifest


def _read_document(file: str, document: Document, before: Manifest, manifest: Manifest) -> None:
    line = document.line
    where = f"{file}:{line}" if line else file
    version, kind_name = str(document.raw.get("apiVersion")), str(document.raw.get("kind"))
    kind = KINDS_BY_NAME.get((version, kind_name))
    if kind is None:
        problem = _explain_kind(document, version, kind_name)
        if problem:
            manifest.problems.append(f"{where}: {problem}")
        return
    try:
        item = read(kind, document.raw)
    except ObjectError as error:
        place = (kind, name(document.raw))
        last = before.objects.get(place)
        if last is not None:
            manifest.objects.setdefault(place, last)
        consequence = "its last good version stays in use" if last is not None else "it is left out"
        manifest.problems.append(f"{where}: {str(error).removesuffix('.')}; {consequence}")
        return
    if (kind, item.key) in manifest.objects:
        manifest.problems.append(f"{where}: {_title((kind, item.key))} stands in this file already, which counts")
    manifest.objects.setdefault((kind, item.key), (item, line))


def _explain_kind(document: Document, version: str, kind: str) -> str:
    """Other kinds are none of our business, unless they are what somebody takes for one of ours."""
    if "apiVersion" not in document.raw or "kind" not in document.raw:
        return "an object needs apiVersion and kind"
    if kind == "EndpointSlice" and version.startswith(_SLICES_GROUP):
        return f"EndpointSlices of {version[:40]} are not read; write them as discovery.k8s.io/v1"
    if (version, kind) == ("v1", "Endpoints"):
        return "Endpoints are not read; write them as an EndpointSlice of discovery.k8s.io/v1"
    known = [name for _, name in KINDS_BY_NAME]
    near = difflib.get_close_matches(kind, known, 1, 0.8) if kind not in known else []
    return f"it is of kind {kind[:40]}; did you mean {near[0]}?" if near else ""


def _title(place: Place) -> str:
    kind, (namespace, own) = place
    return f"{kind} {namespace}/{own}"


def _consequence(before: Manifest) -> str:
    return "; its last good objects stay in use" if before.objects else "; it is left out"


def explain(error: Exception) -> str:
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
