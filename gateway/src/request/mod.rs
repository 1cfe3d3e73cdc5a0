//! What a request says, judged in the order of the contract's checks.

pub mod body;
pub mod encoding;
pub mod headers;
pub mod id;
pub mod key;
pub mod prefer;
pub mod query;
pub mod route;
pub mod trace;

use http::request::Parts;

use self::headers::Headers;
use self::id::RequestId;

/// What is asked, before its body is read.
pub(crate) struct Asked<'a> {
    pub(crate) head: &'a Parts,
    pub(crate) headers: Headers<'a>,
    pub(crate) id: RequestId,
}

impl<'a> Asked<'a> {
    pub(crate) fn read(head: &'a Parts) -> Self {
        let headers = Headers::read(&head.headers);
        Self { head, id: RequestId::of(headers.request_id), headers }
    }

    pub(crate) fn path(&self) -> &'a str {
        self.head.uri.path()
    }
}
