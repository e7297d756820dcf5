"""The settings in force: flags, over them the file of `--config`, fitted to the cluster's version.

A ConfigMap that is mounted changes by itself: the file is read again every second. One that cannot be used leaves
the last good settings in force, and is told once. At the start, where there are none, only what cannot be used of it
is left out: a typing error must not take the webhook away, which with `failurePolicy: Fail` would hold up all pods.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from injector.api.access import Access, Denied
from injector.patch import Settings
from injector.patch.fields import Refusal
from injector.patch.settings import SYSTEM_NAMESPACES, read_settings
from injector.problem import Problem
from mesh.access import Lost
from mesh.log import log

LOOK_S: Final = 1.0
_RETRY_S: Final = 5.0
_VERSION_LOOK_S: Final = 600.0  # clusters are upgraded while we run
_SIZE_BYTES: Final = 1 << 20  # of a ConfigMap


class SettingsError(Exception):
    """Flags are wrong, or there is no file, at the start. The message is complete: print it and exit with 2."""


class Configuration:
    """`settings` is what each review takes. `namespace` is the mesh's own, which is never meshed."""

    def __init__(self, flags: Mapping[str, Any], path: str | None, namespace: str) -> None:
        self.problem = Problem("the settings are in force again")
        self._flags, self._namespace = flags, namespace
        self._path = Path(path) if path else None
        self._text: str | None = None  # what is in force as a whole
        self._unusable: str | None = None  # what the file held at the start, if part of it is left out
        self._version: tuple[int, int] | None = None
        self._plain = self.settings = Settings()

    def open(self) -> None:
        """Raises SettingsError."""
        try:
            self._load("")
            text = self._read()
        except (OSError, Refusal) as error:
            raise SettingsError(self._explain(error)) from None
        self._load_usable(text)

    def look(self) -> None:
        """Take a changed file up."""
        try:
            text = self._read()
            if text == self._unusable:
                return
            self._unusable = None
            if text != self._text:
                self._load(text)
                log(f"the settings of {self._path} are in force")
        except (OSError, Refusal) as error:
            self.problem.tell(f"{self._explain(error)}; the settings before stay in force")
        else:
            self.problem.settle()

    async def follow_file(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()

    async def follow_version(self, access: Access) -> None:
        """Whether the cluster has native sidecars. Where it does not say, it is taken for a new one."""
        while True:
            try:
                answer = await access.get("/version")
                self._fit(read_version(answer))
            except (Denied, Lost):
                await asyncio.sleep(_RETRY_S)
                continue
            await asyncio.sleep(_VERSION_LOOK_S)

    def _fit(self, version: tuple[int, int] | None) -> None:
        self._version = version
        self.settings = self._plain.on_kubernetes(*version) if version else self._plain

    def _read(self) -> str:
        if self._path is None:
            return ""
        with self._path.open("rb") as file:
            return file.read(_SIZE_BYTES + 1).decode("utf-8", "replace")

    def _load(self, text: str) -> None:
        check_size(text)
        self._plain = merge(self._flags, parse(text), self._namespace)
        self._text = text
        self._fit(self._version)

    def _load_usable(self, text: str) -> None:
        try:
            self._load(text)
        except Refusal:
            self._plain, sentences = merge_usable(self._flags, text, self._namespace)
            self._fit(self._version)
            self._text, self._unusable = None, text
            self.problem.tell(f"--config {self._path}: {'; '.join(sentences)}; that is left out")

    def _explain(self, error: OSError | Refusal) -> str:
        if isinstance(error, OSError):
            return f"--config {self._path} cannot be read: {error.strerror}"
        return f"--config {self._path}: {error}" if self._path else str(error)


def parse(text: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        raise Refusal(f"it is no YAML{f', line {mark.line + 1}' if mark else ''}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise Refusal("give an object of settings")
    return values


def check_size(text: str) -> None:
    if len(text.encode()) > _SIZE_BYTES:
        raise Refusal("it has more than 1 MiB")


def merge(flags: Mapping[str, Any], values: Mapping[str, Any], namespace: str) -> Settings:
    """The file has the last word, option by option. Whatever it says, the mesh's own namespace is never meshed."""
    given = values.get("defaults")
    defaults = {**flags.get("defaults", {}), **given} if isinstance(given, dict) else given
    merged = {**flags, **values, "defaults": flags.get("defaults", {}) if given is None else defaults}
    never = values.get("never", sorted(SYSTEM_NAMESPACES))
    merged["never"] = [*never, namespace] if isinstance(never, list) else never
    return read_settings(merged)


def merge_usable(flags: Mapping[str, Any], text: str, namespace: str) -> tuple[Settings, list[str]]:
    """The same of what can be used, each setting and option by itself, and a sentence for each that cannot."""
    values: dict[str, Any] = {}
    sentences = []
    try:
        check_size(text)
        parts = split(parse(text))
    except Refusal as refusal:
        parts, sentences = [], [str(refusal)]
    for part in parts:
        try:
            merge(flags, part, namespace)
        except Refusal as refusal:
            sentences.append(str(refusal))
        else:
            values = add_part(values, part)
    return merge(flags, values, namespace), sentences


def split(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One piece for each setting, and for each option in `defaults` and in `locked`."""
    given, locked = values.get("defaults"), values.get("locked")
    options = [{"defaults": {name: value}} for name, value in given.items()] if isinstance(given, dict) else []
    locks = [{"locked": [name]} for name in locked] if isinstance(locked, list) else []
    done = {name for name, pieces in (("defaults", options), ("locked", locks)) if pieces}
    return [{name: value} for name, value in values.items() if name not in done] + options + locks


def add_part(values: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {**values.get("defaults", {}), **(part.get("defaults") or {})}
    return {**values, **part, "defaults": defaults, "locked": [*values.get("locked", []), *part.get("locked", [])]}


def read_version(answer: Mapping[str, Any]) -> tuple[int, int] | None:
    """Minor versions have a tail at some clouds, such as 29+."""
    numbers = [re.match(r"\d+", str(answer.get(name, ""))) for name in ("major", "minor")]
    return (int(numbers[0][0]), int(numbers[1][0])) if numbers[0] and numbers[1] else None
