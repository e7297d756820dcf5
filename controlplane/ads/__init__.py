"""The aggregated discovery service over gRPC."""
