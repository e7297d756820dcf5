"""The admission webhook: reviews of the API server in, patches out."""
