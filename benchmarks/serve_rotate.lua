-- Sends the same few requests in turn and prints what came of them as one line of JSON.
-- Arguments after `--`: the path, the content type and the files that hold the bodies.

local requests, position = {}, 0

function init(arguments)
  for index = 3, #arguments do
    local file = assert(io.open(arguments[index], "rb"))
    local headers = {["Content-Type"] = arguments[2], ["Host"] = wrk.host .. ":" .. wrk.port}
    requests[#requests + 1] = wrk.format("POST", arguments[1], headers, file:read("*a"))
    file:close()
  end
  if #requests > 1 then
    function request()
      position = position % #requests + 1
      return requests[position]
    end
  else
    function request() return requests[1] end
  end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d, "mean_us": %d, ' ..
    '"refused": %d, "broken": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    latency.mean, errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
