//! Payloads that are easy to spoil: what a careless JSON library, column type or copy would change.

use fastrand::Rng;

/// Stands in every payload, so that a payload in a log is found.
pub(crate) const CANARY: &str = "payload-canary-5fd1";

/// Members that must come back byte for byte.
const FRAGILE: [&str; 8] = [
    r#""twice":1,"twice":2"#,
    r#""number":1.50e+2,"big":123456789012345678901234567890,"huge":1e999"#,
    r#""nul":"\u0000","lone":"\ud800""#,
    r#""escapes":"\/\u00e9\t""#,
    "\"text\":\"žluťoučký 🐎 \u{2028}\"",
    "\"blanks\" : [ ] , \"inside\":\t{ \n}",
    r#""":"","a b":null"#,
    r#""__proto__":{"constructor":[]}"#,
];

/// One JSON object, unlike every other that was drawn for this run.
pub(crate) fn draw(rng: &mut Rng, number: usize) -> String {
    let mut text = format!(r#"{{"number":{number},"canary":"{CANARY}""#);
    if rng.u8(..) < 100 {
        text.push(',');
        text.push_str(FRAGILE[rng.usize(..FRAGILE.len())]);
    }
    let filling = match rng.u16(..1000) {
        0 => 100_000,
        1..20 => rng.usize(2_000..20_000),
        _ => rng.usize(..500),
    };
    let letters = std::iter::repeat_with(|| rng.alphanumeric()).take(filling);
    text.push_str(r#","filling":""#);
    text.extend(letters);
    text.push_str("\"}");
    text
}

/// The same payload as a sender with other habits puts it into a body.
pub(crate) fn pad(rng: &mut Rng, payload: &str) -> String {
    match rng.u8(..8) {
        0 => format!(" \t{payload}\r\n"),
        1 => format!("{payload}\n"),
        _ => payload.to_owned(),
    }
}
