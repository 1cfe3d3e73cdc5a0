//! Where the pepper comes from.

use std::{ffi::OsStr, path::Path};

use proto::secret::Pepper;

use crate::Error;

const VARIABLE: &str = "RUNLATCH_PEPPER";

/// The pepper from `RUNLATCH_PEPPER`, or from the file. It must be the gateways' own, or no secret made under it opens
/// anything.
pub(crate) fn load(file: Option<&OsStr>) -> Result<Pepper, Error> {
    let variable = std::env::var_os(VARIABLE).filter(|value| !value.is_empty());
    let file = file.filter(|file| !file.is_empty()).map(Path::new);
    let (place, bytes) = match (variable, file) {
        (Some(_), Some(_)) => {
            return Err(Error::Usage(format!("{VARIABLE} and a pepper file are both given; which is it to be?")));
        }
        (None, None) => return Err(Error::Usage(format!("no pepper: set {VARIABLE} or {VARIABLE}_FILE"))),
        (Some(value), None) => (VARIABLE.to_owned(), value.into_encoded_bytes()),
        (None, Some(file)) => {
            let place = format!("pepper file {}", file.display());
            let mut bytes = std::fs::read(file).map_err(|error| Error::Usage(format!("{place}: {error}")))?;
            // The gateway leaves out the same one newline: what is a pepper here and there must be the same bytes.
            if bytes.last() == Some(&b'\n') {
                bytes.pop();
            }
            (place, bytes)
        }
    };
    Pepper::new(&bytes).map_err(|error| Error::Usage(format!("{place}: {error}")))
}
