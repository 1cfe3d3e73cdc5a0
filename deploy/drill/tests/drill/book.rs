//! What is written down.

use drill::{Book, Key, Kind, Sending};

use crate::sheet::what;

/// What is sent again is what was sent: a body that only differs in the whitespace around it is another body.
#[test]
fn a_delivery_is_sent_again_byte_for_byte() {
    let key = Key { scope: "acme".to_owned(), key: "k".to_owned() };
    let body = format!(" \t{}\r\n", what("a").payload);
    let sending = Sending { key, what: what("a"), body: body.clone(), gateway: 1, kind: Kind::New };
    let book = Book::default();
    _ = book.begin(&sending, 1);
    let record = book.record();
    let (key, sents) = record.keys.first_key_value().unwrap();
    let again = Sending::again(key, &sents[0]);
    assert_eq!((again.key, again.what, again.body), (sending.key, sending.what, body));
}
