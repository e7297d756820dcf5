"""The forms in which `mesh check` answers. Apart, since naming the options must not bring in what asks a cluster."""

from __future__ import annotations

from enum import StrEnum


class Form(StrEnum):
    """`short` has only what is wrong."""

    TABLE = "table"
    JSON = "json"
    SHORT = "short"
