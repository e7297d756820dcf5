"""End-to-end comparison of the sidecar with real proxies; `python -m benchmarks` runs it, README.md explains it."""
