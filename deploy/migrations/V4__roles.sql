-- Three roles without a login, to be granted to the users that the processes log in as. No role has more than its
-- process needs: the gateway, which faces the world, can read the catalog and nothing else.

DO $$
DECLARE role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['runlatch_gateway', 'runlatch_worker', 'runlatch_operator'] LOOP
        -- Roles belong to the cluster, not to the database: another database here may have made them.
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                -- Another database's migration made it between the two statements.
                NULL;
            END;
        END IF;
    END LOOP;
    -- A session learns what others have committed when it first locks a table. Without this it could still believe that
    -- a role made by another database's migration a moment ago does not exist.
    LOCK TABLE organizations IN ACCESS SHARE MODE;
END $$;

GRANT USAGE ON SCHEMA public TO runlatch_gateway, runlatch_worker, runlatch_operator;

GRANT SELECT ON organizations, projects, templates, playbooks, webhook_secrets, kill_switches TO runlatch_gateway;

GRANT SELECT (id, organization_id) ON playbooks, projects, templates TO runlatch_worker;
GRANT SELECT (id, fingerprint), INSERT ON runs TO runlatch_worker;
GRANT SELECT (identity, reason), INSERT ON dead_letters TO runlatch_worker;
GRANT INSERT ON settled_sequences TO runlatch_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON suspect_messages TO runlatch_worker;

GRANT SELECT ON ALL TABLES IN SCHEMA public TO runlatch_operator;
-- Column by column, because ids, owners and the idempotency scope never change: run ids are computed from them.
GRANT INSERT ON organizations, projects, templates, playbooks TO runlatch_operator;
GRANT UPDATE (slug, name) ON organizations, projects, templates TO runlatch_operator;
GRANT UPDATE (slug, name, project_id, template_id, enabled) ON playbooks TO runlatch_operator;
GRANT INSERT, UPDATE (revoked_at) ON webhook_secrets TO runlatch_operator;
GRANT INSERT, DELETE ON kill_switches TO runlatch_operator;
