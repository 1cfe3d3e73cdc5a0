-- Run status: a gateway tells where a delivery has got, from the run's row or from its dead letter. By column, so that it can read
-- no payload.

CREATE INDEX dead_letters_run ON dead_letters (run_id) WHERE run_id IS NOT NULL;

GRANT SELECT (id, playbook_id, project_id, template_id, idempotency_key, fingerprint, accepted_at, created_at)
    ON runs TO runlatch_gateway;
GRANT SELECT (run_id, playbook_id, project_id, template_id, project_slug, template_slug, idempotency_key, fingerprint,
              accepted_at, created_at, reason, status)
    ON dead_letters TO runlatch_gateway;
