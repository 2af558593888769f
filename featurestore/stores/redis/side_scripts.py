"""Lua of what lies beside the values: a shared rate, and expiry that only grows."""

from __future__ import annotations

from featurestore.stores.redis.scripts import Script

__all__ = ["EXTEND_EXPIRY", "RESERVE"]

RESERVE = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local turn = tonumber(redis.call('GET', KEYS[1]) or '0')
if turn < now then turn = now end
local after = turn + tonumber(ARGV[1])
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.floor((after - now) / 1000) + 1000)
return turn - now
""")
"""KEYS: the rate's record, when its next turn is. ARGV: microseconds that the caller's amount takes. Gives the wait."""

EXTEND_EXPIRY = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 1, #KEYS do
  local left = redis.call('PTTL', KEYS[i])
  if left >= 0 then
    if ARGV[i] == '0' then
      redis.call('PERSIST', KEYS[i])
    elseif tonumber(ARGV[i]) > now + left then
      redis.call('PEXPIREAT', KEYS[i], ARGV[i])
    end
  end
end
return 0
""")
"""KEYS: row keys. ARGV: a Unix time in ms for each, 0 for none."""
