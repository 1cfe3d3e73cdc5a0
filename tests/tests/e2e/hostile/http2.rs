//! HTTP/2: frames that cost their sender little and could cost us much.

use futures_util::future::join_all;
use harness::eventually;
use harness::frames::{END_HEADERS, END_STREAM, Peer, field, frame, kind, post, string};
use tokio::task::JoinSet;
use tokio::time::{Duration, sleep};

use super::siege::{CONNECTIONS, SILENCE, Siege, memory};

/// Connections of each attack.
const ATTACKERS: usize = 20;
/// RFC 9113, section 7: said to a peer that does too much.
const ENHANCE_YOUR_CALM: u32 = 11;

/// Odd numbers, as a client's streams have.
fn streams() -> impl Iterator<Item = u32> {
    (1..).step_by(2)
}

fn request(siege: &Siege, stream: u32, flags: u8) -> Vec<u8> {
    let head = post(&siege.deploy.path, &[("x-webhook-secret", "wrong"), ("x-idempotency-key", "h2")]);
    frame(kind::HEADERS, END_HEADERS | flags, stream, &head)
}

fn reset(stream: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}

/// CVE-2023-44487: streams opened and reset in one breath, so that none counts as open. And CVE-2025-8671: streams that
/// the gateway is made to reset itself.
#[tokio::test]
async fn resets() {
    let siege = Siege::begin(SILENCE).await;
    let attacks = (0..ATTACKERS).map(|attacker| {
        let siege = &siege;
        async move {
            let mut peer = Peer::connect(&siege.url, &[]).await;
            let streams: Vec<u32> = streams().take(10_000).collect();
            for some in streams.chunks(100) {
                let fault = |stream: u32| match attacker % 2 {
                    0 => reset(stream),
                    // No window grows beyond 31 bits (section 6.9.1).
                    _ => frame(kind::WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes()),
                };
                let bytes: Vec<u8> = some.iter().flat_map(|s| [request(siege, *s, 0), fault(*s)].concat()).collect();
                if !peer.send(bytes).await {
                    break;
                }
            }
            peer.reason().await
        }
    });
    let (reasons, ()) = tokio::join!(join_all(attacks), siege.serves());
    // None says goodbye in the ordinary way; where the reason is lost, the connection is cut.
    assert!(reasons.iter().all(|reason| matches!(reason, None | Some(ENHANCE_YOUR_CALM))), "{reasons:?}");
    assert!(reasons.contains(&Some(ENHANCE_YOUR_CALM)), "{reasons:?}");
    siege.serves().await;
    siege.end(memory(ATTACKERS)).await;
}

/// Heads that never end, that are longer than allowed, and that are short on the wire and long in memory.
#[tokio::test]
async fn heads() {
    let siege = Siege::begin(SILENCE).await;
    let begin = post(&siege.deploy.path, &[]);
    // CVE-2024-27316: frames that continue a head, without end.
    let continuations = |piece: Vec<u8>| {
        let begin = frame(kind::HEADERS, 0, 1, &begin);
        [begin, frame(kind::CONTINUATION, 0, 1, &piece).repeat(100)].concat()
    };
    let many: Vec<u8> = (0..300).flat_map(|index| field(&format!("x{index}"), "")).collect();
    // A field of 4000 bytes put into the table once, then named by one byte each.
    let entry = [vec![0x40], string("x"), string(&"v".repeat(4000))].concat();
    let bomb = [begin.clone(), entry, vec![0xbe; 12_000]].concat();
    let headers = |head: &[u8]| frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, head);
    let attacks = [
        ("empty continuations", continuations(vec![])),
        ("long continuations", continuations(field("x", &"v".repeat(16_000)))),
        (
            "one field without end",
            continuations([&[0][..], &string("x"), &[127, 0xff, 0xff, 0xff, 0x7f], &[b'v'; 9000]].concat()),
        ),
        ("a bomb", headers(&bomb)),
    ];
    for (what, bytes) in &attacks {
        let one = || async {
            let mut peer = Peer::connect(&siege.url, &[]).await;
            while peer.send(bytes).await {}
            peer.reason().await
        };
        let reasons = join_all((0..ATTACKERS).map(|_| one())).await;
        // A reason is lost where the peer goes on sending.
        let known = |reason: &Option<u32>| reason.is_none_or(|reason| reason != 0);
        assert!(reasons.iter().all(known), "{what}: {reasons:?}");
        siege.serves().await;
    }
    // Too many fields, or too long ones, but no abuse of the protocol: answered, and the connection goes on.
    let long = [field("x", &"v".repeat(16_000)), field("y", &"v".repeat(16_000)), field("z", &"v".repeat(500))];
    for (what, fields) in [("many fields", vec![many]), ("long fields", long.to_vec())] {
        let mut peer = Peer::connect(&siege.url, &[]).await;
        let mut bytes = frame(kind::HEADERS, END_STREAM, 1, &begin);
        for fields in &fields {
            bytes.extend(frame(kind::CONTINUATION, 0, 1, fields));
        }
        bytes.extend(frame(kind::CONTINUATION, END_HEADERS, 1, &[]));
        assert!(peer.send(bytes).await);
        assert!(peer.send(request(&siege, 3, END_STREAM)).await);
        // In either order.
        let answers = [peer.next_of(kind::HEADERS).await, peer.next_of(kind::HEADERS).await].map(Option::unwrap);
        let answer = |stream| answers.iter().find(|frame| frame.stream == stream).map(|frame| &frame.payload[..4]);
        // `:status: 431` and `401`, as the encoder has them: a name of the static table, and digits by Huffman's code.
        assert_eq!(answer(1), Some(&[0x48, 0x83, 0x69, 0x90][..]), "{what}: {answers:x?}");
        assert_eq!(answer(3), Some(&[0x48, 0x82, 0x68, 0x01][..]), "{what}: {answers:x?}");
    }
    siege.end(memory(ATTACKERS)).await;
}

