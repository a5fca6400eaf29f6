-- wrk: PUT of a new object each time. Arguments: bucket, size in bytes, prefix of the names.
local bucket, size, prefix
local count = 0

function init(arguments)
    bucket, size, prefix = arguments[1], tonumber(arguments[2]), arguments[3]
    wrk.method = "PUT"
    wrk.body = string.rep("x", size)
end

function request()
    count = count + 1
    return wrk.format(nil, string.format("/v1/objects/%s/%s-%012d?provider=ais", bucket, prefix, count))
end
