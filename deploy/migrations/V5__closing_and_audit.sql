-- Dead letters can be closed; what was settled can be held against what was announced, and is kept in few rows.

ALTER TABLE dead_letters
    ADD COLUMN status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'replayed', 'discarded')),
    ADD COLUMN closed_at timestamptz,
    ADD COLUMN closed_by text,
    ADD COLUMN replayed_run_id uuid,
    ADD COLUMN replayed_key text,
    ADD COLUMN replayed_runs integer,
    ADD COLUMN origin_id uuid,
    ADD CHECK ((status = 'open') = (closed_at IS NULL)),
    ADD CHECK ((status = 'replayed') = (replayed_runs IS NOT NULL));
CREATE INDEX dead_letters_open ON dead_letters (created_at) WHERE status = 'open';
COMMENT ON TABLE dead_letters IS
    'Deliveries that were accepted and cannot become a run. Written by the worker, in the transaction that settles their message; closed by the operator. Never deleted: a closed one still settles a redelivery of the same. No foreign keys: what it names may be what is gone.';
COMMENT ON COLUMN dead_letters.payload IS 'The delivery''s body, or the raw message. bytea, because it may be what no other type can hold. Emptied when it is discarded.';
COMMENT ON COLUMN dead_letters.status IS 'open, until the operator makes it replayed or discarded, once and for good (trigger closing_is_final).';
COMMENT ON COLUMN dead_letters.closed_at IS 'Null while it is open. Set by the trigger closing_is_final.';
COMMENT ON COLUMN dead_letters.closed_by IS 'Database user who closed it. Set by the trigger closing_is_final.';
COMMENT ON COLUMN dead_letters.replayed_run_id IS 'The run that the replay made or found; null where it is not replayed, or was a raw message with other than one delivery. Set when it is replayed.';
COMMENT ON COLUMN dead_letters.replayed_key IS 'The other key that it was replayed under; null where it was its own. Set when it is replayed.';
COMMENT ON COLUMN dead_letters.replayed_runs IS 'How many runs the replay made: what it found there already does not count. Set when it is replayed.';
COMMENT ON COLUMN dead_letters.origin_id IS 'Dead letter of the raw message whose replay wrote this one; null where the worker did. Set at creation.';

-- Who closed it and when is not the operator's to say, nor can the operator alter a payload in any way but this.
CREATE FUNCTION close_dead_letter() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status <> 'open' THEN
        RAISE EXCEPTION 'dead letter % is % for good', OLD.id, OLD.status
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NEW.status <> 'open' THEN
        NEW.closed_at := now();
        NEW.closed_by := session_user;
    END IF;
    IF NEW.status = 'discarded' THEN
        NEW.payload := '';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER closing_is_final BEFORE UPDATE ON dead_letters FOR EACH ROW EXECUTE FUNCTION close_dead_letter();

ALTER TABLE settled_sequences
    ADD COLUMN announced integer,
    ADD COLUMN buried integer;
COMMENT ON TABLE settled_sequences IS
    'What proves that every message of the stream was settled: one row for each batch of the worker, in the batch''s own transaction, later merged with others (compact_settled_sequences).';
COMMENT ON COLUMN settled_sequences.id IS 'In order of creation; merged rows get a new one.';
COMMENT ON COLUMN settled_sequences.committed_at IS 'When the batch''s transaction began; of merged rows the latest.';
COMMENT ON COLUMN settled_sequences.announced IS
    'Deliveries that the messages'' headers announced, which is what created, duplicates and dead_letters must sum up to; a raw message counts as one. Null where a worker before this column wrote the row.';
COMMENT ON COLUMN settled_sequences.buried IS
    'Dead letters that the batch wrote, those that were there before left out. Null as announced is.';

