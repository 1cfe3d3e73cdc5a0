//! The way to the broker. Nothing of its URL but host and port is ever shown.

use std::time::Duration;

use async_nats::{ConnectOptions, ServerAddr, jetstream};

use crate::Error;

/// How long a server may take to answer anything.
const PATIENCE: Duration = Duration::from_secs(10);

/// One or more servers of a cluster, as the operator named them: comma-separated.
pub(crate) struct Servers(Vec<ServerAddr>);

/// Looks at the URL and at nothing else.
pub(crate) fn parse(url: Option<&str>) -> Result<Servers, Error> {
    let url = url.filter(|url| !url.is_empty()).ok_or_else(|| Error::Usage("NATS_URL is not set".to_owned()))?;
    let servers: Result<Vec<ServerAddr>, _> = url.split(',').map(|url| url.trim().parse()).collect();
    // The parser's own error is not passed on: it could quote the password.
    servers.map(Servers).map_err(|_| {
        Error::Usage(
            "NATS_URL is not of the form nats://user:password@host:4222, servers separated by commas".to_owned(),
        )
    })
}

/// Connects to one of them.
pub(crate) async fn connect(Servers(servers): Servers) -> Result<jetstream::Context, Error> {
    let places: Vec<String> = servers.iter().map(|server| format!("{}:{}", server.host(), server.port())).collect();
    let client = ConnectOptions::new()
        .name("runlatch")
        .connection_timeout(PATIENCE)
        .request_timeout(Some(PATIENCE))
        .connect(servers)
        .await
        .map_err(|error| Error::Unavailable(format!("cannot reach NATS at {}: {}", places.join(", "), error.kind())))?;
    Ok(jetstream::ContextBuilder::new().timeout(PATIENCE).build(client))
}
