//! A payload stored is the payload sent; what cannot be stored is refused, never accepted.

use harness::World;

/// Valid JSON objects that some parser, codec or column type somewhere would change, or choke on.
fn storable() -> Vec<Vec<u8>> {
    let texts = [
        r"{}",
        r#"{"b":1,"a":2,"b":3}"#,
        r#"{ "spaces" :  [ 1 ,2 ]	,
 "lines": {} }"#,
        r#"{"number":1.0,"big":123456789012345678901234567890,"exp":1E400,"tiny":-0.0e-999,"zero":-0}"#,
        r#"{"escapes":"\u0041\/\b\f\n\r\t\"\\","nul":"\u0000"}"#,
        r#"{"lone":"\ud800","reversed":"\udc00\ud800","pair":"\ud83d\ude00"}"#,
        r#"{"raw":"é 漢 😀 � \u007f","":""}"#,
        r#"{"quotes":"'; DROP TABLE runs; --","percent":"%s {} $1"}"#,
        r#"{"brackets":"[[[{{{","closing":"]}]}","slash":"\\"}"#,
        r#"{"null":null,"true":true,"false":false,"empty":[]}"#,
        r#"{"payload":{"v":1,"deliveries":[]}}"#,
    ];
    let mut all: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    all.push(format!(r#"{{"deep":{}{}}}"#, "[".repeat(127), "]".repeat(127)).into_bytes());
    all.push(format!(r#"{{"wide":[{}0]}}"#, "0,".repeat(100_000)).into_bytes());
    all.push(format!(r#"{{"{}":1}}"#, "k".repeat(300_000)).into_bytes());
    all
}

#[tokio::test]
async fn stored_as_sent() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let payloads = storable();
    for (index, payload) in payloads.iter().enumerate() {
        // Whitespace around it is not part of it: the second is a retry of the first.
        let key = format!("{index:03}");
        let first = world.send(deploy.delivery(&key).body(payload.clone())).await.created();
        let around = [b" \t\r\n".as_slice(), payload, b"\n\n "].concat();
        assert_eq!(world.send(deploy.delivery(&key).body(around)).await.replayed(), first);
        // Whitespace within is.
        let within = [b"{ ".as_slice(), &payload[1..]].concat();
        world.send(deploy.delivery(&key).body(within)).await.conflicts_with(first.run);
    }
    world.settled().await;
    let runs = world.runs().await;
    assert_eq!(world.count("dead_letters").await, 0);
    assert_eq!(runs.len(), payloads.len());
    for (run, payload) in runs.iter().zip(&payloads) {
        assert!(run.payload.as_bytes() == payload, "changed: {:.200}", run.payload);
    }
    world.end().await;
}

#[tokio::test]
async fn refused_rather_than_lost() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let deep = format!(r#"{{"deep":{}{}}}"#, "[".repeat(128), "]".repeat(128));
    let abyss = format!(r#"{{"deep":{}"#, "[".repeat(400_000));
    let bodies: [&[u8]; 22] = [
        b"",
        b" \n",
        b"null",
        b"1",
        b"\"text\"",
        b"[]",
        b"[{}]",
        b"{",
        b"}",
        b"{}{}",
        b"{} x",
        b"{\"a\":1,}",
        b"{'a':1}",
        b"{\"a\":01}",
        b"{\"a\":\"\x01\"}",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":\"\xed\xa0\x80\"}",
        b"\xef\xbb\xbf{}",
        b"{\"a\":\"\\u12\"}",
        b"\xc2\xa0{}",
        deep.as_bytes(),
        abyss.as_bytes(),
    ];
    for body in bodies {
        let answer = world.send(deploy.delivery("k").body(body)).await;
        answer.refused(400, "invalid_body");
    }
    world.send(deploy.delivery("k")).await.created();
    world.only_run().await;
    world.end().await;
}
