-- Sends requests in which every @ of body and headers is replaced by a number that is unique to the request.
-- Arguments: method, a prefix that makes the numbers unique to this run, body or "", then headers as Name=value.

local method, run, body, numbered, constant
local counter = 0

function init(args)
   method, run, body, numbered = args[1], args[2], args[3], {}
   constant = {}
   for index = 4, #args do
      local name, value = args[index]:match("^([^=]+)=(.*)$")
      if value:find("@", 1, true) then numbered[name] = value else constant[name] = value end
   end
end

function request()
   counter = counter + 1
   local number = run .. counter
   local headers = {}
   for name, value in pairs(constant) do headers[name] = value end
   for name, value in pairs(numbered) do headers[name] = value:gsub("@", number) end
   if body == "" then return wrk.format(method, nil, headers) end
   return wrk.format(method, nil, headers, (body:gsub("@", number)))
end

function done(summary)
   local errors = summary.errors
   io.write(string.format(
      '\n{"requests": %d, "microseconds": %d, "socket_errors": %d, "error_statuses": %d, "timeouts": %d}\n',
      summary.requests, summary.duration, errors.connect + errors.read + errors.write, errors.status, errors.timeout))
end
