"""From Kubernetes objects to what can be called: pure, and the same whatever order the events came in."""
