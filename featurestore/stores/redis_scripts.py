"""Lua that runs inside Redis 6.2 or newer; each script is sent once and then called by its digest.

Strings are compared byte by byte: Lua's ``<`` follows the server's locale and orders many byte pairs wrongly.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from featurestore.codec.stamp import STAMP_BYTES

__all__ = ["PROJECT_ID", "REPLACE_RECORD", "WRITE_IF_NEWER", "Script"]


@dataclass(frozen=True, slots=True)
class Script:
    text: str

    @property
    def sha(self) -> str:
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


WRITE_IF_NEWER = Script(f"""
local function order(new, old)
  for place = 1, #new do
    local x, y = string.byte(new, place), string.byte(old, place)
    if x ~= y then
      if y == nil or x > y then return 1 end
      return -1
    end
  end
  return 0
end
local count, written = #KEYS, 0
local expiring = #ARGV > count
for i = 1, count do
  local new = ARGV[i]
  local result = order(string.sub(new, 1, {STAMP_BYTES}), redis.call('GETRANGE', KEYS[i], 0, {STAMP_BYTES - 1}))
  if result == 0 then
    local old = redis.call('GET', KEYS[i])
    if old ~= new then result = order(redis.sha1hex(new), redis.sha1hex(old)) end
  end
  if result > 0 then
    if expiring and ARGV[count + i] ~= '0' then
      redis.call('SET', KEYS[i], new, 'PXAT', ARGV[count + i])
    else
      redis.call('SET', KEYS[i], new)
    end
    written = written + 1
  end
end
return written
""")
"""KEYS: row keys. ARGV: a value for each; then nothing, or Unix times in ms for each (0: none). Gives how many won."""

REPLACE_RECORD = Script("""
local held = redis.call('GET', KEYS[1])
local expected = false
if ARGV[1] == '1' then expected = ARGV[2] end
if held ~= expected then return 0 end
redis.call('SET', KEYS[1], ARGV[3])
return 1
""")
"""ARGV: '1' and the expected bytes, or '0' and anything when there should be none; then the new bytes."""

PROJECT_ID = Script("""
local id = redis.call('HGET', KEYS[1], ARGV[1])
if id then return tonumber(id) end
local next_id = redis.call('HINCRBY', KEYS[1], '', 1)
redis.call('HSET', KEYS[1], ARGV[1], next_id)
return next_id
""")
"""KEYS: the hash of ids, whose field '' counts them. ARGV: the project. An id is never given twice."""
