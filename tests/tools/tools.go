//go:build tools

// Package tools names the Go programs that the tests run, so that go.mod and go.sum pin them with their hashes.
package tools

import (
	_ "github.com/summerwind/h2spec/cmd/h2spec"
	_ "google.golang.org/grpc/interop/client"
	_ "google.golang.org/grpc/interop/server"
)
