-- Sends a request in which twelve @ are replaced by text of the same length that is unique to the request.
-- Arguments: the text of the request, and a prefix of the unique text that differs in each run of wrk.

local text, run, digits
local counter = 0

function init(args)
   text, run = args[1], args[2]
   digits = "%0" .. 12 - #run .. "d"
end

function request()
   counter = counter + 1
   return (text:gsub("@+", run .. string.format(digits, counter)))
end

function done(summary)
   local errors = summary.errors
   io.write(string.format(
      '\n{"requests": %d, "microseconds": %d, "socket_errors": %d, "error_statuses": %d, "timeouts": %d}\n',
      summary.requests, summary.duration, errors.connect + errors.read + errors.write, errors.status, errors.timeout))
end
