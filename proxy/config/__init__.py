"""The static configuration of a proxy: `load` a file, or make it from arguments. See docs/proxy-config.md."""

from proxy.config.file import from_arguments, load, load_settings, with_settings, without_clusters

__all__ = ["from_arguments", "load", "load_settings", "with_settings", "without_clusters"]
