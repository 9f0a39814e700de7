-- Sends requests that differ from each other: every @ in body and headers becomes a number of its own.
-- Arguments: method, what makes the numbers of this run different from others', body or "", then headers as Name=value.

local method, run, body, headers, plain
local counter = 0

function init(args)
   method, run, body, headers = args[1], args[2], args[3], {}
   plain = {}
   for index = 4, #args do
      local name, value = args[index]:match("^([^=]+)=(.*)$")
      if value:find("@", 1, true) then headers[name] = value else plain[name] = value end
   end
end

function request()
   counter = counter + 1
   local number = run .. counter
   local sent = {}
   for name, value in pairs(plain) do sent[name] = value end
   for name, value in pairs(headers) do sent[name] = value:gsub("@", number) end
   if body == "" then return wrk.format(method, nil, sent) end
   return wrk.format(method, nil, sent, (body:gsub("@", number)))
end

function done(summary)
   local wrong = summary.errors
   io.write(string.format(
      '\n{"requests": %d, "microseconds": %d, "broken": %d, "refused": %d, "late": %d}\n',
      summary.requests, summary.duration, wrong.connect + wrong.read + wrong.write, wrong.status, wrong.timeout))
end
