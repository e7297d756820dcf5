//go:build tools

// Package coredns names the DNS server of the tests' cluster, so that go.mod and go.sum pin it with its hash.
package coredns

import _ "github.com/coredns/coredns"
