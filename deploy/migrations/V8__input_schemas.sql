-- What a playbook's payloads have to be. Gateways of before do not hold them to it.

ALTER TABLE playbooks
    ADD COLUMN input_schema json CHECK (octet_length(input_schema::text) <= 65536),
    ADD COLUMN input_schema_mode text NOT NULL DEFAULT 'enforce' CHECK (input_schema_mode IN ('enforce', 'shadow'));
COMMENT ON COLUMN playbooks.input_schema IS
    'JSON Schema 2020-12 that payloads are held to; null: any object. Written by runlatch catalog apply, at any time. One that does not compile holds nobody to anything.';
COMMENT ON COLUMN playbooks.input_schema_mode IS
    'enforce: what is not as input_schema says is refused; shadow: it is counted, and accepted. Written as input_schema is.';

GRANT UPDATE (input_schema, input_schema_mode) ON playbooks TO runlatch_operator;
