"""The control plane: Kubernetes objects in, standard xDS out (docs/architecture.md)."""
