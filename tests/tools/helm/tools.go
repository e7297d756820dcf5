//go:build tools

// Package helm names Helm itself, so that go.mod and go.sum pin it with its hashes.
package helm

import _ "helm.sh/helm/v3/cmd/helm"
