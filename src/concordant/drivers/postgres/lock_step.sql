-- The lock model, one operation on one lock: the same four steps as concordant/locking/model.py
-- (drop what has expired, grant from the head, do the operation, grant again).
--
-- A lock is {"f": last fence, "c": capacity, "h": holders, "w": waiters, "t": tombstones}:
--   holder    [owner, fence, permits, ttl_ms, expires_us, confirmed, note]
--   waiter    [owner, permits, ttl_ms, expires_us, note]
--   tombstone [owner, expires_us]
-- Returns [lock, result, hints], a hint being [owner, fence]. Pure: it reads no table.

CREATE OR REPLACE FUNCTION concordant_lock_promote(
    lock jsonb, now_us bigint, fence_floor bigint, confirm_us bigint
) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    fence bigint := (lock->>'f')::bigint;
    free int;
    head jsonb;
    granted jsonb := '[]';
BEGIN
    IF jsonb_array_length(lock->'w') = 0 THEN
        RETURN jsonb_build_array(lock, granted);
    END IF;
    SELECT (lock->>'c')::int - coalesce(sum((h->>2)::int), 0) INTO free
    FROM jsonb_array_elements(lock->'h') AS h;
    LOOP
        head := lock->'w'->0;
        EXIT WHEN head IS NULL OR (head->>1)::int > free;
        fence := greatest(fence + 1, fence_floor);
        free := free - (head->>1)::int;
        lock := jsonb_set(lock, '{w}', (lock->'w') - 0);
        lock := jsonb_set(lock, '{h}', (lock->'h') || jsonb_build_array(jsonb_build_array(
            head->0, fence, head->1, head->2, now_us + confirm_us, false, head->4)));
        granted := granted || jsonb_build_array(jsonb_build_array(head->0, fence));
    END LOOP;
    RETURN jsonb_build_array(jsonb_set(lock, '{f}', to_jsonb(fence)), granted);
END $$;

CREATE OR REPLACE FUNCTION concordant_lock_purge(lock jsonb, now_us bigint)
RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT lock || jsonb_build_object(
        'h', coalesce((SELECT jsonb_agg(x ORDER BY n)
                       FROM jsonb_array_elements(lock->'h') WITH ORDINALITY AS t (x, n)
                       WHERE (x->>4)::bigint > now_us), '[]'),
        'w', coalesce((SELECT jsonb_agg(x ORDER BY n)
                       FROM jsonb_array_elements(lock->'w') WITH ORDINALITY AS t (x, n)
                       WHERE (x->>3)::bigint > now_us), '[]'),
        't', coalesce((SELECT jsonb_agg(x ORDER BY n)
                       FROM jsonb_array_elements(lock->'t') WITH ORDINALITY AS t (x, n)
                       WHERE (x->>1)::bigint > now_us), '[]'))
$$;

CREATE OR REPLACE FUNCTION concordant_lock_step(
    lock jsonb, op jsonb, now_us bigint, fence_floor bigint, limits jsonb
) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    verb text := op->>'op';
    me jsonb := op->'owner';
    client text := split_part(op->>'owner', '.', 1);
    confirm_us bigint := (limits->>'confirm_ms')::bigint * 1000;
    found int;
    place int;
    free int;
    fence bigint;
    kept jsonb;
    step jsonb;
    granted jsonb;
    inside jsonb := '[]';
    hints jsonb := '[]';
    result jsonb;
    grant_ jsonb;
    retry bigint;
