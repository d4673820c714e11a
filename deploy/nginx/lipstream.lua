-- Held requests collapsed in nginx: one request of the origin for all who ask the same, in all
-- worker processes; its answer is kept for as long as it says, in a dictionary of bounded size.
--
-- The first who asks for something takes a lock in shared memory and asks the origin. Others in the
-- same worker wait on a semaphore and are woken with the very answer; in each other worker one
-- looks every few milliseconds whether it is there and wakes the rest.
--
-- Shared is only a GET below /live/ without Authorization, and of it only what can change the
-- answer counts. Everything else goes to the origin as it came.

local semaphore = require("ngx.semaphore")

local kept, asking = ngx.shared.lipstream_kept, ngx.shared.lipstream_asking

-- Above the longest hold and nginx's proxy_read_timeout.
local HOLD_SECONDS = 40
-- How late another worker process hears of an answer.
local LOOK_SECONDS = 0.004
-- A playlist without directives is as fresh as the next part.
local PLAYLIST_SECONDS = 0.2
-- A held playlist may be kept for 12 s (63), but all viewers are within a second of each other, and
-- a stream that is started anew on a clock that was set back must not meet answers of its past.
local RELOAD_SECONDS = 1
-- All who wait get the origin's 503, instead of each waiting six seconds again.
local BUSY_SECONDS = 0.2
-- A part that is not there yet is there in a moment. If its 404 were kept, anybody could keep it
-- from all viewers by asking too early.
local ERROR_SECONDS = 0.01
-- So long after a link has expired may it still open what is kept.
local TOKEN_SECONDS = 10

local PATH = [[^(/live(?:/[A-Za-z0-9][A-Za-z0-9._-]*)+)(?:\?|$)]]
local WITH_TOKEN = [[^(/live/[a-z0-9][a-z0-9-]{0,62})(/t/[A-Za-z0-9_-]{28})((?:/[A-Za-z0-9][A-Za-z0-9._-]*)+)(?:\?|$)]]
local DIRECTIVES = { "_HLS_msn", "_HLS_part", "_HLS_skip" }
-- 42: v2 may leave out date ranges too. There are none, so it is the same answer; any other value is
-- answered as if it were not there.
local SKIPS = { YES = "YES", v2 = "YES" }
-- Of a connection, not of an answer; nginx makes its own.
local NOT_KEPT = {
    connection = true, ["content-length"] = true, ["keep-alive"] = true, server = true,
    ["set-cookie"] = true, ["transfer-encoding"] = true, age = true,
}
-- Names of headers are in lower case everywhere here.
local AWAY = {
    status = 503,
    headers = {
        ["content-type"] = "application/problem+json",
        ["access-control-allow-origin"] = "*",
        ["retry-after"] = "1",
    },
    body = '{"title": "Service Unavailable", "status": 503, '
        .. '"detail": "the origin is away; ask again in a second"}',
    seconds = BUSY_SECONDS,
}

local M = {}
local flights = {} -- of this worker: what is asked for -> who waits for it

-- What the answer of a playlist depends on; any other parameter would be a free way to have the
-- origin hold one more request.
local function directives()
    local given, found = ngx.req.get_uri_args(32), {}
    for _, name in ipairs(DIRECTIVES) do
        local value = given[name]
        if type(value) == "table" then
            value = value[1] -- the first counts, as at the origin
        end
        if name == "_HLS_skip" then
            value = SKIPS[value]
        end
        if value ~= nil then
            found[#found + 1] = name .. "=" .. ngx.escape_uri(value == true and "" or value)
        end
    end
    return #found > 0 and "?" .. table.concat(found, "&") or ""
end

local function takes_gzip()
    local accepted = ngx.var.http_accept_encoding
    return accepted ~= nil and ngx.re.find(accepted, [[\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))]], "joi") ~= nil
end

-- A request as the origin is asked and as it is found again; nil: not to be shared.
local function read_request()
    if ngx.var.request_method ~= "GET" or ngx.var.http_authorization then
        return nil
    end
    local raw, asked = ngx.var.request_uri, nil
    local match = ngx.re.match(raw, WITH_TOKEN, "jo")
    if match then
        -- Who came with a token never meets what is kept for those without: where links are
        -- needed there is nothing for these.
        asked = { opener = match[1] .. match[2] .. "/index.m3u8", path = match[1] .. match[2] .. match[3] }
        asked.key = "token " .. match[1] .. match[3]
    else
        match = ngx.re.match(raw, PATH, "jo")
        if not match then
            return nil
        end
        asked = { path = match[1], key = match[1] }
    end
    asked.query = ""
    if asked.path:sub(-5) == ".m3u8" then
        asked.query = directives()
        asked.encoding = takes_gzip() and "gzip" or ""
        asked.is_playlist = true
        asked.key = asked.key .. asked.query .. " " .. asked.encoding
    end
    return asked
end

