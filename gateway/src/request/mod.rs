//! What a request says, read in the order of the contract's checks.

pub mod body;
pub mod encoding;
pub mod id;
pub mod key;
pub mod prefer;
pub mod query;
pub mod route;
pub mod trace;

use http::{HeaderMap, HeaderName};

/// How often a header stands in a request.
pub(crate) enum Header<'a> {
    Missing,
    Once(&'a [u8]),
    Repeated,
}

/// The one value of `name`. Two values are not "the first": a proxy in between may have seen the other.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Header<'a> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Header::Missing,
        (Some(value), None) => Header::Once(value.as_bytes()),
        (Some(_), Some(_)) => Header::Repeated,
    }
}
