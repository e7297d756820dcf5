"""`mesh proxy init`: has the kernel hand a pod's TCP to the sidecar, by nat rules in the pod's network namespace.

`settings`, `rules` and `fault` are pure; `firewall` runs the iptables programs; `main` puts them together. Nothing of
the running sidecar imports this: it runs once, before the pod's containers, with rights that the sidecar never has.
"""