ALTER TABLE suspect_messages ADD COLUMN attempt_ids uuid[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN suspect_messages.attempt_ids IS
    'Which attempts are in the count. The worker adds one with each and removes it when it is taken back, so that doing either twice does it once.';

CREATE TABLE audit_acknowledgements (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream_epoch bigint NOT NULL,
    sequences int8multirange NOT NULL,
    note text NOT NULL,
    acknowledged_at timestamptz NOT NULL DEFAULT now(),
    acknowledged_by text NOT NULL DEFAULT session_user
);
COMMENT ON TABLE audit_acknowledgements IS
    'What runlatch audit would go on reporting, and somebody has dealt with. Written by runlatch audit acknowledge, never changed.';
COMMENT ON COLUMN audit_acknowledgements.id IS 'In order of creation.';
COMMENT ON COLUMN audit_acknowledgements.stream_epoch IS 'Creation time of the stream, in microseconds since 1970.';
COMMENT ON COLUMN audit_acknowledgements.sequences IS 'Stream sequences that are not reported any more; all there are, for a stream that was lost.';
COMMENT ON COLUMN audit_acknowledgements.note IS 'Why, for people.';
COMMENT ON COLUMN audit_acknowledgements.acknowledged_at IS 'Set at creation.';
COMMENT ON COLUMN audit_acknowledgements.acknowledged_by IS 'Database user who did it. Set at creation.';

-- Merges the oldest rows of each stream into one, at most so many, and returns how many rows there are fewer. Says the
-- same before and after: ranges are united, counts are added. With its owner's rights, so that the worker can merge rows
-- and cannot delete one.
CREATE FUNCTION compact_settled_sequences(most integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    fewer integer;
BEGIN
    -- One at a time; the others find the work done. "rlch" and 3: 1 and 2 are the operator's.
    IF NOT pg_try_advisory_xact_lock(1919705960, 3) THEN
        RETURN 0;
    END IF;
    WITH oldest AS (
        SELECT id, stream_epoch, announced IS NULL AS unannounced, created::bigint + duplicates + dead_letters AS deliveries
        FROM settled_sequences
        -- A row that does not add up stays as it is: in a sum it could make up for another. So does one that is full,
        -- before its counts run over.
        WHERE created::bigint + duplicates + dead_letters < 1000000000
          AND created::bigint + duplicates + dead_letters = coalesce(announced, created::bigint + duplicates + dead_letters)
        ORDER BY id LIMIT most
    ), fitting AS (
        SELECT id, stream_epoch, unannounced FROM (
            SELECT *, sum(deliveries) OVER (PARTITION BY stream_epoch, unannounced ORDER BY id) AS total FROM oldest
        ) AS summed WHERE total < 2000000000
    ), chosen AS (
        SELECT id FROM (
            SELECT id, count(*) OVER (PARTITION BY stream_epoch, unannounced) AS rows FROM fitting
        ) AS counted WHERE rows > 1
    ), old AS (
        DELETE FROM settled_sequences USING chosen WHERE settled_sequences.id = chosen.id RETURNING settled_sequences.*
    ), new AS (
        INSERT INTO settled_sequences
            (stream_epoch, sequences, created, duplicates, dead_letters, announced, buried, committed_at)
        SELECT stream_epoch, range_agg(sequences), sum(created), sum(duplicates), sum(dead_letters), sum(announced),
               sum(buried), max(committed_at)
        FROM old GROUP BY stream_epoch, announced IS NULL
        RETURNING id
    )
    SELECT (SELECT count(*) FROM old) - (SELECT count(*) FROM new) INTO fewer;
    RETURN fewer;
END $$;
REVOKE EXECUTE ON FUNCTION compact_settled_sequences(integer) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION compact_settled_sequences(integer) TO runlatch_worker;

-- By column, so that a dead letter begins open, and only the trigger says who closed it and when. V4 granted the worker the
-- whole row, which would be these columns too.
REVOKE INSERT ON dead_letters FROM runlatch_worker;
GRANT INSERT (identity, reason, detail, run_id, organization_id, playbook_id, project_id, template_id, project_slug,
              template_slug, idempotency_key, fingerprint, payload, accepted_at, stream_epoch, stream_sequence)
    ON dead_letters TO runlatch_worker;

-- Replay makes runs, and dead letters of what is in a raw message.
GRANT INSERT ON runs TO runlatch_operator;
GRANT INSERT (identity, reason, detail, run_id, organization_id, playbook_id, project_id, template_id, project_slug,
              template_slug, idempotency_key, fingerprint, payload, accepted_at, stream_epoch, stream_sequence, origin_id)
    ON dead_letters TO runlatch_operator;
GRANT UPDATE (status, replayed_run_id, replayed_key, replayed_runs) ON dead_letters TO runlatch_operator;
GRANT SELECT, INSERT ON audit_acknowledgements TO runlatch_operator;
