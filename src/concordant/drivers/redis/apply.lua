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
-- What is named in capitals and not here stands before this text when it is loaded.

-- A record is a packed list, and after it one for each waiter, in the order of the queue: a long
-- queue is not taken apart for the sake of its head. An absent key is a lock never used.
local FORMAT, FENCE, CAPACITY, HOLDERS, WAITERS, STONES = 1, 2, 3, 4, 5, 6
-- WAITERS is empty, or how many there are and a time before which none of them expires.
local LENGTH, LASTING = 1, 2
-- The same in a holder, a waiter and a tombstone:
local OWNER, EXPIRES = 1, 2
local H_FENCE, H_PERMITS, H_TTL, H_CONFIRMED, H_NOTE = 3, 4, 5, 6, 7
-- HEARD: somebody listened for the waiter's client when it last asked.
local W_PERMITS, W_TTL, W_HEARD, W_NOTE = 3, 4, 5, 6
-- An operation: its code, its key, and what follows; see concordant.drivers.redis.codec.
local CODE, KEY, WHO = 1, 2, 3
local ACQUIRE, CONFIRM, RELEASE, INSPECT = 1, 2, 3, 5

local call, pcall_redis = redis.call, redis.pcall
local format, sub, byte, match = string.format, string.sub, string.byte, string.match
local max, min, ceil, encode = math.max, math.min, math.ceil, cjson.encode
local pack, unpacked, unpacked_from = cmsgpack.pack, cmsgpack.unpack, cmsgpack.unpack_limit

local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]
local prefix, ops, results = ARGV[2], cjson.decode(ARGV[1]), {}
-- The records as they stand, packed; and those to be written, with whether each is busy.
local stored, changed = call('MGET', unpack(KEYS)), {}

