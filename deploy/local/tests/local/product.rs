//! The product in a stack: its logins, its command line, gateways and workers that come later.

use anyhow::Result;
use local::{Extra, Role, Stack};

fn names(stack: &Stack) -> Vec<String> {
    stack.processes().into_iter().map(|process| process.name).collect()
}

#[tokio::test]
async fn every_login_works_and_the_command_line_says_what_it_cannot_do() -> Result<()> {
    let stack = Stack::builder().gateways(0).workers(0).durable(false).start().await?;
    for role in [Role::Superuser, Role::Owner, Role::Operator, Role::Gateway, Role::Worker] {
        let _works = tokio_postgres::connect(&stack.database_url(role), tokio_postgres::NoTls).await?;
    }
    let catalog = "[organizations.o]\nname = \"O\"\n[organizations.o.projects.p]\nname = \"P\"\n\
                   [organizations.o.templates.t]\nname = \"T\"\n\
                   [organizations.o.playbooks.b]\nname = \"B\"\nproject = \"p\"\ntemplate = \"t\"\n";
    stack.catalog(catalog).await?;
    assert!(stack.secret("o/b").await?.starts_with("rlsk_"));
    let error = stack.secret("o/none").await.expect_err("there is no such playbook").to_string();
    assert!(error.starts_with("`runlatch secret create o/none` failed"), "{error}");
    assert!(error.lines().count() > 1, "it says why: {error}");
    Ok(())
}

#[tokio::test]
async fn gateways_and_workers_can_be_added_and_one_that_fails_is_taken_away_again() -> Result<()> {
    let stack = Stack::builder().durable(false).start().await?;
    let before = names(&stack);
    assert_eq!(before, ["postgres", "redis", "nats", "gateway-1", "worker-1"]);

    let error = stack.add_gateway(&Extra::new().arg("--no-such-flag")).await.expect_err("it refuses this").to_string();
    assert!(error.contains("gateway-2 ended (exit status: 64) before it was ready"), "{error}");
    assert!(error.contains("no-such-flag"), "its log says why: {error}");
    let error = stack.add_worker(&Extra::new().env("DATABASE_URL", "nonsense")).await.expect_err("it refuses this");
    assert!(error.to_string().contains("worker-2 ended"), "{error}");
    assert_eq!(names(&stack), before);

    assert_eq!(stack.add_gateway(&Extra::new()).await?, "gateway-2");
    assert_eq!(stack.add_worker(&Extra::new()).await?, "worker-2");
    assert_eq!(stack.urls().len(), 2);
    for name in ["gateway-1", "worker-1"] {
        assert!(stack.stop(name).await?.success());
        stack.start(name).await?;
    }
    stack.shutdown().await
}
