-- What a run names stays, as before, and no foreign key says so any more: those asked the catalog once for each row and
-- key, a third of the time of every batch. Now whoever deletes asks, which hardly ever happens.
--
-- Who inserts runs takes an advisory lock shared before its transaction's first snapshot, reads in that transaction that
-- what it names is there, and keeps the lock to the end (as all workers have done since before this step, so that it may
-- be taken while they work). Who deletes looks twice: at once, without a lock, since a row that runs name is mostly found
-- there; and when it commits, having the lock alone. Whatever was inserted for its row can be seen by then, and whoever
-- inserts next sees that the row is gone. So a transaction that is left open keeps nobody waiting.
--
-- Its price: no index leads from a playbook, project or template to its runs, so each look, one for each row that is deleted,
-- may read all of them, the second while inserting waits. Disable a playbook rather than delete it.

-- Of the lock as well as of the tables: who waits alone makes all who insert wait behind.
SET LOCAL lock_timeout = '3s';

-- The same lock. "rlch" and 4: proto's LOCK.
SELECT pg_advisory_xact_lock(1919705960, 4);

-- Another number with every loss, under the lock: a worker that has seen a target once need not look again before that. Drawn
-- at random, since a crash may take back a number that was seen and dealt for a loss that did not happen. Whoever disables the
-- triggers is to restart the workers.
CREATE SEQUENCE catalog_losses;
SELECT setval('catalog_losses', 1);
GRANT SELECT ON catalog_losses TO runlatch_worker;

-- With its owner's rights: who may delete from the catalog need not be one who may read runs.
CREATE FUNCTION keep_what_runs_name() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '3s' AS $$
DECLARE
    named boolean;
BEGIN
    IF TG_ARGV[0] = 'alone' THEN
        -- Under any other isolation it would look into its old snapshot again.
        IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
            RAISE EXCEPTION '% can only lose rows under READ COMMITTED', TG_TABLE_NAME
                USING ERRCODE = 'invalid_transaction_state';
        END IF;
        PERFORM pg_advisory_xact_lock(1919705960, 4), setval('catalog_losses', 1 + (random() * 9e18)::bigint);
    END IF;
    CASE
        WHEN TG_OP = 'TRUNCATE' THEN
            named := EXISTS (SELECT FROM runs);
        WHEN TG_TABLE_NAME = 'playbooks' THEN
            named := EXISTS (SELECT FROM runs WHERE playbook_id = OLD.id AND organization_id = OLD.organization_id);
        WHEN TG_TABLE_NAME = 'projects' THEN
            named := EXISTS (SELECT FROM runs WHERE project_id = OLD.id AND organization_id = OLD.organization_id);
        WHEN TG_TABLE_NAME = 'templates' THEN
            named := EXISTS (SELECT FROM runs WHERE template_id = OLD.id AND organization_id = OLD.organization_id);
    END CASE;
    IF named THEN
        RAISE EXCEPTION 'runs name %', CASE TG_OP WHEN 'TRUNCATE' THEN 'what is in ' || TG_TABLE_NAME
                                                  ELSE 'row ' || OLD.id || ' of ' || TG_TABLE_NAME END
            USING ERRCODE = 'foreign_key_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION keep_what_runs_name() FROM PUBLIC;

CREATE TRIGGER keep_deleted AFTER DELETE ON playbooks FOR EACH ROW EXECUTE FUNCTION keep_what_runs_name();
CREATE TRIGGER keep_deleted AFTER DELETE ON projects FOR EACH ROW EXECUTE FUNCTION keep_what_runs_name();
CREATE TRIGGER keep_deleted AFTER DELETE ON templates FOR EACH ROW EXECUTE FUNCTION keep_what_runs_name();

CREATE TRIGGER keep_changed AFTER UPDATE ON playbooks FOR EACH ROW
    WHEN ((OLD.id, OLD.organization_id) IS DISTINCT FROM (NEW.id, NEW.organization_id)) EXECUTE FUNCTION keep_what_runs_name();
