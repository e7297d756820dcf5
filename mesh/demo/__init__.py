"""`mesh demo`: a voting application on one machine, first without the mesh and then with it.

`story` tells it and starts the parts (`process`): six replicas (`replica`), the web front (`front`) and one `sidecar`.
What the front saw becomes `figures`, the figures become a `verdict`, and `screen` and `summary` show them.
Only `replica` and `front`, which run as processes of their own, import grpc.
"""
