//! Every fault of a wire, seen from both of its ends.

use std::{
    io::{self, ErrorKind},
    time::Duration,
};

use anyhow::Result;
use local::{Counts, Role, Server, Stack, Toward, Wire};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

/// A server, and the wire to it.
struct Ends {
    server: TcpListener,
    wire: Wire,
}

/// Both ends of one connection.
struct Call {
    client: TcpStream,
    server: TcpStream,
}

impl Ends {
    async fn new() -> Result<Ends> {
        let server = TcpListener::bind("127.0.0.1:0").await?;
        let wire = Wire::to(server.local_addr()?.port())?;
        Ok(Ends { server, wire })
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        TcpStream::connect(("127.0.0.1", self.wire.port())).await
    }

    async fn call(&self) -> Result<Call> {
        let client = self.connect().await?;
        Ok(Call { client, server: soon(self.server.accept()).await?.0 })
    }

    /// Waits until so much has happened.
    async fn counted(&self, enough: impl Fn(&Counts) -> bool) -> Counts {
        let counting = async {
            while !enough(&self.wire.counts()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        soon(counting).await;
        self.wire.counts()
    }
}

impl Call {
    /// A word there and a word back.
    async fn works(&mut self) -> Result<()> {
        self.client.write_all(b"ping").await?;
        assert_eq!(read(&mut self.server, 4).await?, "ping");
        self.server.write_all(b"pong").await?;
        assert_eq!(read(&mut self.client, 4).await?, "pong");
        Ok(())
    }
}

/// What is to happen happens within ten seconds.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(10), what).await.expect("within ten seconds")
}

async fn read(from: &mut TcpStream, length: usize) -> io::Result<String> {
    let mut bytes = vec![0; length];
    soon(from.read_exact(&mut bytes)).await?;
    Ok(String::from_utf8(bytes).expect("text"))
}

/// All that comes, and how it ends.
async fn rest(from: &mut TcpStream) -> (String, Option<ErrorKind>) {
    let mut bytes = vec![];
    let end = soon(from.read_to_end(&mut bytes)).await.err().map(|error| error.kind());
    (String::from_utf8(bytes).expect("text"), end)
}

/// Nothing comes, not even an end.
async fn silent(from: &mut TcpStream) {
    let heard = timeout(Duration::from_millis(50), from.read_u8()).await;
    assert!(heard.is_err(), "{heard:?}");
}

const RESET: Option<ErrorKind> = Some(ErrorKind::ConnectionReset);

#[tokio::test]
async fn passes_what_is_sent_and_how_it_ends() -> Result<()> {
    let ends = Ends::new().await?;
    let mut call = ends.call().await?;
    call.works().await?;
    call.client.write_all(b"last").await?;
    call.client.shutdown().await?;
    assert_eq!(rest(&mut call.server).await, ("last".to_owned(), None));
    // The other direction is open still.
    call.server.write_all(b"words").await?;
    drop(call.server);
    assert_eq!(rest(&mut call.client).await, ("words".to_owned(), None));
    let counts = ends.counted(|counts| counts.live == 0).await;
    assert_eq!(counts, Counts { accepted: 1, live: 0, cut: 0, to_server: 8, to_client: 9 });

    // A reset by one end is one for the other.
    let mut call = ends.call().await?;
    call.server.set_zero_linger()?;
    drop(call.server);
    assert_eq!(rest(&mut call.client).await.1, RESET);
    Ok(())
}

#[tokio::test]
async fn delays_and_keeps_order() -> Result<()> {
    let ends = Ends::new().await?;
    let mut call = ends.call().await?;
    ends.wire.delay(Duration::from_millis(40));
    let began = Instant::now();
    call.works().await?;
    assert!(began.elapsed() >= Duration::from_millis(80), "{:?}", began.elapsed());
    ends.wire.delay(Duration::from_millis(1));
    ends.wire.chop(3);
    let text: String = ('a'..='z').cycle().take(1000).collect();
    call.client.write_all(text.as_bytes()).await?;
    call.client.shutdown().await?;
    assert_eq!(rest(&mut call.server).await, (text, None));
    Ok(())
}

#[tokio::test]
async fn comes_in_pieces() -> Result<()> {
    let ends = Ends::new().await?;
    // Connections that come later too.
    ends.wire.chop(1);
    ends.wire.delay(Duration::from_millis(20));
    let mut call = ends.call().await?;
    call.server.write_all(b"ab").await?;
    let mut buffer = [0; 8];
    assert_eq!(soon(call.client.read(&mut buffer)).await?, 1);
    assert_eq!(soon(call.client.read(&mut buffer)).await?, 1);
    Ok(())
}

#[tokio::test]
async fn cuts_both_ends_at_once() -> Result<()> {
    let ends = Ends::new().await?;
    let (mut one, mut two) = (ends.call().await?, ends.call().await?);
    one.works().await?;
    ends.wire.cut();
    for end in [&mut one.client, &mut one.server, &mut two.client, &mut two.server] {
        assert_eq!(rest(end).await, (String::new(), RESET));
    }
    assert_eq!(ends.counted(|counts| counts.live == 0).await.cut, 2);
    // Not those that come later.
    ends.call().await?.works().await
}

#[tokio::test]
async fn cuts_after_a_number_of_bytes() -> Result<()> {
    for toward in [Toward::Server, Toward::Client] {
        let ends = Ends::new().await?;
        let mut bystander = ends.call().await?;
        let mut call = ends.call().await?;
        call.works().await?;
        ends.wire.cut_after(5, toward);
        let (from, to) = match toward {
            Toward::Server => (&mut call.client, &mut call.server),
            Toward::Client => (&mut call.server, &mut call.client),
        };
        from.write_all(b"mes").await?;
        assert_eq!(read(to, 3).await?, "mes");
        from.write_all(b"sage").await?;
        assert_eq!(rest(to).await, ("sa".to_owned(), RESET));
        assert_eq!(rest(from).await, (String::new(), RESET));
        // Once, and one connection.
        bystander.works().await?;
        ends.call().await?.works().await?;
        assert_eq!(ends.wire.counts().cut, 1);
    }
    Ok(())
}

#[tokio::test]
async fn cuts_within_a_text() -> Result<()> {
    let ends = Ends::new().await?;
    let mut call = ends.call().await?;
    ends.wire.cut_within("COMMIT", Toward::Client);
    call.client.write_all(b"COMMIT").await?;
    assert_eq!(read(&mut call.server, 6).await?, "COMMIT");
    call.server.write_all(b"done: COMMIT!").await?;
    assert_eq!(rest(&mut call.client).await, ("done: COMMI".to_owned(), RESET));
    assert_eq!(rest(&mut call.server).await.1, RESET);
    ends.call().await?.works().await
}

#[tokio::test]
async fn loses_an_answer_to_a_request_that_has_arrived() -> Result<()> {
    let ends = Ends::new().await?;
    let (mut call, mut bystander) = (ends.call().await?, ends.call().await?);
    ends.wire.lose_answer("SET");
    call.client.write_all(b"GET; SET").await?;
    assert_eq!(read(&mut call.server, 8).await?, "GET; SET");
    bystander.works().await?;
    silent(&mut call.client).await;
    call.server.write_all(b"OK").await?;
    assert_eq!(rest(&mut call.client).await, (String::new(), RESET));
    assert_eq!(rest(&mut call.server).await.1, RESET);
    bystander.client.write_all(b"SET").await?;
    assert_eq!(read(&mut bystander.server, 3).await?, "SET");
    bystander.works().await
}

#[tokio::test]
async fn half_closes() -> Result<()> {
    for toward in [Toward::Server, Toward::Client] {
        let ends = Ends::new().await?;
        let mut call = ends.call().await?;
        call.works().await?;
        ends.wire.half_close(toward);
        let (from, to) = match toward {
            Toward::Server => (&mut call.client, &mut call.server),
            Toward::Client => (&mut call.server, &mut call.client),
        };
        assert_eq!(rest(to).await, (String::new(), None));
        // Who was cut off may go on sending; the other direction is open.
        from.write_all(b"unheard").await?;
        to.write_all(b"heard").await?;
        assert_eq!(read(from, 5).await?, "heard");
        from.shutdown().await?;
        silent(from).await;
        to.write_all(b"still").await?;
        assert_eq!(read(from, 5).await?, "still");
        to.shutdown().await?;
        assert_eq!(rest(from).await, (String::new(), None));
        ends.call().await?.works().await?;
    }
    Ok(())
}

#[tokio::test]
async fn swallows_and_tells_neither_end() -> Result<()> {
    let ends = Ends::new().await?;
    let mut call = ends.call().await?;
    let mut idle = ends.call().await?;
    call.works().await?;
    ends.wire.black_hole();
    call.client.write_all(b"lost").await?;
    call.server.write_all(b"lost").await?;
    silent(&mut call.client).await;
    silent(&mut call.server).await;
    // Accepted, and swallowed too.
    let mut late = ends.connect().await?;
    late.write_all(b"lost").await?;
    silent(&mut late).await;
    // Even an end is.
    drop(call.client);
    silent(&mut call.server).await;

    ends.wire.heal().await;
    idle.client.write_all(b"dead for ever").await?;
    silent(&mut idle.server).await;
    silent(&mut late).await;
    silent(&mut call.server).await;
    ends.call().await?.works().await?;
    assert_eq!(ends.wire.counts().to_server, 8);
    Ok(())
}

#[tokio::test]
async fn holds_and_loses_nothing() -> Result<()> {
    let ends = Ends::new().await?;
    let mut call = ends.call().await?;
    call.works().await?;
    ends.wire.hold();
    call.client.write_all(b"late").await?;
    let mut late = ends.connect().await?;
    late.write_all(b"later").await?;
    silent(&mut call.server).await;
    call.client.shutdown().await?;
    silent(&mut call.server).await;
    assert!(timeout(Duration::from_millis(50), ends.server.accept()).await.is_err());
    ends.wire.heal().await;
    assert_eq!(rest(&mut call.server).await, ("late".to_owned(), None));
    let mut server = soon(ends.server.accept()).await?.0;
    assert_eq!(read(&mut server, 5).await?, "later");
    Ok(())
}

#[tokio::test]
async fn refuses_until_it_heals() -> Result<()> {
    let ends = Ends::new().await?;
    let mut call = ends.call().await?;
    for _ in 0..3 {
        ends.wire.refuse().await;
        assert_eq!(ends.connect().await.expect_err("nobody listens").kind(), ErrorKind::ConnectionRefused);
        call.works().await?;
        ends.wire.heal().await;
        ends.call().await?.works().await?;
    }
    // A server that refuses is passed on as far as an accepted connection can: by a reset.
    drop(ends.server);
    let wire = ends.wire;
    let mut client = TcpStream::connect(("127.0.0.1", wire.port())).await?;
    assert_eq!(rest(&mut client).await.1, RESET);
    Ok(())
}

#[tokio::test]
async fn ends_with_its_last_handle() -> Result<()> {
    let ends = Ends::new().await?;
    let mut call = ends.call().await?;
    let (port, clone) = (ends.wire.port(), ends.wire.clone());
    drop(ends.wire);
    call.works().await?;
    drop(clone);
    assert_eq!(rest(&mut call.client).await.1, RESET);
    assert_eq!(rest(&mut call.server).await.1, RESET);
    soon(async { while TcpStream::connect(("127.0.0.1", port)).await.is_ok() {} }).await;
    Ok(())
}

/// Gateways and workers go over the wires, each over their own, and the stack's own addresses past them.
#[tokio::test]
async fn a_stack_has_wires() -> Result<()> {
    let stack = Stack::builder().durable(false).wire(true).start().await?;
    for server in [Server::Postgres, Server::Redis, Server::Nats] {
        let counts = stack.wire(server).counts();
        assert!(counts.accepted > 0 && counts.to_server > 0 && counts.to_client > 0, "{server}: {counts:?}");
    }
    let (both, gateways) = (stack.wire(Server::Nats), stack.wire_of(Role::Gateway, Server::Nats));
    let workers = stack.wire_of(Role::Worker, Server::Nats);
    assert_eq!(both.counts().accepted, gateways.counts().accepted + workers.counts().accepted);

    both.refuse().await;
    workers.cut();
    let unready = async {
        while stack.check("worker-1").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(unready).await;
    stack.check("gateway-1").await.map_err(anyhow::Error::msg)?;
    stack.check("nats").await.map_err(anyhow::Error::msg)?;
    both.heal().await;
    stack.ready("worker-1").await?;
    stack.shutdown().await
}