/// Frames that want an answer each, by the hundred thousand, from peers that read none.
#[tokio::test]
async fn floods() {
    let siege = Siege::begin(SILENCE).await;
    let floods = [
        frame(kind::PING, 0, 0, &[7; 8]),
        frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]),
        frame(kind::WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()),
        frame(2, 0, 3, &[0, 0, 0, 0, 7]),
        frame(99, 0, 0, &[7; 100]),
        frame(kind::DATA, 0, 1, &[]),
        frame(kind::DATA, 8, 1, &[0]),
    ];
    let attacks = floods.iter().map(|flood| {
        let siege = &siege;
        async move {
            let some = flood.repeat(1000);
            let mut peer = Peer::connect(&siege.url, &[]).await;
            _ = peer.send(request(siege, 1, 0)).await;
            for _ in 0..200 {
                if !peer.send(&some).await {
                    break;
                }
            }
        }
    });
    tokio::join!(join_all(attacks), siege.serves());
    // And frames of every kind and none, drawn.
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut draw = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for _ in 0..50 {
        let mut peer = Peer::connect(&siege.url, &[]).await;
        let mut bytes = request(&siege, 1, 0);
        for _ in 0..20 {
            let length = draw() % 40;
            let payload: Vec<u8> = (0..length).map(|_| draw() as u8).collect();
            bytes.extend(frame((draw() % 11) as u8, draw() as u8, (draw() % 4) as u32, &payload));
        }
        _ = peer.send(bytes).await;
    }
    siege.serves().await;
    siege.end(memory(60)).await;
}

/// All the streams there may be, each with a body that is not to end; and answers for which their peer has no window.
#[tokio::test]
async fn stalls() {
    let siege = Siege::begin(SILENCE).await;
    let mut held = Vec::new();
    for attacker in 0..2 * ATTACKERS {
        // SETTINGS_INITIAL_WINDOW_SIZE: nothing may be sent to this peer.
        let mut peer = Peer::connect(&siege.url, &[(4, 0)]).await;
        let flags = if attacker % 2 == 0 { END_STREAM } else { 0 };
        let bytes: Vec<u8> = streams().take(100).flat_map(|stream| request(&siege, stream, flags)).collect();
        peer.send(bytes).await;
        if flags == 0 {
            let data = frame(kind::DATA, 0, 1, &[b' '; 16_000]);
            peer.send(data.repeat(4)).await;
        }
        held.push(peer);
    }
    siege.serves().await;
    // One that keeps asking is not silent, and is cut off all the same: its answers lie there unread.
    let mut asking = Peer::connect(&siege.url, &[(4, 0)]).await;
    let mut asked = 0;
    eventually("it is cut off", async || {
        asked += 1;
        sleep(Duration::from_millis(200)).await;
        let ping = frame(kind::PING, 0, 0, &[0; 8]);
        let bytes = if asked < 100 { request(&siege, 2 * asked - 1, END_STREAM) } else { ping };
        (!asking.send(bytes).await).then_some(())
    })
    .await;
    assert!(asked < 75, "it was given {asked} requests' time, of 200 ms each");
    // So are the others.
    eventually("they are cut off", async || {
        let open = siege.world.metric("gateway-1", "runlatch_gateway_connections").await;
        (open == Some(0.0)).then_some(())
    })
    .await;
    drop(held);
    siege.end(memory(2 * ATTACKERS + 1)).await;
}

/// Strangers on most of the connections there may be, who take no answer: with all the streams that each may have, from
/// all at once; with two each; and with heads that are short on the wire and long in memory. Who is cut off comes again.
#[tokio::test]
async fn crowds() {
    const CROWD: usize = 9 * CONNECTIONS / 10;
    // None is cut off for what it leaves unread: there has to be room for others' nevertheless.
    let siege = Siege::begin("5m").await;
    let requests =
        |count: usize| -> Vec<u8> { streams().take(count).flat_map(|s| request(&siege, s, END_STREAM)).collect() };
    // 900 fields in as many bytes: each names the one that was put into the table first.
    let entry = [vec![0x40], string("x"), string("")].concat();
    let bomb = [post(&siege.deploy.path, &[]), entry, vec![0xbe; 900]].concat();
    let bombs =
        streams().take(100).flat_map(|stream| frame(kind::HEADERS, END_HEADERS | END_STREAM, stream, &bomb)).collect();
    for (crowd, bytes) in [(CROWD, requests(100)), (CROWD, requests(2)), (ATTACKERS, bombs), (CROWD, requests(100))] {
        let bytes: &'static [u8] = Vec::leak(bytes);
        let before = siege.answered().await;
        let mut attack = JoinSet::new();
        for _ in 0..crowd {
            let url = siege.url.clone();
            attack.spawn(async move {
                loop {
                    let mut peer = Peer::connect(&url, &[(4, 0)]).await;
                    _ = peer.send(bytes).await;
                    peer.end().await;
                    sleep(Duration::from_millis(200)).await;
                }
            });
        }
        eventually("they are answered", async || (siege.answered().await > before + CROWD as f64).then_some(())).await;
        for _ in 0..3 {
            siege.serves().await;
            siege.serves_many().await;
        }
        attack.shutdown().await;
    }
    let evicted = siege.world.metric("gateway-1", "runlatch_gateway_connections_evicted_total").await;
    assert!(evicted > Some(0.0), "those who came first have kept all the room for strangers");
    siege.end(memory(CROWD)).await;
}
