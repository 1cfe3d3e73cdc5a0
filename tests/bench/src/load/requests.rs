//! The requests: one in the making is a copy of a template with other digits in it.

use std::sync::Arc;

use anyhow::{Result, ensure};

/// Characters of a number in a request.
const DIGITS: usize = 16;

/// A playbook's path and secret each, all of one length.
pub(crate) type Secrets = Arc<Vec<(String, String)>>;

/// A sequence of deliveries, each with a key of its own.
#[derive(Clone)]
pub(crate) struct Requests {
    template: Vec<u8>,
    path: usize,
    secret: usize,
    /// Where the numbers of each delivery stand: in its key, and in its body.
    numbers: Vec<[usize; 2]>,
    playbooks: Secrets,
    next: u64,
    first: u64,
    /// Begins again after so many.
    count: u64,
}

impl Requests {
    /// Deliveries of `bytes` bytes each to these playbooks in turn, numbered from `first`. The same numbers with the same
    /// `kind` are the same deliveries.
    pub(crate) fn new(playbooks: Secrets, first: u64, bytes: usize, kind: &str) -> Result<Self> {
        let (path, secret) = &playbooks[0];
        ensure!(
            playbooks.iter().all(|other| (other.0.len(), other.1.len()) == (path.len(), secret.len())),
            "paths or secrets of different lengths"
        );
        let key = format!("X-Webhook-Secret: {secret}\r\nX-Idempotency-Key");
        Self::with(playbooks.clone(), &key, first, bytes, kind)
    }

    /// The same deliveries to Restate, which has a header of another name for the key and none for a secret.
    pub(crate) fn to_restate(path: &str, first: u64, bytes: usize) -> Result<Self> {
        Self::with(Arc::new(vec![(path.to_owned(), String::new())]), "Idempotency-Key", first, bytes, "plain")
    }

    /// `key` is the header of that, after those before it.
    fn with(playbooks: Secrets, key: &str, first: u64, bytes: usize, kind: &str) -> Result<Self> {
        let path = &playbooks[0].0;
        let zeros = "0".repeat(DIGITS);
        let body = Self::body(bytes, kind)?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
             {key}: evt_{zeros}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let numbers = [after(&head, "Idempotency-Key: evt_"), head.len() + body.find(&zeros).unwrap_or_default()];
        Ok(Self::of(playbooks, first, &head, &body, vec![numbers]))
    }

    /// Deliveries as [`Requests::new`] has them, so many in each request.
    pub(crate) fn batches(playbooks: Secrets, first: u64, bytes: usize, lines: usize) -> Result<Self> {
        let (path, secret) = &playbooks[0];
        let zeros = "0".repeat(DIGITS);
        let line = format!("{{\"idempotencyKey\":\"evt_{zeros}\",\"payload\":{}}}\n", Self::body(bytes, "batch")?);
        let head = format!(
            "POST {path}/batch HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-ndjson\r\n\
             X-Webhook-Secret: {secret}\r\nContent-Length: {}\r\n\r\n",
            line.len() * lines
        );
        let (key, event) = (after(&line, "evt_"), after(&line, "\"id\":\""));
        let numbers = (0..lines).map(|index| [key, event].map(|at| head.len() + index * line.len() + at)).collect();
        Ok(Self::of(playbooks, first, &head, &line.repeat(lines), numbers))
    }

    fn of(playbooks: Secrets, first: u64, head: &str, body: &str, numbers: Vec<[usize; 2]>) -> Self {
        Self {
            path: after(head, "POST "),
            secret: after(head, "X-Webhook-Secret: "),
            numbers,
            template: [head, body].concat().into_bytes(),
            playbooks,
            next: first,
            first,
            count: u64::MAX,
        }
    }

    /// A body of so many bytes, numbered with zeros.
    fn body(bytes: usize, kind: &str) -> Result<String> {
        let zeros = "0".repeat(DIGITS);
        let begin = format!(
            r#"{{"event":"order.created","id":"{zeros}","kind":"{kind}","created":"2026-11-25T12:00:00Z","customer":{{"name":"Ada Lovelace","email":"ada@example.com","tags":["new","priority"]}},"total":{{"amount":129.5,"currency":"EUR"}},"note":""#
        );
        ensure!(begin.len() + 2 <= bytes, "a body has {} bytes at least", begin.len() + 2);
        // Nothing that compresses well: Postgres would keep a large one in little room. The same every time.
        let mut random = fastrand::Rng::with_seed(7);
        let filler: String = (0..bytes - begin.len() - 2).map(|_| random.alphanumeric()).collect();
        Ok(format!("{begin}{filler}\"}}"))
    }

    /// How many there are in a request.
    pub(crate) fn lines(&self) -> u64 {
        self.numbers.len() as u64
    }

    /// Those from `first` on, and again from there after `count` of them.
    pub(crate) fn again(mut self, first: u64, count: u64) -> Self {
        (self.first, self.next, self.count) = (first, first, count);
        self
    }

