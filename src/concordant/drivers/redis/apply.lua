-- The lock model on Redis: applies a whole batch of operations, atomically.
--
-- It takes the very steps of concordant.locking.model, operation by operation: drop what has
-- expired, grant to the head of the queue, act, grant again. What it adds is the hints, and that
-- a head whose client stopped listening is passed over at once.
--
--   KEYS     the records of the locks that the batch names, each once
--   ARGV[1]  the operations, a JSON list of lists that begin with a code and an index of KEYS
--   ARGV[2]  the prefix of all keys and channels
--
-- Returns one line for each operation: a letter for the kind of result, and JSON.
-- Nothing is written before all is decided. Fences and times are below 2^53, which doubles hold
-- exactly; they are printed by %.0f, since Lua's own way and cjson's end at 14 digits.
-- The numbers in capitals that are not defined here stand before this text when it is loaded.

-- A record is a packed list, and so are its parts; an absent key is a lock never used.
local FORMAT, FENCE, CAPACITY, HOLDERS, WAITERS, STONES = 1, 2, 3, 4, 5, 6
local OWNER, EXPIRES = 1, 2  -- the same in a holder, a waiter and a tombstone
local H_FENCE, H_PERMITS, H_TTL, H_CONFIRMED, H_NOTE = 3, 4, 5, 6, 7
-- HEARD: somebody listened for the waiter's client when it last asked.
local W_PERMITS, W_TTL, W_HEARD, W_NOTE = 3, 4, 5, 6
-- An operation: its code, its key, and what follows; see concordant.drivers.redis.codec.
local CODE, KEY, WHO = 1, 2, 3

local call, format, encode = redis.call, string.format, cjson.encode
local max, min, ceil = math.max, math.min, math.ceil

local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]
local prefix = ARGV[2]

local function client_of(owner)
  return string.match(owner, '^[^.]*')
end

local function channel_of(client)
  return prefix .. 'hint:' .. client
end

