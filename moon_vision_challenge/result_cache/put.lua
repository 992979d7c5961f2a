-- Keep a value, and drop the oldest ones while all together are too large.
-- KEYS: the value's key, a sorted set of all keys by the time at which they expire, a hash of their sizes, the sum.
-- ARGV: the value, seconds to keep it, the largest sum in bytes.
local key, index, sizes, sum = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local value, keep_s, max_bytes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local now = tonumber(redis.call('TIME')[1])
-- Redis keeps the key four times, and about 200 bytes around the entries.
local size = #value + 4 * #key + 200

local function drop(old)
  redis.call('DECRBY', sum, redis.call('HGET', sizes, old) or 0)
  redis.call('DEL', old)
  redis.call('HDEL', sizes, old)
  redis.call('ZREM', index, old)
end

if redis.call('HEXISTS', sizes, key) == 1 then drop(key) end
if size > max_bytes then return 0 end
for _, old in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, 100)) do drop(old) end
local total = redis.call('INCRBY', sum, size)
while total > max_bytes do
  local oldest = redis.call('ZRANGE', index, 0, 0)[1]
  if not oldest then break end
  drop(oldest)
  total = tonumber(redis.call('GET', sum))
end
redis.call('SET', key, value, 'EX', keep_s)
redis.call('HSET', sizes, key, size)
redis.call('ZADD', index, now + keep_s, key)
return 1