    /// Number of the next one.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Writes the next one over `out`.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>) {
        let number = self.next;
        out.clear();
        out.extend_from_slice(&self.template);
        for places in &self.numbers {
            let digits = digits(self.next);
            places.iter().for_each(|at| out[*at..][..DIGITS].copy_from_slice(&digits));
            self.next = if self.next + 1 - self.first == self.count { self.first } else { self.next + 1 };
        }
        // Spread, or neighbours in time would be neighbours in the catalog. The product's high half: its low digits would
        // repeat within as many numbers as a power of two has in common with the playbooks.
        let spread = u128::from(number.wrapping_mul(0x9E37_79B9_7F4A_7C15)) * self.playbooks.len() as u128;
        let (path, secret) = &self.playbooks[(spread >> 64) as usize];
        out[self.path..][..path.len()].copy_from_slice(path.as_bytes());
        out[self.secret..][..secret.len()].copy_from_slice(secret.as_bytes());
    }
}

/// Where what comes after this begins; 0 where it is not there.
fn after(text: &str, part: &str) -> usize {
    text.find(part).map(|at| at + part.len()).unwrap_or_default()
}

fn digits(number: u64) -> [u8; DIGITS] {
    let mut digits = [0; DIGITS];
    for (index, digit) in digits.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (4 * (DIGITS - 1 - index))) as usize & 15];
    }
    digits
}

/// The same with the secret's last character changed: nobody's.
pub(crate) fn wrong(playbooks: &Secrets) -> Secrets {
    let other =
        |secret: &str| format!("{}{}", &secret[..secret.len() - 1], if secret.ends_with('0') { '1' } else { '0' });
    Arc::new(playbooks.iter().map(|(path, secret)| (path.clone(), other(secret))).collect())
}

/// The same with the path's last character changed to one that no playbook ends with.
pub(crate) fn unknown(playbooks: &Secrets) -> Secrets {
    Arc::new(playbooks.iter().map(|(path, secret)| (format!("{}x", &path[..path.len() - 1]), secret.clone())).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn playbooks() -> Secrets {
        Arc::new((0..10).map(|index| (format!("/playbooks/{index}"), format!("secret-of-{index}"))).collect())
    }

    fn next(requests: &mut Requests, out: &mut Vec<u8>) -> String {
        requests.write(out);
        String::from_utf8(out.clone()).expect("text")
    }

    #[test]
    fn a_request_is_whole_whatever_was_in_its_buffer_before() -> Result<()> {
        let mut requests = Requests::new(playbooks(), 0xABC, 450, "plain")?;
        let (mut out, mut paths) = (Vec::new(), HashSet::new());
        for number in 0xABC..0xABC + 100_u32 {
            let text = next(&mut requests, &mut out);
            let (head, body) = text.split_once("\r\n\r\n").expect("a head");
            let digits = format!("{number:016x}");
            assert!(head.contains(&format!("X-Idempotency-Key: evt_{digits}\r\n")), "{head}");
            assert!(head.ends_with("Content-Length: 450") && body.len() == 450, "{head}");
            let body: serde_json::Value = serde_json::from_str(body)?;
            assert_eq!(body["id"], digits.as_str());
            let playbook = &head["POST /playbooks/".len()..][..1];
            assert!(head.contains(&format!("X-Webhook-Secret: secret-of-{playbook}\r\n")), "{head}");
            paths.insert(playbook.to_owned());
        }
        assert_eq!(paths.len(), 10);
        Ok(())
    }

    #[test]
    fn a_batch_is_as_many_deliveries() -> Result<()> {
        let mut requests = Requests::batches(playbooks(), 0xABC, 450, 3)?;
        let mut out = Vec::new();
        for first in [0xABC, 0xABF_u32] {
            let text = next(&mut requests, &mut out);
            let (head, body) = text.split_once("\r\n\r\n").expect("a head");
            assert!(
                head.ends_with(&format!("Content-Length: {}", body.len())) && head.contains("/batch HTTP/1.1"),
                "{head}"
            );
            for (number, line) in (first..).zip(body.lines()) {
                let line: serde_json::Value = serde_json::from_str(line)?;
                assert_eq!(line["idempotencyKey"], format!("evt_{number:016x}"));
                assert_eq!(line["payload"]["id"], format!("{number:016x}"));
                assert_eq!(line["payload"].to_string().len(), 450);
            }
            assert_eq!(body.lines().count(), 3);
        }
        assert_eq!(requests.next(), 0xAC2);
        Ok(())
    }

    #[test]
    fn again_is_the_same_and_another_kind_is_not() -> Result<()> {
        let mut out = Vec::new();
        let mut first = Requests::new(playbooks(), 0, 450, "plain")?;
        let sent: Vec<_> = (0..7).map(|_| next(&mut first, &mut out)).collect();
        let mut again = first.clone().again(2, 3);
        for text in [&sent[2], &sent[3], &sent[4], &sent[2]] {
            assert_eq!(&next(&mut again, &mut out), text);
        }
        let mut other = Requests::new(playbooks(), 2, 450, "other")?;
        let other = next(&mut other, &mut out);
        assert!(other != sent[2] && other.replace("other", "plain") == sent[2]);
        Ok(())
    }

    #[test]
    fn a_wrong_secret_and_an_unknown_path_are_as_long_as_the_right_ones() {
        for ((right, wrong), unknown) in playbooks().iter().zip(&*wrong(&playbooks())).zip(&*unknown(&playbooks())) {
            assert!(wrong.0 == right.0 && wrong.1 != right.1 && wrong.1.len() == right.1.len());
            assert!(unknown.1 == right.1 && unknown.0 != right.0 && unknown.0.len() == right.0.len());
        }
    }
}