-- Return the list without what has expired, and whether that changed it.
local function unexpired(list)
  for i = 1, #list do
    if list[i][EXPIRES] <= now then
      local kept = {}
      for j = 1, #list do
        if list[j][EXPIRES] > now then kept[#kept + 1] = list[j] end
      end
      return kept, true
    end
  end
  return list, false
end

local function purge(record)
  local changed = false
  for part = HOLDERS, STONES do
    local kept, expired = unexpired(record[part])
    if expired then
      record[part] = kept
      changed = true
    end
  end
  return changed
end

local function free(record)
  local permits = record[CAPACITY]
  for _, holder in ipairs(record[HOLDERS]) do permits = permits - holder[H_PERMITS] end
  return permits
end

local function find(list, owner)
  for i = 1, #list do
    if list[i][OWNER] == owner then return i end
  end
end

-- Take one owner's entry out of a list; return whether there was one.
local function remove(list, owner)
  local place = find(list, owner)
  if place then table.remove(list, place) end
  return place ~= nil
end

local function next_fence(record)
  record[FENCE] = max(record[FENCE] + 1, now)
  return record[FENCE]
end

-- Grant to waiters from the head while their permits are free; add the grants to the list.
local function promote(record, granted)
  local waiters = record[WAITERS]
  if #waiters == 0 then return end
  local permits = free(record)
  while waiters[1] and waiters[1][W_PERMITS] <= permits do
    local head = table.remove(waiters, 1)
    permits = permits - head[W_PERMITS]
    local holder = {head[OWNER], now + CONFIRM_US, next_fence(record), head[W_PERMITS],
                    head[W_TTL], 0, head[W_NOTE]}
    table.insert(record[HOLDERS], holder)
    granted[#granted + 1] = {holder = holder, heard = head[W_HEARD] == 1}
  end
end

local function ms_until(expires)
  return max(0, ceil((expires - now) / 1000))
end

local function retry_ms(record, position)
  local wait = min(RETRY_STEP_MS * (position + 1), RETRY_MAX_MS)
  for _, holder in ipairs(record[HOLDERS]) do wait = min(wait, ms_until(holder[EXPIRES])) end
  return max(1, wait)
end

-- Give a holder a full TTL from now, which also confirms it.
local function extend(holder, ttl_ms)
  holder[H_TTL], holder[EXPIRES], holder[H_CONFIRMED] = ttl_ms, now + ttl_ms * 1000, 1
end

local function holder_of(record, owner, fence)
  for i, holder in ipairs(record[HOLDERS]) do
    if holder[OWNER] == owner and holder[H_FENCE] == fence then return holder, i end
  end
end

local function acquire(record, op)
  local _, _, owner, ttl_ms, wait, permits, capacity, note = unpack(op)
  local holders, waiters = record[HOLDERS], record[WAITERS]
  if find(record[STONES], owner) then return 'R"cancelled"' end
  local place = find(holders, owner)
  if place then
    extend(holders[place], ttl_ms)
    return format('G%.0f', holders[place][H_FENCE])
  end
  if record[CAPACITY] ~= capacity then
    if holders[1] or waiters[1] then
      return format('R"capacity is %d"', record[CAPACITY])
    end
    record[CAPACITY] = capacity
  end
  if not waiters[1] and permits <= free(record) then
    local fence = next_fence(record)
    holders[#holders + 1] = {owner, now + ttl_ms * 1000, fence, permits, ttl_ms, 1, note}
    return format('G%.0f', fence)
  end
  place = find(waiters, owner)
  if wait == 0 then
    if place then table.remove(waiters, place) end
    return format('B%d', retry_ms(record, 0))
  end
  local heard = redis.pcall('PUBSUB', 'NUMSUB', channel_of(client_of(owner)))[2]
  place = place or #waiters + 1
  waiters[place] = {owner, now + WAITER_US, permits, ttl_ms, heard and heard > 0 and 1 or 0, note}
  return format('Q[%d,%d]', place - 1, retry_ms(record, place - 1))
end

local function confirm_or_renew(record, op)
  local holder = holder_of(record, op[WHO], op[4])
  if not holder then return 'L' end
  extend(holder, op[5])
  return 'H'
end

local function release(record, op)
  local holder, place = holder_of(record, op[WHO], op[4])
  if not holder then return 'L' end
  table.remove(record[HOLDERS], place)
  return 'D'
end

local function cancel(record, op)
  local owner, late = op[WHO], op[4]
  local held = remove(record[HOLDERS], owner)
  local waited = remove(record[WAITERS], owner)
  local stones = record[STONES]
  if late == 1 and not find(stones, owner) then
    stones[#stones + 1] = {owner, now + TOMBSTONE_US}
    if #stones > TOMBSTONES_MAX then table.remove(stones, 1) end
  end
  return held and 'C"holder"' or waited and 'C"waiter"' or 'C"absent"'
end

local function break_open(record, op)
  local fence, kept = op[3], {}
  for _, holder in ipairs(record[HOLDERS]) do
    if fence ~= 0 and holder[H_FENCE] ~= fence then kept[#kept + 1] = holder end
  end
  local count = #record[HOLDERS] - #kept
  record[HOLDERS] = kept
  return format('K%d', count)
end

local function view(record)
  local holders, waiters = {}, {}
  for i, holder in ipairs(record[HOLDERS]) do
    holders[i] = format('[%s,%.0f,%d,%d,%d,%s]', encode(holder[OWNER]), holder[H_FENCE],
      holder[H_PERMITS], ms_until(holder[EXPIRES]), holder[H_CONFIRMED], encode(holder[H_NOTE]))
  end
  for i, waiter in ipairs(record[WAITERS]) do
    waiters[i] = format('[%s,%d,%s]', encode(waiter[OWNER]), waiter[W_PERMITS],
      encode(waiter[W_NOTE]))
  end
  return format('V[%.0f,%d,[%s],[%s]]', record[FENCE], record[CAPACITY],
    table.concat(holders, ','), table.concat(waiters, ','))
end

-- Confirm at once what a release passed to its own client, whose reply carries the news.
local function hand_over_inside(grants, first, op)
  local client, handed, outside = client_of(op[WHO]), {}, {}
  for i, grant in ipairs(grants) do
    local holder = grant.holder
    if i >= first and client_of(holder[OWNER]) == client then
      extend(holder, holder[H_TTL])
      handed[#handed + 1] = format('[%s,%.0f]', encode(holder[OWNER]), holder[H_FENCE])
    else
      outside[#outside + 1] = grant
    end
  end
  return 'D[' .. table.concat(handed, ',') .. ']', outside
end

-- Tell the granted. One that listened when it asked and listens no more is gone: it and its
-- client leave the lock, and the next in line is granted and told.
local function tell(record, grants, name)
  local told = 0
  while told < #grants do
    told = told + 1
    local holder, heard = grants[told].holder, grants[told].heard
    local client = client_of(holder[OWNER])
    local message = format('[%s,%s,%.0f]', encode(name), encode(holder[OWNER]), holder[H_FENCE])
    if redis.pcall('PUBLISH', channel_of(client), message) == 0 and heard then
      remove(record[HOLDERS], holder[OWNER])
      for i = #record[WAITERS], 1, -1 do
        local waiter = record[WAITERS][i]
        -- One that was unheard has asked since, so it lives: only its channel broke.
        if waiter[W_HEARD] == 1 and client_of(waiter[OWNER]) == client then
          table.remove(record[WAITERS], i)
        end
      end
      promote(record, grants)
    end
  end
end

local ACTS = {acquire, confirm_or_renew, release, cancel, nil, break_open}
local ACQUIRE, RELEASE, INSPECT = 1, 3, 5

local function apply(record, op, name)
  purge(record)
  if op[CODE] == INSPECT then return view(record) end
  local grants = {}
  promote(record, grants)
  local result = ACTS[op[CODE]](record, op)
  local first = #grants + 1
  promote(record, grants)
  if #grants == 0 then return result end
  if op[CODE] == RELEASE and result == 'D' then
    result, grants = hand_over_inside(grants, first, op)
  elseif op[CODE] == ACQUIRE and string.sub(result, 1, 1) == 'G' then
    -- The asker learns of its grant from this reply and needs no hint.
    for i, grant in ipairs(grants) do
      if grant.holder[OWNER] == op[WHO] then
        table.remove(grants, i)
        break
      end
    end
  end
  tell(record, grants, name)
  return result
end

local function load(key, packed)
  if packed then
    local good, record = pcall(cmsgpack.unpack, packed)
    if good and type(record) == 'table' and record[FORMAT] == RECORD_FORMAT then return record end
    return nil, 'R"its key holds something else than a lock of this version"'
  end
  -- MGET says the same of an absent key and of one of another type.
  if type(redis.pcall('GET', key)) == 'table' then
    return nil, 'R"its key holds something else than a lock"'
  end
  return {RECORD_FORMAT, 0, 1, {}, {}, {}}
end

local packed = call('MGET', unpack(KEYS))
local records, troubles, touched, results = {}, {}, {}, {}
for i, op in ipairs(cjson.decode(ARGV[1])) do
  local key = op[KEY]
  if not records[key] and not troubles[key] then
    records[key], troubles[key] = load(KEYS[key], packed[key])
  end
  if troubles[key] then
    results[i] = troubles[key]
  else
    results[i] = apply(records[key], op, string.sub(KEYS[key], #prefix + 6))
    if op[CODE] ~= INSPECT then touched[key] = true end
  end
end

for key in pairs(touched) do
  local record = records[key]
  local busy = record[HOLDERS][1] or record[WAITERS][1] or record[STONES][1]
  local value = (busy or record[FENCE] > 0) and cmsgpack.pack(record)
  if value and value ~= packed[key] then
    if busy then
      call('SET', KEYS[key], value)
    else
      call('SET', KEYS[key], value, 'PX', IDLE_MS)
    end
  end
end
return table.concat(results, '\n')
