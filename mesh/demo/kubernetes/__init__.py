"""The voting application on Kubernetes: what runs in its pods, its manifests, and `mesh demo --kubernetes`."""
