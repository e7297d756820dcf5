"""How a request ended, as the balancer sees it: the argument of `Endpoint.end`.

Only a fault of the *endpoint* may move traffic away from it. A code that follows the method (NOT_FOUND, INTERNAL, ...)
must not: a method that always fails would level all pods and hide the slow one. Plain ints, see DESIGN 3.1.
"""

# Answered, and well.
SUCCESS = 0
# The endpoint failed: connect failure, reset, the proxy's own timeout, HTTP 502/503/504, gRPC UNAVAILABLE; HTTP 429 and
# gRPC RESOURCE_EXHAUSTED where it asks to wait.
FAULT = 1
# Answered with an error that says nothing about the endpoint, so the endpoint works.
NEUTRAL = 2
# The client gave up before its deadline: at most a lower bound of the latency.
CANCELLED = 3
# The client gave up because its deadline had passed.
EXPIRED = 4
# The endpoint never processed the request: REFUSED_STREAM, or above a GOAWAY's last stream.
UNPROCESSED = 5
# Given up before the client had sent all of it: neither the time nor the end says anything of the endpoint.
ABANDONED = 6
