"""The version of Gossamer: the one place that says it (pyproject.toml, `mesh version` and the metrics read it here)."""

VERSION = "0.1.0"
