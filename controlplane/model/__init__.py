"""Kubernetes objects as immutable values: the fields that the mesh uses, and nothing else."""
