-- The catalog: who may start what. Written by the operator (`runlatch catalog apply`), read by every gateway.

CREATE DOMAIN slug AS text
    CHECK (VALUE ~ '^[a-z0-9][a-z0-9-]{0,62}$');
COMMENT ON DOMAIN slug IS 'A name in a URL. The same rule as proto''s Slug.';

CREATE TABLE organizations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    slug slug NOT NULL UNIQUE,
    name text NOT NULL,
    idempotency_scope text NOT NULL DEFAULT 'playbook' CHECK (idempotency_scope IN ('playbook', 'organization')),
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE organizations IS 'A tenant. Never deleted by Runlatch.';
COMMENT ON COLUMN organizations.id IS 'Drawn at creation, never changes. Scope id where idempotency_scope is organization.';
COMMENT ON COLUMN organizations.slug IS 'First name in the webhook URL. The operator may rename it: run ids do not depend on it.';
COMMENT ON COLUMN organizations.name IS 'For people. Written by the operator at any time.';
COMMENT ON COLUMN organizations.idempotency_scope IS
    'Within what an idempotency key is unique. Fixed at creation (trigger idempotency_scope_is_fixed): a change would give old keys new run ids.';
COMMENT ON COLUMN organizations.created_at IS 'Set at creation.';

CREATE FUNCTION refuse_idempotency_scope_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the idempotency scope of organization % is fixed for life', OLD.slug
        USING ERRCODE = 'integrity_constraint_violation', HINT = 'Create another organization.';
END $$;
CREATE TRIGGER idempotency_scope_is_fixed BEFORE UPDATE ON organizations
    FOR EACH ROW WHEN (OLD.idempotency_scope IS DISTINCT FROM NEW.idempotency_scope)
    EXECUTE FUNCTION refuse_idempotency_scope_change();

CREATE TABLE projects (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL REFERENCES organizations (id),
    slug slug NOT NULL,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (organization_id, slug),
    UNIQUE (organization_id, id)
);
COMMENT ON TABLE projects IS 'Where a run takes place.';
COMMENT ON COLUMN projects.id IS 'Drawn at creation, never changes.';
COMMENT ON COLUMN projects.organization_id IS 'Owner. Set at creation.';
COMMENT ON COLUMN projects.slug IS 'Name in the webhook''s query (?project=), unique in the organization.';
COMMENT ON COLUMN projects.name IS 'For people. Written by the operator at any time.';
COMMENT ON COLUMN projects.created_at IS 'Set at creation.';

CREATE TABLE templates (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL REFERENCES organizations (id),
    slug slug NOT NULL,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (organization_id, slug),
    UNIQUE (organization_id, id)
);
COMMENT ON TABLE templates IS 'What a run does.';
COMMENT ON COLUMN templates.id IS 'Drawn at creation, never changes.';
COMMENT ON COLUMN templates.organization_id IS 'Owner. Set at creation.';
COMMENT ON COLUMN templates.slug IS 'Name in the webhook''s query (?template=), unique in the organization.';
COMMENT ON COLUMN templates.name IS 'For people. Written by the operator at any time.';
COMMENT ON COLUMN templates.created_at IS 'Set at creation.';

CREATE TABLE playbooks (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL REFERENCES organizations (id),
    slug slug NOT NULL,
    name text NOT NULL,
    project_id uuid NOT NULL,
    template_id uuid NOT NULL,
    enabled boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (organization_id, slug),
    UNIQUE (organization_id, id),
    -- Composite, so that a playbook cannot point into another organization.
    FOREIGN KEY (organization_id, project_id) REFERENCES projects (organization_id, id),
    FOREIGN KEY (organization_id, template_id) REFERENCES templates (organization_id, id)
);
COMMENT ON TABLE playbooks IS 'What a webhook starts.';
COMMENT ON COLUMN playbooks.id IS 'Drawn at creation, never changes. Scope id of idempotency keys by default.';
COMMENT ON COLUMN playbooks.organization_id IS 'Owner. Set at creation.';
COMMENT ON COLUMN playbooks.slug IS 'Second name in the webhook URL. The operator may rename it: run ids do not depend on it.';
COMMENT ON COLUMN playbooks.name IS 'For people. Written by the operator at any time.';
COMMENT ON COLUMN playbooks.project_id IS 'Target project where the caller names none. Written by the operator at any time.';
COMMENT ON COLUMN playbooks.template_id IS 'Target template where the caller names none. Written by the operator at any time.';
COMMENT ON COLUMN playbooks.enabled IS 'False refuses its deliveries within a second. Written by the operator at any time.';
COMMENT ON COLUMN playbooks.created_at IS 'Set at creation.';

CREATE TABLE webhook_secrets (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    playbook_id uuid NOT NULL REFERENCES playbooks (id),
    slot smallint NOT NULL CHECK (slot IN (1, 2)),
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);
-- Two slots, each with one live secret at most: rotation overlaps, and a third secret does not fit.
CREATE UNIQUE INDEX webhook_secrets_live ON webhook_secrets (playbook_id, slot) WHERE revoked_at IS NULL;
-- The same secret in both slots would look like a rotation and be none: revoking one would not shut it out.
CREATE UNIQUE INDEX webhook_secrets_live_digest ON webhook_secrets (playbook_id, digest) WHERE revoked_at IS NULL;
COMMENT ON TABLE webhook_secrets IS 'Who may deliver to a playbook. The secret itself is stored nowhere.';
COMMENT ON COLUMN webhook_secrets.id IS 'Drawn at creation; names the secret to the operator.';
COMMENT ON COLUMN webhook_secrets.playbook_id IS 'The playbook that it opens. Set at creation.';
COMMENT ON COLUMN webhook_secrets.slot IS 'Which of the playbook''s two places it takes while it lives. Set at creation.';
COMMENT ON COLUMN webhook_secrets.digest IS 'HMAC-SHA256 of the secret under the pepper, which the database never sees. Set at creation.';
COMMENT ON COLUMN webhook_secrets.created_at IS 'Set at creation.';
COMMENT ON COLUMN webhook_secrets.revoked_at IS 'Null while it lives. Set once, by runlatch secret revoke (trigger revocation_is_final).';

CREATE FUNCTION refuse_unrevoking() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'webhook secret % is revoked for good', OLD.id
        USING ERRCODE = 'integrity_constraint_violation', HINT = 'Create another secret.';
END $$;
CREATE TRIGGER revocation_is_final BEFORE UPDATE ON webhook_secrets
    FOR EACH ROW WHEN (OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at)
    EXECUTE FUNCTION refuse_unrevoking();

CREATE TABLE kill_switches (
    organization_id uuid UNIQUE NULLS NOT DISTINCT REFERENCES organizations (id),
    engaged_at timestamptz NOT NULL DEFAULT now(),
    engaged_by text NOT NULL DEFAULT session_user
);
COMMENT ON TABLE kill_switches IS 'One row for each switch that is engaged; released by deleting the row.';
COMMENT ON COLUMN kill_switches.organization_id IS 'Whose deliveries are refused; null: everybody''s. Set when it is engaged.';
COMMENT ON COLUMN kill_switches.engaged_at IS 'Set when it is engaged.';
COMMENT ON COLUMN kill_switches.engaged_by IS 'Database user who engaged it. Set when it is engaged.';
