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
    key: usize,
    event: usize,
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
        let zeros = "0".repeat(DIGITS);
        let begin = format!(
            r#"{{"event":"order.created","id":"{zeros}","kind":"{kind}","created":"2026-11-25T12:00:00Z","customer":{{"name":"Ada Lovelace","email":"ada@example.com","tags":["new","priority"]}},"total":{{"amount":129.5,"currency":"EUR"}},"note":""#
        );
        ensure!(begin.len() + 2 <= bytes, "a body has {} bytes at least", begin.len() + 2);
        let body =
            format!("{begin}{}\"}}", "lorem ipsum ".chars().cycle().take(bytes - begin.len() - 2).collect::<String>());
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nX-Webhook-Secret: {secret}\r\n\
             X-Idempotency-Key: evt_{zeros}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let find = |part: &str| head.find(part).map(|at| at + part.len()).unwrap_or_default();
        Ok(Self {
            path: find("POST "),
            secret: find("X-Webhook-Secret: "),
            key: find("X-Idempotency-Key: evt_"),
            event: head.len() + body.find(&zeros).unwrap_or_default(),
            template: [head, body].concat().into_bytes(),
            playbooks,
            next: first,
            first,
            count: u64::MAX,
        })
    }

    /// The same deliveries again, and again after `count` of them.
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
        self.next = if number + 1 - self.first == self.count { self.first } else { number + 1 };
        if out.len() != self.template.len() {
            out.clear();
            out.extend_from_slice(&self.template);
        }
        let mut digits = [0; DIGITS];
        for (index, digit) in digits.iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(number >> (4 * (DIGITS - 1 - index))) as usize & 15];
        }
        out[self.key..][..DIGITS].copy_from_slice(&digits);
        out[self.event..][..DIGITS].copy_from_slice(&digits);
        if self.playbooks.len() > 1 {
            // Spread, or neighbours in time would be neighbours in the catalog.
            let (path, secret) =
                &self.playbooks[(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % self.playbooks.len() as u64) as usize];
            out[self.path..][..path.len()].copy_from_slice(path.as_bytes());
            out[self.secret..][..secret.len()].copy_from_slice(secret.as_bytes());
        }
    }
}