BEGIN
    lock := concordant_lock_purge(lock, now_us);
    IF verb = 'inspect' THEN
        RETURN jsonb_build_array(lock, jsonb_build_array('view', lock), '[]'::jsonb);
    END IF;
    step := concordant_lock_promote(lock, now_us, fence_floor, confirm_us);
    lock := step->0;
    granted := step->1;

    -- Where the owner is a holder: its index, or null.
    SELECT n - 1 INTO found
    FROM jsonb_array_elements(lock->'h') WITH ORDINALITY AS t (h, n) WHERE h->0 = me LIMIT 1;

    IF verb = 'acquire' THEN
        IF EXISTS (SELECT FROM jsonb_array_elements(lock->'t') AS t WHERE t->0 = me) THEN
            result := '["refused", "cancelled"]';
        ELSIF found IS NOT NULL THEN
            fence := (lock->'h'->found->>1)::bigint;
            lock := concordant_lock_extend(lock, found, (op->>'ttl_ms')::bigint, now_us);
            result := jsonb_build_array('granted', fence);
        ELSIF (lock->>'c')::int <> (op->>'capacity')::int
              AND (jsonb_array_length(lock->'h') > 0 OR jsonb_array_length(lock->'w') > 0) THEN
            result := jsonb_build_array('refused', 'capacity is ' || (lock->>'c'));
        ELSE
            lock := jsonb_set(lock, '{c}', op->'capacity');
            SELECT n - 1 INTO place
            FROM jsonb_array_elements(lock->'w') WITH ORDINALITY AS t (w, n)
            WHERE w->0 = me LIMIT 1;
            SELECT (lock->>'c')::int - coalesce(sum((h->>2)::int), 0) INTO free
            FROM jsonb_array_elements(lock->'h') AS h;
            IF place IS NULL AND jsonb_array_length(lock->'w') = 0
               AND (op->>'permits')::int <= free THEN
                fence := greatest((lock->>'f')::bigint + 1, fence_floor);
                lock := jsonb_set(lock, '{f}', to_jsonb(fence));
                lock := jsonb_set(lock, '{h}', (lock->'h') || jsonb_build_array(jsonb_build_array(
                    me, fence, op->'permits', op->'ttl_ms',
                    now_us + (op->>'ttl_ms')::bigint * 1000, true, op->'note')));
                result := jsonb_build_array('granted', fence);
            ELSIF NOT (op->>'wait')::boolean THEN
                IF place IS NOT NULL THEN
                    lock := jsonb_set(lock, '{w}', (lock->'w') - place);
                END IF;
                result := '["busy"]';
                place := 0;
            ELSE
                kept := jsonb_build_array(
                    me, op->'permits', op->'ttl_ms',
                    now_us + (limits->>'waiter_ms')::bigint * 1000, op->'note');
                IF place IS NULL THEN
                    place := jsonb_array_length(lock->'w');
                    lock := jsonb_set(lock, '{w}', (lock->'w') || jsonb_build_array(kept));
                ELSE
                    lock := jsonb_set(lock, ARRAY['w', place::text], kept);
                END IF;
                result := jsonb_build_array('queued', place);
            END IF;
            IF result->>0 IN ('busy', 'queued') THEN
                SELECT greatest(1, least(
                    least((limits->>'step_ms')::bigint * (place + 1), (limits->>'retry_ms')::bigint),
                    min(ceil(greatest(0, (h->>4)::bigint - now_us) / 1000.0)::bigint)))
                INTO retry FROM jsonb_array_elements(lock->'h') AS h;
                result := result || to_jsonb(retry);
            END IF;
        END IF;
    ELSIF verb IN ('confirm', 'renew') THEN
        IF found IS NOT NULL AND lock->'h'->found->1 = op->'fence' THEN
            lock := concordant_lock_extend(lock, found, (op->>'ttl_ms')::bigint, now_us);
            result := '["held"]';
        ELSE
            result := '["lost"]';
        END IF;
    ELSIF verb = 'release' THEN
        IF found IS NOT NULL AND lock->'h'->found->1 = op->'fence' THEN
            lock := jsonb_set(lock, '{h}', (lock->'h') - found);
            result := '["released"]';
        ELSE
            result := '["lost"]';
        END IF;
    ELSIF verb = 'cancel' THEN
        SELECT n - 1 INTO place
        FROM jsonb_array_elements(lock->'w') WITH ORDINALITY AS t (w, n) WHERE w->0 = me LIMIT 1;
        IF found IS NOT NULL THEN
            lock := jsonb_set(lock, '{h}', (lock->'h') - found);
            result := '["cancelled", "holder"]';
        ELSIF place IS NOT NULL THEN
            lock := jsonb_set(lock, '{w}', (lock->'w') - place);
            result := '["cancelled", "waiter"]';
        ELSE
            result := '["cancelled", "absent"]';
        END IF;
        IF (op->>'late')::boolean
           AND NOT EXISTS (SELECT FROM jsonb_array_elements(lock->'t') AS t WHERE t->0 = me) THEN
            lock := jsonb_set(lock, '{t}', (lock->'t') || jsonb_build_array(jsonb_build_array(
                me, now_us + (limits->>'tombstone_ms')::bigint * 1000)));
            IF jsonb_array_length(lock->'t') > (limits->>'tombstones')::int THEN
                lock := jsonb_set(lock, '{t}', (lock->'t') - 0);
            END IF;
        END IF;
    ELSIF verb = 'break' THEN
        SELECT coalesce(jsonb_agg(h ORDER BY n), '[]') INTO kept
        FROM jsonb_array_elements(lock->'h') WITH ORDINALITY AS t (h, n)
        WHERE op->'fence' <> '0' AND h->1 <> op->'fence';
        result := jsonb_build_array(
            'broken', jsonb_array_length(lock->'h') - jsonb_array_length(kept));
        lock := jsonb_set(lock, '{h}', kept);
    END IF;

    step := concordant_lock_promote(lock, now_us, fence_floor, confirm_us);
    lock := step->0;
    IF verb = 'release' AND result->>0 = 'released' THEN
        -- What passes to the releaser's own client travels in the reply, confirmed at once.
        FOR grant_ IN SELECT * FROM jsonb_array_elements(step->1) LOOP
            IF split_part(grant_->>0, '.', 1) = client THEN
                inside := inside || jsonb_build_array(grant_);
                SELECT n - 1 INTO found
                FROM jsonb_array_elements(lock->'h') WITH ORDINALITY AS t (h, n)
                WHERE h->0 = grant_->0 LIMIT 1;
                lock := concordant_lock_extend(
                    lock, found, (lock->'h'->found->>3)::bigint, now_us);
            ELSE
                hints := hints || jsonb_build_array(grant_);
            END IF;
        END LOOP;
        result := result || jsonb_build_array(inside);
        hints := granted || hints;
    ELSE
        hints := granted || (step->1);
        IF result->>0 = 'granted' THEN
            -- The asker learns of its grant from this reply.
            SELECT coalesce(jsonb_agg(g ORDER BY n), '[]') INTO hints
            FROM jsonb_array_elements(hints) WITH ORDINALITY AS t (g, n) WHERE g->0 <> me;
        END IF;
    END IF;
    RETURN jsonb_build_array(lock, result, hints);
END $$;

CREATE OR REPLACE FUNCTION concordant_lock_extend(
    lock jsonb, place int, ttl_ms bigint, now_us bigint
) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_set(jsonb_set(jsonb_set(lock,
        ARRAY['h', place::text, '3'], to_jsonb(ttl_ms)),
        ARRAY['h', place::text, '4'], to_jsonb(now_us + ttl_ms * 1000)),
        ARRAY['h', place::text, '5'], 'true')
$$;
