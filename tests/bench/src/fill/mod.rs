//! Makes much of what there was little of, faster than deliveries could.

mod claims;
mod playbooks;
mod rows;

pub(crate) use self::claims::claims;
pub(crate) use self::playbooks::Playbooks;
pub(crate) use self::rows::{Tables, rows};
