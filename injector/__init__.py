"""Puts the sidecar into pods. `patch` works out what that takes, for the webhook and for `mesh inject`."""