local function write()
  local busy = {}
  for key, is_busy in pairs(changed) do
    if is_busy then
      busy[#busy + 1], busy[#busy + 2] = KEYS[key], stored[key]
    else
      call('SET', KEYS[key], stored[key], 'PX', IDLE_MS)
    end
  end
  if busy[1] then call('MSET', unpack(busy)) end
  return table.concat(results, '\n')
end

local function fence_after(fence)
  return max(fence + 1, now)
end

local function client_of(owner)
  return match(owner, '^[^.]*')
end

-- Publish a hint; return whether the owner's client may have heard it.
local function hinted(key, owner, fence)
  local name = encode(sub(KEYS[key], #prefix + 6))
  local message = format('[%s,%s,%.0f]', name, encode(owner), fence)
  return pcall_redis('PUBLISH', prefix .. 'hint:' .. client_of(owner), message) ~= 0
end

-- The short way, for mutexes without tombstones where nothing expires just now: it does what the
-- model does to the packed record itself, twice as fast. '\144' is an empty list, '\145\151' a
-- list of one list of seven, '\146' a list of two, '\150' one of six, '\207' a number of 8 bytes.
local first = START .. '\207'
for i = 1, #ops do
  local op = ops[i]
  local code, key, who, result = op[CODE], op[KEY], op[WHO], nil
  local record, busy = stored[key], true
  if not record or sub(record, 1, 3) ~= first or byte(record, 12) ~= 1 then break end
  if #record == 15 then
    if code == ACQUIRE and op[7] == 1 then
      local fence = fence_after(unpacked(sub(record, 3, 11)))
      local packed = pack(fence)
      result = format('G%.0f', fence)
      record = START .. packed .. '\1\145\151' .. pack(who) .. pack(now + op[4] * 1000) .. packed
        .. '\1' .. pack(op[4]) .. '\1' .. pack(op[8]) .. '\144\144'
    end
  elseif byte(record, 13) == 145 then
    local at, owner, expires, fence, _, ttl_ms, confirmed, note = unpacked_from(record, 7, 14)
    local rest, length, lasting = at + 1, 0, nil
    if byte(record, rest) == 146 then rest, length, lasting = unpacked_from(record, 2, rest) end
    -- From here on, `rest` bytes and the tombstones are before the queue.
    if min(expires, lasting or expires) <= now or byte(record, rest + 1) ~= 144 then break end
    if code == ACQUIRE then
      if op[5] == 1 and op[7] == 1 and owner ~= who
          and not string.find(record, pack(who), rest + 2, true) then
        local heard = pcall_redis('PUBSUB', 'NUMSUB', prefix .. 'hint:' .. client_of(who))[2]
        local till, left = now + WAITER_US, ceil((expires - now) / 1000)
        local wait = min(RETRY_STEP_MS * (length + 1), RETRY_MAX_MS, left)
        result = format('Q[%d,%d]', length, wait)
        record = sub(record, 1, at) .. '\146' .. pack(length + 1, min(lasting or till, till))
          .. sub(record, rest + 1) .. '\150'
          .. pack(who, till, 1, op[4], heard and heard > 0 and 1 or 0, op[8])
      end
    elseif owner ~= who or fence ~= op[4] then
      break
    elseif code == CONFIRM then
      result = 'H'
      record = sub(record, 1, 14) .. pack(who) .. pack(now + op[5] * 1000) .. pack(fence) .. '\1'
        .. pack(op[5]) .. '\1' .. pack(note) .. sub(record, at + 1)
    elseif code == RELEASE and length == 0 then
      result, busy = 'D', false
      record = sub(record, 1, 12) .. '\144\144\144'
    elseif code == RELEASE then
      local after, head = unpacked_from(record, 1, rest + 1)
      fence, owner, ttl_ms = fence_after(unpacked(sub(record, 3, 11))), head[OWNER], head[W_TTL]
      confirmed, expires = '\0', now + CONFIRM_US
      if client_of(owner) == client_of(who) then
        -- Confirmed at once, since the reply to its own client carries the news.
        result = format('D[[%s,%.0f]]', encode(owner), fence)
        confirmed, expires = '\1', now + ttl_ms * 1000
      elseif hinted(key, owner, fence) or head[W_HEARD] ~= 1 then
        result = 'D'
      end
      local packed = pack(fence)
      record = START .. packed .. '\1\145\151' .. pack(owner) .. pack(expires) .. packed .. '\1'
        .. pack(ttl_ms) .. confirmed .. pack(head[W_NOTE])
        .. (length > 1 and '\146' .. pack(length - 1, lasting) or '\144') .. '\144'
        .. (length > 1 and sub(record, after + 1) or '')
    end
  end
  if not result then break end
  results[i], stored[key], changed[key] = result, record, busy
end
if #results == #ops then return write() end

-- From the first that is another case on, the whole model.

-- Return the list without what has expired.
local function unexpired(list)
  for i = 1, #list do
    if list[i][EXPIRES] <= now then
      local kept = {}
      for j = 1, #list do
        if list[j][EXPIRES] > now then kept[#kept + 1] = list[j] end
      end
      return kept
    end
  end
  return list
end

local function waiting(record)
  local list, at = {}, record[WAITERS][1] and 0 or -1
  while at >= 0 do at, list[#list + 1] = unpacked_from(record.queue, 1, at) end
  return list
end

local function line_up(record, list)
  local packed, lasting = {}, nil
  for i, waiter in ipairs(list) do
    packed[i] = pack(waiter)
    lasting = min(lasting or waiter[EXPIRES], waiter[EXPIRES])
  end
  record[WAITERS] = lasting and {#list, lasting} or {}
  record.queue = table.concat(packed)
end

local function purge(record)
  record[HOLDERS], record[STONES] = unexpired(record[HOLDERS]), unexpired(record[STONES])
  local waiters = record[WAITERS]
  if waiters[1] and waiters[LASTING] <= now then line_up(record, unexpired(waiting(record))) end
end

local function free(record)
  local permits = record[CAPACITY]
  for _, holder in ipairs(record[HOLDERS]) do permits = permits - holder[H_PERMITS] end
  return permits
end

local function place_of(list, owner)
  for i = 1, #list do
    if list[i][OWNER] == owner then return i end
  end
end

-- Take one owner's entry out of a list and return it, if there is one.
local function remove(list, owner)
  local place = place_of(list, owner)
  return place and table.remove(list, place)
end

-- Grant to waiters from the head while their permits are free; add the grants to the list.
local function promote(record, granted)
  local permits = free(record)
  while permits > 0 and record[WAITERS][1] do
    local length, lasting = unpack(record[WAITERS])
    local rest, head = unpacked_from(record.queue, 1, 0)
    if head[W_PERMITS] > permits then break end
    permits = permits - head[W_PERMITS]
    record[WAITERS] = length > 1 and {length - 1, lasting} or {}
    record.queue = length > 1 and sub(record.queue, rest + 1) or ''
    record[FENCE] = fence_after(record[FENCE])
    local holder = {head[OWNER], now + CONFIRM_US, record[FENCE], head[W_PERMITS],
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
  if place_of(record[STONES], owner) then return 'R"cancelled"' end
  local place = place_of(holders, owner)
  if place then
    extend(holders[place], ttl_ms)
    return format('G%.0f', holders[place][H_FENCE])
  end
  if record[CAPACITY] ~= capacity then
    if holders[1] or waiters[1] then return format('R"capacity is %d"', record[CAPACITY]) end
    record[CAPACITY] = capacity
  end
  if not waiters[1] and permits <= free(record) then
    record[FENCE] = fence_after(record[FENCE])
    holders[#holders + 1] = {owner, now + ttl_ms * 1000, record[FENCE], permits, ttl_ms, 1, note}
    return format('G%.0f', record[FENCE])
  end
  local list = waiting(record)
  place = place_of(list, owner)
  if wait == 0 then
    if remove(list, owner) then line_up(record, list) end
    return format('B%d', retry_ms(record, 0))
  end
  local heard = pcall_redis('PUBSUB', 'NUMSUB', prefix .. 'hint:' .. client_of(owner))[2]
  place = place or #list + 1
  list[place] = {owner, now + WAITER_US, permits, ttl_ms, heard and heard > 0 and 1 or 0, note}
  line_up(record, list)
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
  local owner, late, list, stones = op[WHO], op[4], waiting(record), record[STONES]
  local held, waited = remove(record[HOLDERS], owner), remove(list, owner)
  if waited then line_up(record, list) end
  if late == 1 and not place_of(stones, owner) then
    stones[#stones + 1] = {owner, now + TOMBSTONE_US}
    if #stones > TOMBSTONES_MAX then table.remove(stones, 1) end
  end
  return held and 'C"holder"' or waited and 'C"waiter"' or 'C"absent"'
end

local function break_open(record, op)
  local fence, holders, kept = op[3], record[HOLDERS], {}
  for _, holder in ipairs(holders) do
    if fence ~= 0 and holder[H_FENCE] ~= fence then kept[#kept + 1] = holder end
  end
  record[HOLDERS] = kept
  return format('K%d', #holders - #kept)
end

local function view(record)
  local holders, waiters = {}, {}
  for i, holder in ipairs(record[HOLDERS]) do
    holders[i] = format('[%s,%.0f,%d,%d,%d,%s]', encode(holder[OWNER]), holder[H_FENCE],
      holder[H_PERMITS], ms_until(holder[EXPIRES]), holder[H_CONFIRMED], encode(holder[H_NOTE]))
  end
  for i, waiter in ipairs(waiting(record)) do
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

-- Tell the granted, but for one that is informed. One that listened when it asked and listens no
-- more is gone: it and its client leave the lock, and the next in line is granted and told.
local function tell(record, grants, key, informed)
  local told = 0
  while told < #grants do
    told = told + 1
    local holder, heard = grants[told].holder, grants[told].heard
    local owner, kept = holder[OWNER], {}
    if owner ~= informed and not hinted(key, owner, holder[H_FENCE]) and heard then
      remove(record[HOLDERS], owner)
      for _, waiter in ipairs(waiting(record)) do
        -- One that was unheard has asked since, so it lives: only its channel broke.
        if waiter[W_HEARD] ~= 1 or client_of(waiter[OWNER]) ~= client_of(owner) then
          kept[#kept + 1] = waiter
        end
      end
      line_up(record, kept)
      promote(record, grants)
    end
  end
end

local ACTS = {acquire, confirm_or_renew, release, cancel, nil, break_open}

local function apply(record, op, key)
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
  end
  -- An asker learns of its own grant from this reply.
  tell(record, grants, key, sub(result, 1, 1) == 'G' and op[WHO])
  return result
end

local function load(key)
  local packed = stored[key]
  if not packed then
    -- MGET says the same of an absent key and of one of another type.
    local other = type(pcall_redis('GET', KEYS[key])) == 'table'
    if other then return nil, 'R"its key holds something else than a lock"' end
    return {RECORD_FORMAT, 0, 1, {}, {}, {}, queue = ''}
  end
  local good, rest, record = pcall(unpacked_from, packed, 1, 0)
  local found = good and type(record) == 'table' and tonumber(record[FORMAT])
  if found and found > RECORD_FORMAT then
    return nil, format('R"a newer concordant wrote it (format %.0f); upgrade this one"', found)
  elseif found ~= RECORD_FORMAT then
    return nil, 'R"its key holds something else than a lock of this version"'
  end
  record.queue = rest > 0 and sub(packed, rest + 1) or ''
  return record
end

local records, troubles, touched = {}, {}, {}
for i = #results + 1, #ops do
  local op = ops[i]
  local key = op[KEY]
  if not records[key] and not troubles[key] then records[key], troubles[key] = load(key) end
  results[i] = troubles[key] or apply(records[key], op, key)
  if op[CODE] ~= INSPECT and not troubles[key] then touched[key] = true end
end

for key in pairs(touched) do
  local record, queue = records[key], records[key].queue
  local busy = record[HOLDERS][1] or record[WAITERS][1] or record[STONES][1]
  record.queue = nil
  local value = (busy or record[FENCE] > 0) and pack(record) .. queue
  if value and value ~= stored[key] then stored[key], changed[key] = value, busy ~= nil end
end
return write()
