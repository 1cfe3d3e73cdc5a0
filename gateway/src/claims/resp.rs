//! As much of Redis' protocol as claims need: [RESP2](https://redis.io/docs/latest/develop/reference/protocol-spec/).

use bytes::{BufMut, BytesMut};
use proto::Claim;

/// What Redis answers to one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Nothing there, or nothing done.
    Nil,
    /// A string, or `OK`.
    Text(Vec<u8>),
    /// It will not do it; the error's text begins with its code.
    Error(String),
}

/// What no Redis says to these commands: whatever is at the other end, it is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Longest string that is read: Redis' own bound for a value (`proto-max-bulk-len`).
const LONGEST: usize = 512 << 20;
/// Longest line: a number, or an error's text.
const LINE: usize = 64 << 10;

/// Writes a command: an array of strings.
pub(super) fn command(out: &mut BytesMut, arguments: &[&[u8]]) {
    count(out, b'*', arguments.len());
    arguments.iter().for_each(|argument| string(out, argument));
}

/// `SET` with its options. All of it but key and value is written once, and then only copied: most deliveries have two.
pub(super) struct Set {
    before: BytesMut,
    after: BytesMut,
}

impl Set {
    pub(super) fn new(options: &[&[u8]]) -> Self {
        let (mut before, mut after) = (BytesMut::new(), BytesMut::new());
        count(&mut before, b'*', 3 + options.len());
        string(&mut before, b"SET");
        count(&mut before, b'$', Claim::KEY_LEN);
        options.iter().for_each(|option| string(&mut after, option));
        Self { before, after }
    }

    pub(super) fn write(&self, out: &mut BytesMut, key: &[u8; Claim::KEY_LEN], value: &[u8]) {
        out.put_slice(&self.before);
        out.put_slice(key);
        out.put_slice(b"\r\n");
        string(out, value);
        out.put_slice(&self.after);
    }
}

fn string(out: &mut BytesMut, text: &[u8]) {
    count(out, b'$', text.len());
    out.put_slice(text);
    out.put_slice(b"\r\n");
}

fn count(out: &mut BytesMut, kind: u8, number: usize) {
    out.put_u8(kind);
    out.put_slice(itoa::Buffer::new().format(number).as_bytes());
    out.put_slice(b"\r\n");
}

/// The first reply in `input` and its length; none where it is not all there yet.
pub(super) fn reply(input: &[u8]) -> Result<Option<(Reply, usize)>, Malformed> {
    let Some(end) = input.iter().take(LINE).position(|byte| *byte == b'\r') else {
        return if input.len() < LINE { Ok(None) } else { Err(Malformed) };
    };
    let line = &input[..end];
    let head = end + 2;
    let (Some(kind), Some(rest)) = (line.first(), line.get(1..)) else { return Err(Malformed) };
    match input.get(end + 1) {
        None => return Ok(None),
        Some(b'\n') => {}
        Some(_) => return Err(Malformed),
    }
    match kind {
        b'+' => Ok(Some((Reply::Text(rest.to_vec()), head))),
        b'-' => Ok(Some((Reply::Error(String::from_utf8_lossy(rest).into_owned()), head))),
        b'$' if rest == b"-1" => Ok(Some((Reply::Nil, head))),
        b'$' => {
            let length: usize = std::str::from_utf8(rest).ok().and_then(|text| text.parse().ok()).ok_or(Malformed)?;
            if length > LONGEST {
                return Err(Malformed);
            }
            match input.get(head..head + length + 2) {
                None => Ok(None),
                Some(text) if text.ends_with(b"\r\n") => {
                    Ok(Some((Reply::Text(text[..length].to_vec()), head + length + 2)))
                }
                Some(_) => Err(Malformed),
            }
        }
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        let mut out = BytesMut::new();
        command(&mut out, &[b"SET", b"k\r\n", b"", b"0123456789a"]);
        assert_eq!(&out[..], b"*4\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$0\r\n\r\n$11\r\n0123456789a\r\n");
    }

    #[test]
    fn sets() {
        let key = [b'k'; Claim::KEY_LEN];
        for length in [0, 9, 10, Claim::BARE_LEN, Claim::MAX_LEN] {
            let (value, mut set, mut spelt) = (vec![b'v'; length], BytesMut::new(), BytesMut::new());
            Set::new(&[b"XX", b"EX", b"60"]).write(&mut set, &key, &value);
            command(&mut spelt, &[b"SET", &key, &value, b"XX", b"EX", b"60"]);
            assert_eq!(set, spelt);
        }
    }

    #[test]
    fn replies_however_they_are_cut() {
        let input = b"$-1\r\n+OK\r\n$5\r\na\r\nb\0\r\n$0\r\n\r\n-OOM command not allowed\r\n";
        let text = |text: &[u8]| Reply::Text(text.to_vec());
        let expected =
            [Reply::Nil, text(b"OK"), text(b"a\r\nb\0"), text(b""), Reply::Error("OOM command not allowed".to_owned())];
        let (mut at, mut begun) = (0, 0);
        for expected in expected {
            // Every beginning of it is not all of it.
            loop {
                at += 1;
                match reply(&input[begun..at]).expect("well formed") {
                    None => {}
                    Some((found, length)) => {
                        assert_eq!((found, begun + length), (expected, at));
                        break;
                    }
                }
            }
            begun = at;
        }
        assert_eq!(begun, input.len());
    }

    #[test]
    fn what_is_no_redis() {
        let long = vec![b'+'; LINE];
        for input in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"\r\n",
            b":1\r\n",
            b"*1\r\n$-1\r\n",
            b"$-2\r\n",
            b"$x\r\n",
            b"$99999999999999999999\r\n",
            b"$1000000000\r\n",
            b"+OK\rx",
            b"$1\r\nabc",
            &long,
        ] {
            assert_eq!(reply(input), Err(Malformed), "{:?}", String::from_utf8_lossy(input));
        }
    }
}
