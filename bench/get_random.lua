-- wrk: GET of a random one of many. Arguments: the target with %06d for the number, how many.
local target, count

function init(arguments)
    target, count = arguments[1], tonumber(arguments[2])
end

function request()
    return wrk.format("GET", string.format(target, math.random(0, count - 1)))
end
