-- Tells every gateway which organization changed, at the moment of the commit. The payload is the organization's id,
-- or '*' where that does not say enough (the global kill switch, a TRUNCATE): then all is read anew. Postgres folds
-- equal payloads of one transaction into one notification.

CREATE FUNCTION notify_catalog(organization uuid) RETURNS void LANGUAGE sql AS
    $$ SELECT pg_notify('runlatch_catalog', coalesce(organization::text, '*')) $$;

CREATE FUNCTION catalog_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        PERFORM notify_catalog(NULL);
        RETURN NULL;
    END IF;
    -- A row that moves changes two organizations.
    IF TG_OP IN ('UPDATE', 'DELETE') THEN
        PERFORM notify_catalog(CASE TG_TABLE_NAME WHEN 'organizations' THEN (to_jsonb(OLD)->>'id')::uuid
                                                  ELSE (to_jsonb(OLD)->>'organization_id')::uuid END);
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        PERFORM notify_catalog(CASE TG_TABLE_NAME WHEN 'organizations' THEN (to_jsonb(NEW)->>'id')::uuid
                                                  ELSE (to_jsonb(NEW)->>'organization_id')::uuid END);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION webhook_secret_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        PERFORM notify_catalog(NULL);
        RETURN NULL;
    END IF;
    PERFORM notify_catalog(organization_id) FROM playbooks
        WHERE id IN (CASE WHEN TG_OP <> 'INSERT' THEN OLD.playbook_id END,
                     CASE WHEN TG_OP <> 'DELETE' THEN NEW.playbook_id END);
    RETURN NULL;
END $$;

CREATE TRIGGER notify_row AFTER INSERT OR UPDATE OR DELETE ON organizations FOR EACH ROW EXECUTE FUNCTION catalog_changed();
CREATE TRIGGER notify_row AFTER INSERT OR UPDATE OR DELETE ON projects FOR EACH ROW EXECUTE FUNCTION catalog_changed();
CREATE TRIGGER notify_row AFTER INSERT OR UPDATE OR DELETE ON templates FOR EACH ROW EXECUTE FUNCTION catalog_changed();
CREATE TRIGGER notify_row AFTER INSERT OR UPDATE OR DELETE ON playbooks FOR EACH ROW EXECUTE FUNCTION catalog_changed();
CREATE TRIGGER notify_row AFTER INSERT OR UPDATE OR DELETE ON kill_switches FOR EACH ROW EXECUTE FUNCTION catalog_changed();
CREATE TRIGGER notify_row AFTER INSERT OR UPDATE OR DELETE ON webhook_secrets FOR EACH ROW EXECUTE FUNCTION webhook_secret_changed();

CREATE TRIGGER notify_truncate AFTER TRUNCATE ON organizations FOR EACH STATEMENT EXECUTE FUNCTION catalog_changed();
CREATE TRIGGER notify_truncate AFTER TRUNCATE ON projects FOR EACH STATEMENT EXECUTE FUNCTION catalog_changed();
CREATE TRIGGER notify_truncate AFTER TRUNCATE ON templates FOR EACH STATEMENT EXECUTE FUNCTION catalog_changed();
CREATE TRIGGER notify_truncate AFTER TRUNCATE ON playbooks FOR EACH STATEMENT EXECUTE FUNCTION catalog_changed();
CREATE TRIGGER notify_truncate AFTER TRUNCATE ON kill_switches FOR EACH STATEMENT EXECUTE FUNCTION catalog_changed();
CREATE TRIGGER notify_truncate AFTER TRUNCATE ON webhook_secrets FOR EACH STATEMENT EXECUTE FUNCTION webhook_secret_changed();
