//! The callers' own wire, to a gateway.

use harness::raw::Raw;
use harness::{Playbook, World, eventually, payload};
use local::{Extra, Server, Toward, Wire};

use super::impatient;

struct Scene {
    world: World,
    deploy: Playbook,
    /// To the one gateway.
    wire: Wire,
}

#[tokio::test]
async fn fails_and_binds_nothing_that_did_not_arrive() {
    let brief = Extra::new().env("RUNLATCH_BODY_TIMEOUT", "2s").env("RUNLATCH_HEADER_TIMEOUT", "2s");
    let world = World::with(|builder| impatient(builder).gateway(brief)).await;
    let deploy = world.playbook("acme/deploy").await;
    let port = world.stack.processes().iter().find_map(|process| process.port.filter(|_| process.name == "gateway-1"));
    let scene = Scene { world, deploy, wire: Wire::to(port.expect("a gateway")).expect("a wire") };

    scene.cut_within_the_body().await;
    scene.finished_within_the_body().await;
    scene.silent_within_the_body().await;
    scene.byte_by_byte().await;
    scene.answer_lost().await;
    scene.half_closed_by_the_caller().await;

    let world = scene.world;
    // Nobody is left on the line.
    drop(scene.wire);
    world.settled().await;
    assert_eq!(world.count("dead_letters").await, 0);
    world.end().await;
}

impl Scene {
    /// A whole request, and its length without the body.
    fn request(&self, key: &str) -> (String, usize) {
        let body = payload(key);
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: x\r\nx-webhook-secret: {}\r\nx-idempotency-key: {key}\r\ncontent-length: {}\r\n\r\n",
            self.deploy.path,
            self.deploy.secret,
            body.len()
        );
        (head.clone() + &body, head.len())
    }

    async fn connect(&self) -> Raw {
        Raw::connect(&format!("http://127.0.0.1:{}", self.wire.port())).await
    }

    async fn in_flight(&self, count: f64) {
        eventually("so many are in flight", async || {
            (self.world.metric("gateway-1", "runlatch_gateway_in_flight").await == Some(count)).then_some(())
        })
        .await;
    }

    /// What did not arrive whole is nothing: no claim, no message, and its place is free.
    async fn nothing_came_of(&self, key: &str, messages_before: u64) {
        self.in_flight(0.0).await;
        assert!(!self.world.claimed(key).await, "{key}");
        assert_eq!(self.world.messages_ever().await, messages_before, "{key}");
        self.world.send(self.deploy.delivery(key)).await.created();
    }

    async fn cut_within_the_body(&self) {
        let before = self.world.messages_ever().await;
        let (request, head) = self.request("cut");
        self.wire.cut_after(head as u64 + 10, Toward::Server);
        let mut caller = self.connect().await;
        caller.send(&request).await;
        assert_eq!(caller.read_to_end().await, "");
        self.nothing_came_of("cut", before).await;
    }

    async fn finished_within_the_body(&self) {
        let before = self.world.messages_ever().await;
        let (request, head) = self.request("finished");
        let mut caller = self.connect().await;
        caller.send(&request[..head + 10]).await;
        self.in_flight(1.0).await;
        self.wire.half_close(Toward::Server);
        let answer = caller.read_to_end().await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
        self.nothing_came_of("finished", before).await;
    }

    async fn silent_within_the_body(&self) {
        let before = self.world.messages_ever().await;
        let (request, head) = self.request("silent");
        let mut caller = self.connect().await;
        caller.send(&request[..head + 10]).await;
        self.in_flight(1.0).await;
        self.wire.black_hole();
        caller.send(&request[head + 10..]).await;
        self.nothing_came_of("silent", before).await;
        self.wire.heal().await;
        // Not even its connection is kept, though nobody ever said that it has ended.
        eventually("its connection is closed", async || {
            (self.world.metric("gateway-1", "runlatch_gateway_connections").await == Some(0.0)).then_some(())
        })
        .await;
    }

    async fn byte_by_byte(&self) {
        self.wire.chop(1);
        let mut caller = self.connect().await;
        caller.send(self.request("bytes").0).await;
        let answer = caller.answer().await;
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
        self.wire.heal().await;
    }

    async fn answer_lost(&self) {
        let (request, _) = self.request("unheard");
        self.wire.lose_answer("unheard");
        let mut caller = self.connect().await;
        caller.send(&request).await;
        assert_eq!(caller.read_to_end().await, "");
        assert_eq!(self.wire.counts().cut, 2);
        self.replayed("unheard").await;
    }

    /// A caller that says that it has finished, while its answer is still to come, is taken to have left: it may go
    /// unanswered, but neither does it wait, nor is what it sent undone.
    async fn half_closed_by_the_caller(&self) {
        let nats = self.world.stack.wire(Server::Nats);
        nats.hold();
        let mut caller = self.connect().await;
        caller.send(self.request("half").0).await;
        self.in_flight(1.0).await;
        self.wire.half_close(Toward::Server);
        nats.heal().await;
        let answer = caller.read_to_end().await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 202 "), "{answer}");
        self.replayed("half").await;
    }

    /// The retry is answered as one, and there is one row.
    async fn replayed(&self, key: &str) {
        let replayed = self.world.send(self.deploy.delivery(key)).await.replayed();
        self.world.settled().await;
        let mut runs = self.world.runs().await;
        runs.retain(|run| run.key == key);
        assert_eq!(runs.len(), 1, "{runs:#?}");
        assert_eq!((runs[0].id, &runs[0].accepted_at), (replayed.run, &replayed.timestamp));
    }
}
