-- Which request a run came of, so that it can be found in the gateway's logs and in its sender's. A constant default would be a
-- lie about older rows: theirs is null.

ALTER TABLE runs ADD COLUMN request_id text;
COMMENT ON COLUMN runs.request_id IS
    'X-Request-Id of the request that was accepted, or the gateway''s own where there was none. Null where a gateway or worker before this column handled it.';

ALTER TABLE dead_letters ADD COLUMN request_id text;
COMMENT ON COLUMN dead_letters.request_id IS 'As in the delivery; null for a raw message, and where a gateway or worker before this column handled it.';

GRANT INSERT (request_id) ON dead_letters TO runlatch_worker, runlatch_operator;
