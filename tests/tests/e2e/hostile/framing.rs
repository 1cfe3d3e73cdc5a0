//! Where one request ends and the next begins: whoever could make a proxy and the gateway disagree on that could
//! put words into another's mouth.

use harness::raw::Raw;

use super::siege::{SILENCE, Siege, memory};

#[tokio::test]
async fn framing() {
    let siege = Siege::begin(SILENCE).await;
    requests_that_could_be_read_in_two_ways(&siege).await;
    requests_one_behind_the_other(&siege).await;
    siege.end(memory(0)).await;
}

async fn requests_that_could_be_read_in_two_ways(siege: &Siege) {
    let secret = &siege.deploy.secret;
    let head = |more: &str| siege.head(secret, "smuggled", more);
    let chunked = "transfer-encoding: chunked\r\n";
    for (request, what) in [
        (head("content-length: 2\r\ncontent-length: 3\r\n") + "{}", "two lengths"),
        (head("content-length: 2, 3\r\n") + "{}", "two lengths in one line"),
        (head("content-length: +2\r\n") + "{}", "a signed length"),
        (head("content-length: 0x2\r\n") + "{}", "a length in another base"),
        (head("content-length: -1\r\n") + "{}", "a negative length"),
        (head("content-length: 99999999999999999999999\r\n") + "{}", "a length beyond all numbers"),
        (head("content-length : 2\r\n") + "{}", "a blank before the colon"),
        (head("x: a\r\n b: c\r\ncontent-length: 2\r\n") + "{}", "a folded line"),
        (head(" content-length: 2\r\n") + "{}", "a folded first line"),
        (head("content-length: 2\r\nx\0: y\r\n") + "{}", "a NUL in a name"),
        (head("content-length: 2\r\nx: \0\r\n") + "{}", "a NUL in a value"),
        (head("content-length: 2\r\nx: a\rb\r\n") + "{}", "a bare CR"),
        (head("transfer-encoding: chunked, identity\r\n") + "2\r\n{}\r\n0\r\n\r\n", "chunked is not last"),
        (head("transfer-encoding: xchunked\r\n") + "2\r\n{}\r\n0\r\n\r\n", "an encoding nobody knows"),
        (head("transfer-encoding:\x0bchunked\r\n") + "2\r\n{}\r\n0\r\n\r\n", "a vertical tab"),
        (head(chunked).replace("HTTP/1.1", "HTTP/1.0") + "2\r\n{}\r\n0\r\n\r\n", "chunks in HTTP/1.0"),
        (head(chunked) + "-2\r\n{}\r\n0\r\n\r\n", "a negative chunk"),
        (head(chunked) + "0x2\r\n{}\r\n0\r\n\r\n", "a chunk's length in C"),
        (head(chunked) + "2 2\r\n{}\r\n0\r\n\r\n", "two lengths of a chunk"),
        (head(chunked) + "10000000000000002\r\n{}\r\n0\r\n\r\n", "a chunk's length that overflows"),
        (head(chunked) + "2\r\n{}xx0\r\n\r\n", "a chunk longer than it says"),
        (head(chunked) + "2\n{}\r\n0\r\n\r\n", "a chunk's line that ends in LF alone"),
        (head(chunked) + &format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(20_000)), "an endless chunk extension"),
        (head(chunked) + &format!("2\r\n{{}}\r\n0\r\n{}\r\n", "t: 1\r\n".repeat(5000)), "endless trailers"),
        (head("content-length: 2\r\n").replace("POST", "PO ST") + "{}", "a blank in the method"),
        (head("content-length: 2\r\n").replace("HTTP/1.1", "HTTP/1.1 x") + "{}", "something behind the version"),
        (head("content-length: 2\r\n").replace("HTTP/1.1", "HTTP/3.0") + "{}", "a version nobody knows"),
        ("\x16\x03\x01\x02\0\x01\0\x01\u{7f}\x03\x03".to_owned() + &"r".repeat(500), "a TLS hello"),
        ("\0".repeat(600), "zeros"),
        ("\r\n".repeat(30_000), "empty lines"),
    ] {
        let mut raw = Raw::connect(&siege.url).await;
        // What is behind must not be taken for a request.
        raw.send(request + "GET /behind HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let answer = raw.read_to_end().await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{what}: {answer}");
        assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{what}: answered twice: {answer}");
        assert!(!answer.contains(" 404 "), "{what}: {answer}");
    }
    assert!(!siege.world.claimed("smuggled").await);
}

/// What is odd, and yet clear.
async fn requests_one_behind_the_other(siege: &Siege) {
    let wrong = |more: &str| siege.head("wrong", "odd", more);
    let get = "GET /behind HTTP/1.1\r\nhost: x\r\n\r\n";
    for (request, what) in [
        (wrong("content-length: 2\r\ncontent-length: 2\r\n") + "{}", "the same length twice"),
        (wrong("transfer-encoding: chunked\r\n") + "2;a=b\r\n{}\r\n0\r\nt: 1\r\n\r\n", "an extension and a trailer"),
        (wrong("content-length: 2\r\nupgrade: h2c\r\nconnection: upgrade\r\n") + "{}", "an upgrade"),
    ] {
        let mut raw = Raw::connect(&siege.url).await;
        assert!(raw.send(request + get).await);
        let first = raw.answer().await;
        let both = if first.contains(" 404 ") { first } else { first + &raw.answer().await };
        assert!(both.starts_with("HTTP/1.1 401 ") && both.contains("HTTP/1.1 404 "), "{what}: {both}");
    }
    // With both framings given the chunks count, and nothing that comes behind (RFC 9112, section 6.1).
    let (length, chunked) = ("content-length: 40\r\n", "transfer-encoding: chunked\r\n");
    for both in [[length, chunked].concat(), [chunked, length].concat()] {
        let mut raw = Raw::connect(&siege.url).await;
        assert!(raw.send(wrong(&both) + "2\r\n{}\r\n0\r\n\r\n" + get).await);
        let answer = raw.read_to_end().await;
        assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("connection: close"), "{both}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{both}: {answer}");
    }
    // Many, well-formed, before the first is answered: all answered, in their order; then garbage, which ends it.
    let mut raw = Raw::connect(&siege.url).await;
    let statuses = ["401", "404", "405"];
    let put = wrong("content-length: 2\r\n").replace("POST", "PUT") + "{}";
    let three = wrong("content-length: 2\r\n") + "{}" + get + &put;
    assert!(raw.send(three.repeat(100) + "\u{1}garbage\r\n\r\n" + get).await);
    let answers = raw.read_to_end().await;
    let told: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(told.len(), 301, "{answers}");
    assert!(told[..300].iter().enumerate().all(|(index, status)| *status == statuses[index % 3]), "{told:?}");
    assert_eq!(told[300], "400");
}
