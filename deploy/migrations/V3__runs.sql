-- What the worker writes. Every row here is final when it is committed: nothing in Runlatch updates a run.

CREATE TABLE runs (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    playbook_id uuid NOT NULL,
    project_id uuid NOT NULL,
    template_id uuid NOT NULL,
    idempotency_key text NOT NULL,
    fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
    payload json NOT NULL,
    accepted_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (organization_id, playbook_id) REFERENCES playbooks (organization_id, id),
    FOREIGN KEY (organization_id, project_id) REFERENCES projects (organization_id, id),
    FOREIGN KEY (organization_id, template_id) REFERENCES templates (organization_id, id)
);
COMMENT ON TABLE runs IS 'One row for each idempotency key that was accepted in its scope: the primary key is the last word on exactly once.';
COMMENT ON COLUMN runs.id IS 'Computed from scope and idempotency key (proto''s RunId), so that no second row can exist for them.';
COMMENT ON COLUMN runs.organization_id IS 'Organization of the playbook.';
COMMENT ON COLUMN runs.playbook_id IS 'Playbook that the delivery was sent to.';
COMMENT ON COLUMN runs.project_id IS 'Target project as the gateway resolved it when it accepted the delivery.';
COMMENT ON COLUMN runs.template_id IS 'Target template as the gateway resolved it when it accepted the delivery.';
COMMENT ON COLUMN runs.idempotency_key IS 'The caller''s key, as sent.';
COMMENT ON COLUMN runs.fingerprint IS 'BLAKE3 over playbook, target selector and payload: tells a duplicate from a conflict.';
COMMENT ON COLUMN runs.payload IS 'The body as sent, surrounding whitespace aside. json, not jsonb: jsonb would reorder, fold and round.';
COMMENT ON COLUMN runs.accepted_at IS 'When a gateway first accepted the key; the timestamp that every replay repeats.';
COMMENT ON COLUMN runs.created_at IS 'When the worker''s transaction that made the row began.';

CREATE TABLE dead_letters (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    identity bytea NOT NULL UNIQUE,
    reason text NOT NULL,
    detail text NOT NULL,
    run_id uuid,
    organization_id uuid,
    playbook_id uuid,
    project_id uuid,
    template_id uuid,
    project_slug text,
    template_slug text,
    idempotency_key text,
    fingerprint bytea,
    payload bytea NOT NULL,
    accepted_at timestamptz,
    stream_epoch bigint NOT NULL,
    stream_sequence bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE dead_letters IS
    'Deliveries that were accepted and cannot become a run. Written by the worker, in the transaction that settles their message. No foreign keys: what it names may be what is gone.';
COMMENT ON COLUMN dead_letters.id IS 'Drawn at creation; names the dead letter to the operator.';
COMMENT ON COLUMN dead_letters.identity IS 'Run id and fingerprint (48 bytes), or BLAKE3 of the raw message (32 bytes): a redelivery of the same settles without a second row.';
COMMENT ON COLUMN dead_letters.reason IS 'Stable code, the same as in metrics: idempotency_conflict, target_not_found, data_refused, malformed_message or poison_message.';
COMMENT ON COLUMN dead_letters.detail IS 'For people; never quotes the payload.';
COMMENT ON COLUMN dead_letters.run_id IS 'Run that the delivery''s key names; null for a raw message.';
COMMENT ON COLUMN dead_letters.organization_id IS 'As in the delivery; null for a raw message.';
COMMENT ON COLUMN dead_letters.playbook_id IS 'As in the delivery; null for a raw message.';
COMMENT ON COLUMN dead_letters.project_id IS 'As in the delivery; null for a raw message.';
COMMENT ON COLUMN dead_letters.template_id IS 'As in the delivery; null for a raw message.';
COMMENT ON COLUMN dead_letters.project_slug IS 'Project that the caller named; null where none was, and for a raw message.';
COMMENT ON COLUMN dead_letters.template_slug IS 'Template that the caller named; null where none was, and for a raw message.';
COMMENT ON COLUMN dead_letters.idempotency_key IS 'As in the delivery; null for a raw message.';
COMMENT ON COLUMN dead_letters.fingerprint IS 'As in the delivery; null for a raw message.';
COMMENT ON COLUMN dead_letters.payload IS 'The delivery''s body, or the raw message. bytea, because it may be what no other type can hold.';
COMMENT ON COLUMN dead_letters.accepted_at IS 'As in the delivery; null for a raw message.';
COMMENT ON COLUMN dead_letters.stream_epoch IS 'Creation time of the stream that held the message, in microseconds since 1970.';
COMMENT ON COLUMN dead_letters.stream_sequence IS 'The message''s sequence in that stream.';
COMMENT ON COLUMN dead_letters.created_at IS 'When the worker''s transaction that made the row began.';

CREATE TABLE settled_sequences (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream_epoch bigint NOT NULL,
    sequences int8multirange NOT NULL,
    created integer NOT NULL,
    duplicates integer NOT NULL,
    dead_letters integer NOT NULL,
    committed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE settled_sequences IS
    'One row for each batch of the worker, in the batch''s own transaction: what proves that every message of the stream was settled.';
COMMENT ON COLUMN settled_sequences.id IS 'In order of creation.';
COMMENT ON COLUMN settled_sequences.stream_epoch IS 'Creation time of the stream, in microseconds since 1970: sequences of different streams must not mix.';
COMMENT ON COLUMN settled_sequences.sequences IS 'Stream sequences of the batch''s messages. A redelivered message appears again.';
COMMENT ON COLUMN settled_sequences.created IS 'Deliveries of the batch that became runs.';
COMMENT ON COLUMN settled_sequences.duplicates IS 'Deliveries of the batch whose run existed.';
COMMENT ON COLUMN settled_sequences.dead_letters IS 'Deliveries of the batch that became dead letters, or had done so before; a raw message counts as one.';
COMMENT ON COLUMN settled_sequences.committed_at IS 'When the batch''s transaction began.';

CREATE TABLE suspect_messages (
    stream_epoch bigint NOT NULL,
    stream_sequence bigint NOT NULL,
    attempts integer NOT NULL,
    last_attempt_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (stream_epoch, stream_sequence)
);
COMMENT ON TABLE suspect_messages IS
    'Messages that came back although Postgres was well: perhaps they kill workers. Counted here, before they are looked at, because the broker''s own count also grows by outages that are nobody''s fault.';
COMMENT ON COLUMN suspect_messages.stream_epoch IS 'Creation time of the stream, in microseconds since 1970.';
COMMENT ON COLUMN suspect_messages.stream_sequence IS 'The message''s sequence in that stream.';
COMMENT ON COLUMN suspect_messages.attempts IS 'How often a worker has begun it, alone. The row goes when the message is settled.';
COMMENT ON COLUMN suspect_messages.last_attempt_at IS 'When a worker last began it.';
