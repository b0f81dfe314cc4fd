-- Let a script go on only for the newest holder of a lock; the script's own text follows.
--
--   KEYS[1]  the guard's key: the newest fence that was here, a space, and its owner
--   ARGV[1]  the fence of the lease, ARGV[2] its owner
--
-- All other keys and arguments are the script's, which sees them as its KEYS and ARGV. Fences
-- are below 2^53, which doubles hold exactly.
do
  local fence, owner = tonumber(ARGV[1]), ARGV[2]
  local seen = redis.call('GET', KEYS[1])
  if seen then
    local digits, whose = string.match(seen, '^(%d+) (.*)$')
    local newest = tonumber(digits)
    if not newest then
      return redis.error_reply('NOTAGUARD the key of the guard holds something else')
    end
    if fence < newest or (fence == newest and owner ~= whose) then
      return redis.error_reply('STALEFENCE ' .. digits)
    end
  end
  -- Kept for ever: a guard that forgets would let an old holder pass.
  redis.call('SET', KEYS[1], string.format('%.0f %s', fence, owner))
  table.remove(KEYS, 1)
  table.remove(ARGV, 1)
  table.remove(ARGV, 1)
end
