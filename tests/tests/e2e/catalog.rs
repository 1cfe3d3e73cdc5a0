//! A change of the catalog is in force on every gateway within a second, without a restart.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use harness::{CATALOG, Playbook, World, eventually};

/// In force within this, from the moment the operator's command has returned.
const SOON: Duration = Duration::from_secs(1);

/// Sends probes to every gateway until each is answered so; fails if that takes longer than it may.
async fn in_force(world: &World, playbook: &Playbook, status: u16, code: &str) {
    let since = Instant::now();
    join_all((0..world.stack.urls().len()).map(async |gateway| {
        loop {
            let answer = world.send(playbook.probe().gateway(gateway)).await;
            if answer.status == status && answer.text.contains(code) {
                break;
            }
            assert!(since.elapsed() < SOON, "gateway {gateway}: not {status} {code} but {answer:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }))
    .await;
}

#[tokio::test]
async fn within_a_second() {
    let world = World::with(|builder| builder.gateways(2)).await;
    let operator = async |args: &[&str]| world.stack.runlatch(args).await.expect("the command succeeds");
    // What a probe is answered by a playbook that may be started.
    let open = (400, "missing_idempotency_key");

    let secret = world.note(world.stack.secret("acme/deploy").await.expect("a secret"));
    let deploy = Playbook::new("acme/deploy", &secret);
    in_force(&world, &deploy, open.0, open.1).await;
    // Rotation: a second secret lives beside the first.
    let second = world.note(world.stack.secret("acme/deploy").await.expect("a secret"));
    in_force(&world, &Playbook::new("acme/deploy", &second), open.0, open.1).await;
    in_force(&world, &deploy, open.0, open.1).await;
    let one = Playbook::new("globex/one", &world.note(world.stack.secret("globex/one").await.expect("a secret")));
    in_force(&world, &one, open.0, open.1).await;

    // Revoked, a secret opens nothing; the other still does.
    let first = "SELECT webhook_secrets.id::text FROM webhook_secrets JOIN playbooks ON playbooks.id = playbook_id
                 WHERE playbooks.slug = 'deploy' ORDER BY webhook_secrets.created_at LIMIT 1";
    let first: String = world.database.query_one(first, &[]).await.expect("the first secret").get(0);
    operator(&["secret", "revoke", &first]).await;
    in_force(&world, &deploy, 401, "invalid_secret").await;
    let deploy = Playbook::new("acme/deploy", &second);
    in_force(&world, &deploy, open.0, open.1).await;

    for (scope, others) in [(&["acme"][..], open), (&[][..], (404, "kill_switch_engaged"))] {
        operator(&[&["kill-switch", "on"], scope].concat()).await;
        in_force(&world, &deploy, 404, "kill_switch_engaged").await;
        in_force(&world, &one, others.0, others.1).await;
        operator(&[&["kill-switch", "off"], scope].concat()).await;
        in_force(&world, &deploy, open.0, open.1).await;
        in_force(&world, &one, open.0, open.1).await;
    }

    let catalog = async |toml: &str| world.stack.catalog(toml).await.expect("applies");
    catalog(&CATALOG.replace("playbooks.deploy]", "playbooks.deploy]\nenabled = false")).await;
    in_force(&world, &deploy, 404, "playbook_disabled").await;
    catalog(CATALOG).await;
    in_force(&world, &deploy, open.0, open.1).await;

    catalog(&CATALOG.replace("acme.projects.side", "acme.projects.aside")).await;
    // A new project; the old one is still there, since nothing is deleted because a file leaves it out.
    eventually("the new project is known", async || {
        let answer = world.send(deploy.delivery("k1").query("project=aside")).await;
        (answer.status != 422).then(|| answer.created())
    })
    .await;
    world.send(deploy.delivery("k2").query("project=side")).await.created();
    catalog(&CATALOG.replace("acme.templates.fancy", "acme.templates.fresh")).await;
    eventually("the new template is known", async || {
        let answer = world.send(deploy.delivery("k4").query("template=fresh")).await;
        (answer.status != 422).then(|| answer.created())
    })
    .await;

    // A change of the default target does not turn retries into conflicts.
    let before = world.send(deploy.delivery("k3")).await.created();
    catalog(&CATALOG.replacen("project = \"main\"", "project = \"side\"", 1)).await;
    let side = async || world.send(deploy.delivery(&uuid::Uuid::new_v4().to_string())).await.created();
    eventually("the new default is in force", async || {
        side().await;
        world.settled().await;
        world.runs().await.iter().any(|run| run.project == "side" && run.key != "k2").then_some(())
    })
    .await;
    assert_eq!(world.send(deploy.delivery("k3")).await.replayed(), before);

    // An organization that is renamed is no longer found under its old name.
    let rename = "UPDATE organizations SET slug = 'initech' WHERE slug = 'globex'";
    world.database.batch_execute(rename).await.expect("renamed");
    in_force(&world, &Playbook::new("initech/one", &one.secret), open.0, open.1).await;
    in_force(&world, &one, 404, "not_found").await;

    // What says of no organization that it changed may have changed them all.
    let (owner, connection) =
        tokio_postgres::connect(&world.stack.database_url(local::Role::Owner), tokio_postgres::NoTls)
            .await
            .expect("connects");
    tokio::spawn(connection);
    owner.batch_execute("TRUNCATE webhook_secrets").await.expect("truncates");
    in_force(&world, &deploy, 401, "invalid_secret").await;
    world.end().await;
}

/// A gateway answers from its snapshot while Postgres is away, and catches up with what it missed.
#[tokio::test]
async fn postgres_may_be_away() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    world.stack.halt("postgres").await.expect("halts");
    let created = world.send(deploy.delivery("k")).await.created();
    assert_eq!(world.send(deploy.delivery("k")).await.replayed(), created);

    world.stack.start("postgres").await.expect("starts");
    eventually("the switch is engaged", async || world.stack.runlatch(&["kill-switch", "on"]).await.ok()).await;
    eventually("the switch is in force", async || (world.send(deploy.probe()).await.status == 404).then_some(())).await;
    let (database, connection) =
        tokio_postgres::connect(&world.stack.database_url(local::Role::Operator), tokio_postgres::NoTls)
            .await
            .expect("connects");
    tokio::spawn(connection);
    eventually("the run is there", async || {
        let row = database.query_one("SELECT count(*) FROM runs WHERE id = $1", &[&created.run]).await.ok()?;
        (row.get::<_, i64>(0) == 1).then_some(())
    })
    .await;
    world.end().await;
}
