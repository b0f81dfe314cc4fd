-- A batch of lock operations in one statement, so that no client holds a row while it thinks:
-- whoever is stopped or killed leaves no transaction open.

CREATE OR REPLACE FUNCTION concordant_lock_apply(ops jsonb, limits jsonb)
RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    locks jsonb := '{}';
    changed jsonb := '{}';
    written text[];
    results jsonb := '[]';
    now_us bigint;
    fence_floor bigint;
    lowest bigint;
    op jsonb;
    lock jsonb;
    step jsonb;
    hint jsonb;
    name_ text;
    found record;
BEGIN
    -- A grant that was told must survive a crash of the server.
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'local', true);
    END IF;
    SELECT array_agg(DISTINCT o->>'name' COLLATE "C" ORDER BY o->>'name' COLLATE "C") INTO written
    FROM jsonb_array_elements(ops) AS o WHERE o->>'op' <> 'inspect';
    IF written IS NOT NULL THEN
        LOOP
            -- In one order for everybody, so that two batches cannot deadlock.
            INSERT INTO concordant_lock (name) SELECT unnest(written) ON CONFLICT DO NOTHING;
            FOR found IN SELECT l.name, l.lock FROM concordant_lock l
                         WHERE l.name = ANY (written) ORDER BY l.name FOR UPDATE LOOP
                locks := locks || jsonb_build_object(found.name, found.lock);
            END LOOP;
            -- A row that was forgotten between the two is made again: without one a grant
            -- would be told and not be kept.
            EXIT WHEN (SELECT count(*) FROM jsonb_object_keys(locks)) = cardinality(written);
        END LOOP;
    END IF;
    FOR found IN SELECT l.name, l.lock FROM concordant_lock l
                 WHERE l.name IN (SELECT o->>'name' FROM jsonb_array_elements(ops) AS o)
                   AND (written IS NULL OR l.name <> ALL (written)) LOOP
        locks := locks || jsonb_build_object(found.name, found.lock);
    END LOOP;

    -- Only now, since waiting for the rows may have taken a while.
    now_us := (extract(epoch FROM clock_timestamp()) * 1e6)::bigint;
    SELECT value::bigint INTO lowest FROM concordant_meta WHERE key = 'lock.fence_floor';
    fence_floor := greatest(now_us, coalesce(lowest, 0) + 1);

    FOR op IN SELECT * FROM jsonb_array_elements(ops) LOOP
        name_ := op->>'name';
        lock := coalesce(locks->name_, '{"f": 0, "c": 1, "h": [], "w": [], "t": []}');
        step := concordant_lock_step(lock, op, now_us, fence_floor, limits);
        results := results || jsonb_build_array(step->1);
        IF op->>'op' <> 'inspect' THEN
            locks := locks || jsonb_build_object(name_, step->0);
            IF step->0 <> lock THEN
                changed := changed || jsonb_build_object(name_, step->0);
            END IF;
        END IF;
        -- A commit that notifies takes a lock of the whole cluster: only when somebody waits.
        FOR hint IN SELECT * FROM jsonb_array_elements(step->2) LOOP
            PERFORM pg_notify(
                'concordant_' || split_part(hint->>0, '.', 1),
                jsonb_build_array(name_, hint->0, hint->1)::text);
        END LOOP;
    END LOOP;

    UPDATE concordant_lock l SET lock = c.value, changed_at = clock_timestamp()
    FROM jsonb_each(changed) AS c WHERE l.name = c.key COLLATE "C";
    RETURN jsonb_build_array(now_us, results);
END $$;

-- Forget locks that have been idle for long; the floor keeps their fences from coming back.
CREATE OR REPLACE FUNCTION concordant_lock_forget(idle interval)
RETURNS int LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    count_ int;
    highest bigint;
BEGIN
    WITH idle_locks AS (
        SELECT name FROM concordant_lock
        WHERE changed_at < clock_timestamp() - idle
          AND NOT EXISTS (SELECT FROM jsonb_array_elements(lock->'h') AS h
                          WHERE (h->>4)::bigint > extract(epoch FROM clock_timestamp()) * 1e6)
          AND NOT EXISTS (SELECT FROM jsonb_array_elements(lock->'w') AS w
                          WHERE (w->>3)::bigint > extract(epoch FROM clock_timestamp()) * 1e6)
        ORDER BY name LIMIT 200 FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM concordant_lock l USING idle_locks i WHERE l.name = i.name
        RETURNING (l.lock->>'f')::bigint AS fence
    )
    SELECT count(*), max(fence) INTO count_, highest FROM gone;
    IF count_ > 0 THEN
        INSERT INTO concordant_meta VALUES ('lock.fence_floor', highest::text)
        ON CONFLICT (key) DO UPDATE
        SET value = greatest(concordant_meta.value::bigint, highest)::text;
    END IF;
    RETURN count_;
END $$;
