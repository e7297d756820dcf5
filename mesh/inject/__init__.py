"""`mesh inject` and `mesh uninject`: manifests in, manifests with or without the sidecar out.

`sources` reads them, `workloads` finds the pods in them, `injector.patch` says what becomes of each, and `manifest`
changes no more of the text than that takes: comments, order and quotes stay (`tree`, `editing`, `rendering`). `report`
tells on stderr what was done and why not; `session` is one run of it all.
"""
