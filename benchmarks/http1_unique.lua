-- wrk: each request is part of a trace of its own, so its head is new to every proxy.
local at = 0
function request()
  at = at + 1
  wrk.headers["traceparent"] = string.format("00-0af7651916cd43dd%016x-b7ad6b71%08x-01", at * 2654435761, at)
  return wrk.format()
end
