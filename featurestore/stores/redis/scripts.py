"""Lua that runs inside Redis 6.2 or newer; each script is sent once and then called by its digest.

Strings are compared byte by byte: Lua's ``<`` follows the server's locale and orders many byte pairs wrongly.
"""

from __future__ import annotations

import hashlib

from featurestore.codec.stamp import STAMP_BYTES

__all__ = ["IS_NEWER", "PROJECT_ID", "REPLACE_RECORD", "WRITE_IF_NEWER", "Script"]


class Script:
    """A script's text and the digest that Redis knows it by; equal texts are equal scripts."""

    __slots__ = ("sha", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Script) and other.sha == self.sha

    def __hash__(self) -> int:
        return hash(self.sha)


IS_NEWER = f"""
local function order(new, old)
  if new == old then return 0 end
  for place = 1, #new do
    local x, y = string.byte(new, place), string.byte(old, place)
    if x ~= y then
      if y == nil or x > y then return 1 end
      return -1
    end
  end
  return 0
end
local function is_newer(new, old)
  if not old then return true end
  local result = order(string.sub(new, 1, {STAMP_BYTES}), string.sub(old, 1, {STAMP_BYTES}))
  if result == 0 and old ~= new then result = order(redis.sha1hex(new), redis.sha1hex(old)) end
  return result > 0
end"""
"""Lua's ``codec.stamp.is_newer``: whether a value is to replace what a key holds."""

WRITE_IF_NEWER = Script(f"""
{IS_NEWER}
local count, written = #KEYS, 0
local expiring = #ARGV > count
local held, absent, winner = redis.call('MGET', unpack(KEYS)), {{}}, {{}}
for i = 1, count do
  if not held[i] then absent[#absent + 1] = KEYS[i] end
end
if #absent > 0 and redis.call('EXISTS', unpack(absent)) > 0 then
  for i = 1, #absent do redis.call('STRLEN', absent[i]) end
end
for i = 1, count do
  if is_newer(ARGV[i], ARGV[winner[KEYS[i]]] or held[i]) then
    winner[KEYS[i]] = i
    written = written + 1
  end
end
local lasting = {{}}
for i = 1, count do
  if winner[KEYS[i]] == i then
    if expiring and ARGV[count + i] ~= '0' then
      redis.call('SET', KEYS[i], ARGV[i], 'PXAT', ARGV[count + i])
    else
      lasting[#lasting + 1] = KEYS[i]
      lasting[#lasting + 1] = ARGV[i]
    end
  end
end
if #lasting > 0 then redis.call('MSET', unpack(lasting)) end
return written
""")
"""KEYS: row keys. ARGV: a value for each; then nothing, or Unix times in ms for each (0: none). Gives how many won.

MGET passes over a key of another kind than text, which STRLEN then complains of. All keys are read and set by one
command each: a command for each key made the script take up to three times as long.
"""

REPLACE_RECORD = Script("""
local held = redis.call('GET', KEYS[1])
local expected = false
if ARGV[1] == '1' then expected = ARGV[2] end
if held == expected then
  redis.call('SET', KEYS[1], ARGV[3])
  return 1
end
return held == ARGV[3] and 2 or 0
""")
"""ARGV: '1' and the expected bytes, or '0' and anything when there should be none; then the new bytes.

Gives 1 when it was replaced, 2 when it held the new bytes already, else 0.
"""

PROJECT_ID = Script("""
local id = redis.call('HGET', KEYS[1], ARGV[1])
if id then return tonumber(id) end
local next_id = redis.call('HINCRBY', KEYS[1], '', 1)
redis.call('HSET', KEYS[1], ARGV[1], next_id)
return next_id
""")
"""KEYS: the hash of ids, whose field '' counts them. ARGV: the project. An id is never given twice."""
