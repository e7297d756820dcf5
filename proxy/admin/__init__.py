"""The admin port: `Admin` listens and answers. docs/proxy-config.md lists what can be asked."""

from proxy.admin.pages import Admin

__all__ = ["Admin"]