CREATE TRIGGER keep_changed AFTER UPDATE ON projects FOR EACH ROW
    WHEN ((OLD.id, OLD.organization_id) IS DISTINCT FROM (NEW.id, NEW.organization_id)) EXECUTE FUNCTION keep_what_runs_name();
CREATE TRIGGER keep_changed AFTER UPDATE ON templates FOR EACH ROW
    WHEN ((OLD.id, OLD.organization_id) IS DISTINCT FROM (NEW.id, NEW.organization_id)) EXECUTE FUNCTION keep_what_runs_name();

-- The second looks.
CREATE CONSTRAINT TRIGGER keep_deleted_at_commit AFTER DELETE ON playbooks DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    EXECUTE FUNCTION keep_what_runs_name('alone');
CREATE CONSTRAINT TRIGGER keep_deleted_at_commit AFTER DELETE ON projects DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    EXECUTE FUNCTION keep_what_runs_name('alone');
CREATE CONSTRAINT TRIGGER keep_deleted_at_commit AFTER DELETE ON templates DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    EXECUTE FUNCTION keep_what_runs_name('alone');

CREATE CONSTRAINT TRIGGER keep_changed_at_commit AFTER UPDATE ON playbooks DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN ((OLD.id, OLD.organization_id) IS DISTINCT FROM (NEW.id, NEW.organization_id)) EXECUTE FUNCTION keep_what_runs_name('alone');
CREATE CONSTRAINT TRIGGER keep_changed_at_commit AFTER UPDATE ON projects DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN ((OLD.id, OLD.organization_id) IS DISTINCT FROM (NEW.id, NEW.organization_id)) EXECUTE FUNCTION keep_what_runs_name('alone');
CREATE CONSTRAINT TRIGGER keep_changed_at_commit AFTER UPDATE ON templates DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN ((OLD.id, OLD.organization_id) IS DISTINCT FROM (NEW.id, NEW.organization_id)) EXECUTE FUNCTION keep_what_runs_name('alone');

-- Not before: runs may be truncated by the same statement. And the second look, which comes after the first by its name, not at
-- the commit, which no trigger of a whole table waits for: who leaves that open keeps everybody waiting who reads the table.
CREATE TRIGGER keep_truncated AFTER TRUNCATE ON playbooks FOR EACH STATEMENT EXECUTE FUNCTION keep_what_runs_name();
CREATE TRIGGER keep_truncated AFTER TRUNCATE ON projects FOR EACH STATEMENT EXECUTE FUNCTION keep_what_runs_name();
CREATE TRIGGER keep_truncated AFTER TRUNCATE ON templates FOR EACH STATEMENT EXECUTE FUNCTION keep_what_runs_name();

CREATE TRIGGER keep_truncated_alone AFTER TRUNCATE ON playbooks FOR EACH STATEMENT
    EXECUTE FUNCTION keep_what_runs_name('alone');
CREATE TRIGGER keep_truncated_alone AFTER TRUNCATE ON projects FOR EACH STATEMENT
    EXECUTE FUNCTION keep_what_runs_name('alone');
CREATE TRIGGER keep_truncated_alone AFTER TRUNCATE ON templates FOR EACH STATEMENT
    EXECUTE FUNCTION keep_what_runs_name('alone');

ALTER TABLE runs
    DROP CONSTRAINT runs_organization_id_playbook_id_fkey,
    DROP CONSTRAINT runs_organization_id_project_id_fkey,
    DROP CONSTRAINT runs_organization_id_template_id_fkey;
COMMENT ON COLUMN runs.playbook_id IS 'Playbook that the delivery was sent to. It stays while a run names it (triggers keep_…).';
COMMENT ON COLUMN runs.project_id IS 'Target project as the gateway resolved it when it accepted the delivery. Stays as the playbook does.';
COMMENT ON COLUMN runs.template_id IS 'Target template as the gateway resolved it when it accepted the delivery. Stays as the playbook does.';

-- Most deliveries are for the project and template that their playbook names, and those it keeps.
GRANT SELECT (project_id, template_id) ON playbooks TO runlatch_worker;
