-- Token buckets by the generic cell rate algorithm (GCRA, ITU-T I.371). A key holds the time at which its bucket is full
-- again. A request takes from all buckets or from none.
--
-- KEYS: one for each bucket, and, if requests at a time are limited, a sorted set: request -> when its lease ends.
-- ARGV: the time in microseconds, or nothing for the time of Redis; how many requests at a time, or 0;
--       the request; its lease in microseconds; and for each bucket: microseconds per unit, window, units to take.
-- Returns the number of the bucket that has too little (0: none, -1: too many requests at a time), the microseconds until
-- it has enough, the requests in progress, and for each bucket: units left, and microseconds until it is full.
local now, spare = tonumber(ARGV[1]), 3600000 -- by another clock than Redis', a key must not expire
if not now then
  local time = redis.call('TIME')
  now, spare = time[1] * 1000000 + time[2], 0
end
local count = (#ARGV - 4) / 3
local full_at, refused, wait = {}, 0, 0
for i = 1, count do
  local interval, window, cost = tonumber(ARGV[2 + i * 3]), tonumber(ARGV[3 + i * 3]), tonumber(ARGV[4 + i * 3])
  full_at[i] = math.max(tonumber(redis.call('GET', KEYS[i])) or 0, now)
  local lacking = full_at[i] + cost * interval - now - window
  if cost > 0 and lacking > 1 and lacking > wait then
    refused, wait = i, lacking
  end
end

local limit, in_progress = tonumber(ARGV[2]), 0
if limit > 0 then
  local key = KEYS[count + 1]
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  in_progress = redis.call('ZCARD', key)
  if refused == 0 and ARGV[3] ~= '' then
    if in_progress >= limit then
      refused, wait = -1, 1000000
    else
      redis.call('ZADD', key, now + ARGV[4], ARGV[3])
      redis.call('PEXPIRE', key, spare + math.ceil(ARGV[4] / 1000))
      in_progress = in_progress + 1
    end
  end
end

local answer = {refused, math.ceil(wait), in_progress}
for i = 1, count do
  local interval, window, cost = tonumber(ARGV[2 + i * 3]), tonumber(ARGV[3 + i * 3]), tonumber(ARGV[4 + i * 3])
  if refused == 0 and cost > 0 then
    full_at[i] = full_at[i] + cost * interval
    redis.call('SET', KEYS[i], string.format('%.0f', full_at[i]), 'PX', spare + math.ceil((full_at[i] - now) / 1000))
  end
  answer[2 + i * 2] = math.max(0, math.floor((window - full_at[i] + now) / interval + 0.001))
  answer[3 + i * 2] = math.ceil(full_at[i] - now)
end
return answer
