//! How a session with Postgres begins.

use std::{future::Future, pin::Pin};

use deadpool_postgres::{ConfigConnectImpl, Connect};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Error, NoTls};
use tokio_util::task::AbortOnDropHandle;

/// Postgres itself gives up before we do. A session that waits for a lock does not notice that its client has gone, so
/// under a lock that lasts each try would leave one behind, until no connection is left for anybody. For the whole session,
/// as a statement waits for its table's lock already when it is prepared, before any BEGIN.
///
/// By a statement, because poolers refuse a client that asks for it as it connects, in `options`. Whoever has set it for
/// these very sessions knows better: with the database's URL (`client`), or for the role.
const BEGIN: &str = "
    SELECT set_config('statement_timeout', '10s', false) FROM pg_settings
    WHERE name = 'statement_timeout' AND source NOT IN ('client', 'user', 'database user')";

/// Opens sessions for the pool. What they begin with is part of connecting, which the pool bounds in time; what its hooks
/// do it does not.
pub(crate) struct Sessions(ConfigConnectImpl<NoTls>);

impl Sessions {
    pub(crate) fn new() -> Self {
        Self(ConfigConnectImpl { tls: NoTls })
    }
}

type Connecting<'a> = Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + 'a>>;

impl Connect for Sessions {
    fn connect(&self, config: &Config) -> Connecting<'_> {
        let connecting = self.0.connect(config);
        Box::pin(async move {
            let (client, task) = connecting.await?;
            // Should nobody wait for the answer any more, the connection goes too, and makes no pooler wait for it.
            let task = AbortOnDropHandle::new(task);
            client.batch_execute(BEGIN).await?;
            Ok((client, task.detach()))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
        time::timeout,
    };

    use ops::postgres::Trouble;

    use crate::database::Database;

    /// What follows the kind of a message; the first of a connection has none.
    async fn read(client: &mut TcpStream) -> String {
        let length = client.read_u32().await.expect("a length");
        let mut body = vec![0; length as usize - 4];
        client.read_exact(&mut body).await.expect("a message");
        String::from_utf8(body).expect("text")
    }

    /// A pooler that has no server to spare greets its clients all the same, and leaves them waiting.
    #[tokio::test]
    async fn the_first_statement_bounds_all_others_and_is_bounded_too() {
        let pooler = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let url = format!("postgres://worker@{}/runlatch", pooler.local_addr().expect("an address"));
        let database = Database::new(url.parse().expect("a URL"), 1, Duration::from_secs(60));
        let greet = async {
            let (mut client, _) = pooler.accept().await.expect("a client");
            let startup = read(&mut client).await;
            assert!(startup.contains("user\0worker\0") && !startup.contains("options"), "{startup:?}");
            // AuthenticationOk, ReadyForQuery.
            client.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I").await.expect("written");
            assert_eq!(client.read_u8().await.expect("a statement"), b'Q');
            let first = read(&mut client).await;
            assert!(first.contains("set_config('statement_timeout'"), "{first:?}");
            client
        };
        let both = async { tokio::join!(database.connection(), greet) };
        let (connection, mut client) = timeout(Duration::from_secs(20), both).await.expect("bounded");
        assert_eq!(connection.err(), Some(Trouble::Slow));
        let end = timeout(Duration::from_secs(20), client.read_u8()).await.expect("the connection is closed");
        assert_eq!(end.expect_err("nothing more").kind(), std::io::ErrorKind::UnexpectedEof);
    }
}
