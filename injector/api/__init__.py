"""What is asked of the Kubernetes API."""
