//! Stacks know nothing of each other.

use std::collections::BTreeSet;

use anyhow::Result;
use local::{Role, Stack};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_postgres::NoTls;

use crate::servers;

#[tokio::test(flavor = "multi_thread")]
async fn several_stacks_run_side_by_side_and_share_nothing() -> Result<()> {
    let (a, b, c) = tokio::try_join!(servers().start(), servers().start(), servers().start())?;
    let ports: BTreeSet<_> =
        [&a, &b, &c].iter().flat_map(|stack| stack.processes()).map(|process| process.port).collect();
    assert_eq!(ports.len(), 9);

    assert_eq!(redis(&a, "SET whose a").await?, "+OK\r\n");
    assert_eq!(redis(&b, "GET whose").await?, "$-1\r\n");

    // One may not even log in to another.
    let login = a.database_url(Role::Owner);
    let (of_a, of_b) = (port(&a, "postgres"), port(&b, "postgres"));
    let _works = tokio_postgres::connect(&login, NoTls).await?;
    let error = tokio_postgres::connect(&login.replace(&of_a, &of_b), NoTls).await.err();
    assert_eq!(error.and_then(|error| error.code().cloned()), Some(tokio_postgres::error::SqlState::INVALID_PASSWORD));

    drop(a);
    for stack in [&b, &c] {
        for process in stack.processes() {
            stack.check(&process.name).await.map_err(anyhow::Error::msg)?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_owner_may_do_no_more_than_migrations_need() -> Result<()> {
    let stack = servers().start().await?;
    let (client, connection) = tokio_postgres::connect(&stack.database_url(Role::Owner), NoTls).await?;
    tokio::spawn(connection);
    client.batch_execute("CREATE TABLE t (); CREATE ROLE a NOLOGIN; CREATE ROLE b LOGIN IN ROLE a").await?;
    let refused = client.batch_execute("ALTER SYSTEM SET fsync = on").await.err();
    assert!(
        refused.is_some_and(|error| error.code() == Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE))
    );
    Ok(())
}

#[tokio::test]
async fn settings_for_the_servers_reach_them() -> Result<()> {
    let builder = servers().postgres("max_connections", "17").redis(["--maxmemory", "4mb"]).nats("max_payload: 4096");
    let stack = builder.start().await?;
    let (client, connection) = tokio_postgres::connect(&stack.database_url(Role::Superuser), NoTls).await?;
    tokio::spawn(connection);
    for (name, value) in [("max_connections", "17"), ("fsync", "off"), ("synchronous_commit", "on")] {
        let row = client.query_one(&format!("SHOW {name}"), &[]).await?;
        assert_eq!(row.get::<_, &str>(0), value, "{name}");
    }
    assert!(redis(&stack, "CONFIG GET maxmemory").await?.contains("4194304"));
    assert!(redis(&stack, "CONFIG GET maxmemory-policy").await?.contains("noeviction"));
    let nats = async_nats::connect(stack.nats_url()).await?;
    assert_eq!(nats.server_info().max_payload, 4096);
    Ok(())
}

fn port(stack: &Stack, name: &str) -> String {
    let process = stack.processes().into_iter().find(|process| process.name == name);
    format!(":{}/", process.and_then(|process| process.port).expect("a port"))
}

/// One command in Redis' inline form, and its answer as it comes.
pub(crate) async fn redis(stack: &Stack, command: &str) -> Result<String> {
    let mut connection = TcpStream::connect(stack.redis_url().trim_start_matches("redis://")).await?;
    connection.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    Ok(answer.trim_end_matches("+OK\r\n").to_owned() + if command.starts_with("SET") { "+OK\r\n" } else { "" })
}
