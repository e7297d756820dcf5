"""`mesh proxy await` and `mesh proxy drain`: what a pod's containers and their hooks run beside the sidecar.

Each is a process of its own that asks the sidecar's admin port; nothing here is imported by the sidecar.
"""
