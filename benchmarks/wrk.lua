-- The requests of wrk, and its figures as one line of JSON. The argument after `--` is the kind of headers: `unique` has
-- a `traceparent` of its own in each request, as with tracing, so that its head is new to every proxy.
wrk.headers["User-Agent"] = "benchmark/1.0"
wrk.headers["Accept"] = "application/json, text/plain, */*"
wrk.headers["Accept-Encoding"] = "gzip, deflate"
wrk.headers["X-Request-Source"] = "checkout"

local at = 0

local function unique()
  at = at + 1
  wrk.headers["traceparent"] = string.format("00-0af7651916cd43dd%016x-b7ad6b71%08x-01", at * 2654435761, at)
  return wrk.format()
end

function init(arguments)
  if arguments[1] == "unique" then request = unique end
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    '{"requests": %d, "seconds": %.6f, "errors": %d, "p50": %d, "p99": %d}',
    summary.requests, summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
