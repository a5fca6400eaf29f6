-- wrk: PUT over objects that are there, at random. Arguments: bucket, size in bytes, number of names,
-- milliseconds that each connection waits between its requests, seed.
local bucket, size, names, wait_ms

function init(arguments)
    bucket, size, names = arguments[1], tonumber(arguments[2]), tonumber(arguments[3])
    wait_ms = tonumber(arguments[4])
    math.randomseed(tonumber(arguments[5]))
    wrk.method = "PUT"
    wrk.body = string.rep("x", size)
end

function delay()
    return math.random(0, 2 * wait_ms)
end

function request()
    return wrk.format(nil, string.format("/v1/objects/%s/o%09d?provider=ais", bucket,
                                         math.random(0, names - 1)))
end
