"""The control plane under a large cluster: 1,000 sidecars, 1,000 Services, 10,000 endpoints (`--help` says how)."""
