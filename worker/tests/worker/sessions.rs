//! What the worker's sessions in Postgres are given, and what they leave to whoever knows better.

use local::{Extra, Role, Stack};

use crate::world::{World, until};

/// Writes down what was in force when a session said for the first time that it knows the stream: a statement of its own,
/// outside of every transaction. The trigger sees that session's settings, and what they came from.
const NOTE: &str = "
    CREATE TABLE noted (setting text, source text);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
        INSERT INTO public.noted SELECT current_setting('statement_timeout'), source FROM pg_settings
            WHERE name = 'statement_timeout';
        RETURN NULL;
    END $$;
    CREATE TRIGGER note AFTER INSERT ON settled_sequences FOR EACH ROW EXECUTE FUNCTION note()";

/// A worker's, which is given this much more of a URL.
async fn noted(world: &World, parameters: &str) -> (String, String) {
    let url = world.stack.database_url(Role::Worker) + parameters;
    let worker = world.stack.add_worker(&Extra::new().env("DATABASE_URL", url)).await.expect("started");
    let count = "SELECT count(*) FROM noted";
    until("it has made the stream known", || async { world.count(count).await > 0 }).await;
    world.stack.stop(&worker).await.expect("stopped");
    let row = world.database.query_one("DELETE FROM noted RETURNING setting, source", &[]).await.expect("one row");
    (row.get(0), row.get(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_ends_by_itself_and_when_is_for_the_operator_to_say() {
    let world = World::with(Stack::builder().workers(0)).await;
    world.database.batch_execute(NOTE).await.expect("a trigger");
    let expected = |setting: &str, source: &str| (setting.to_owned(), source.to_owned());
    // Not `client`: it came with no startup option, which poolers refuse.
    assert_eq!(noted(&world, "").await, expected("10s", "session"));
    // Nobody has thought of workers who sets it for all.
    world.database.batch_execute("ALTER DATABASE runlatch SET statement_timeout = '1h'").await.expect("set");
    assert_eq!(noted(&world, "").await, expected("10s", "session"));
    world.database.batch_execute("ALTER ROLE worker SET statement_timeout = '20s'").await.expect("set");
    assert_eq!(noted(&world, "").await, expected("20s", "user"));
    assert_eq!(noted(&world, "?options=-cstatement_timeout%3D30s").await, expected("30s", "client"));
}