-- Seconds for which an answer may be kept; nil: it is for nobody else.
local function lifetime(status, header, asked)
    local rules = (header["cache-control"] or ""):lower()
    if header["set-cookie"] or rules:find("no-store", 1, true) or rules:find("private", 1, true) then
        return nil
    end
    if status == 503 then
        return BUSY_SECONDS
    elseif status >= 400 then
        return ERROR_SECONDS
    end
    local seconds = tonumber(rules:match("max%-age=(%d+)"))
    if status ~= 200 or not seconds then
        return nil
    end
    seconds = seconds - (tonumber(header["age"]) or 0)
    if asked.is_playlist then
        seconds = math.min(seconds, asked.query == "" and PLAYLIST_SECONDS or RELOAD_SECONDS)
    end
    return seconds > 0 and seconds or nil
end

local function ask_origin(asked)
    local vars = { lipstream_encoding = asked.encoding or "" }
    local got = ngx.location.capture("/-lipstream-get" .. asked.path .. asked.query, { vars = vars })
    if got.truncated or got.status == 502 or got.status == 504 then
        return AWAY
    end
    local all, headers = {}, {}
    for name, value in pairs(got.header) do
        name = name:lower()
        all[name] = value
        if not NOT_KEPT[name] and type(value) == "string" then
            headers[name] = value
        end
    end
    local seconds = lifetime(got.status, all, asked)
    if got.status == 200 and asked.keep then
        seconds = asked.keep
    end
    return { status = got.status, headers = headers, body = got.body, seconds = seconds }
end

-- --- what is kept -------------------------------------------------------------------------------

local function keep(key, answer)
    if not answer.seconds then
        return
    end
    local rows = { tostring(ngx.now()) }
    for name, value in pairs(answer.headers) do
        rows[#rows + 1] = name .. ": " .. value
    end
    -- What has no room is not kept: those who wait in this worker have it, others ask anew.
    kept:set(key, table.concat(rows, "\n") .. "\n\n" .. answer.body, answer.seconds, answer.status)
end

local function find(key)
    local value, status = kept:get(key)
    if not value then
        return nil
    end
    local head_end = value:find("\n\n", 1, true)
    local headers, stored = {}, nil
    for row in value:sub(1, head_end):gmatch("([^\n]+)\n") do
        if not stored then
            stored = tonumber(row)
        else
            local name, text = row:match("^([^:]+): (.*)$")
            headers[name] = text
        end
    end
    local age = math.floor(ngx.now() - stored)
    headers["server-timing"] = nil -- how long the first was held is not true of who comes later
    headers["age"] = age > 0 and tostring(age) or nil
    return { status = status, headers = headers, body = value:sub(head_end + 2), seconds = 0 }
end

-- --- one request for all ------------------------------------------------------------------------

local function ask_with_lock(key, asked)
    local answer = find(key) -- it may have come while the lock was being taken
    if not answer then
        answer = ask_origin(asked)
        keep(key, answer)
    end
    return answer
end

-- Ask the origin, or wait for the worker process that does.
local function lead(key, asked)
    local deadline = ngx.now() + HOLD_SECONDS
    while ngx.now() < deadline do
        if asking:add(key, true, HOLD_SECONDS) then
            local ok, answer = pcall(ask_with_lock, key, asked)
            asking:delete(key)
            if not ok then
                error(answer)
            end
            return answer
        end
        ngx.sleep(LOOK_SECONDS)
        local answer = find(key)
        if answer then
            return answer
        end
    end
    return AWAY
end

-- The answer, kept or new. One that is for nobody else only its leader gets: nil for the others.
local function obtain(key, asked)
    local answer = find(key)
    if answer then
        return answer
    end
    local flight = flights[key]
    if flight then
        flight.waiting = flight.waiting + 1
        flight.gate:wait(2 * HOLD_SECONDS)
        return flight.answer
    end
    flight = { gate = semaphore.new(0), waiting = 0 }
    flights[key] = flight
    local ok, found = pcall(lead, key, asked)
    flights[key] = nil
    if not ok then
        ngx.log(ngx.ERR, "asking for ", key, ": ", found)
        found = AWAY
    end
    if found.seconds then
        flight.answer = found
    end
    if flight.waiting > 0 then
        flight.gate:post(flight.waiting)
    end
    return found
end

local function send(answer)
    ngx.status = answer.status
    for name, value in pairs(answer.headers) do
        ngx.header[name] = value
    end
    ngx.header["Content-Length"] = #answer.body
    ngx.print(answer.body)
end

-- Whether the origin takes this token, asked for the first who comes with it and then every
-- TOKEN_SECONDS; nil, or the answer of a refusal.
local function refusal(asked)
    local opener = { path = asked.opener, query = "", encoding = "", keep = TOKEN_SECONDS }
    local verdict = obtain("opens " .. asked.opener, opener)
    if verdict == nil then
        return ngx.exec("@origin") -- refused to somebody else: the origin says it once more
    end
    return verdict.status ~= 200 and verdict or nil
end

--- Answer the request: nginx calls this.
function M.serve()
    local asked = read_request()
    if not asked then
        return ngx.exec("@origin")
    end
    local is_public = ngx.var.server_port ~= ""
    if is_public and (ngx.req.http_version() > 1.1 or ngx.var.http_range) then
        return ngx.exec("@itself")
    end
    ngx.req.discard_body()
    local refused = asked.opener and refusal(asked)
    if refused then
        return send(refused)
    end
    local answer = obtain(asked.key, asked)
    if not answer then
        return ngx.exec("@origin")
    end
    return send(answer)
end

return M
