//! Where the pepper comes from.

use std::path::Path;

use proto::secret::Pepper;

use crate::Error;

const VARIABLE: &str = "RUNLATCH_PEPPER";

/// The pepper from `RUNLATCH_PEPPER`, or from the file. It must be the gateways' own, or no secret made under it opens
/// anything.
pub(crate) fn load(file: Option<&Path>) -> Result<Pepper, Error> {
    let variable = std::env::var_os(VARIABLE).filter(|value| !value.is_empty());
    let (place, bytes) = match (variable, file) {
        (Some(_), Some(_)) => {
            return Err(Error::Usage(format!("{VARIABLE} and a pepper file are both given; which is it to be?")));
        }
        (None, None) => return Err(Error::Usage(format!("no pepper: set {VARIABLE} or {VARIABLE}_FILE"))),
        (Some(value), None) => (VARIABLE.to_owned(), value.into_encoded_bytes()),
        (None, Some(file)) => {
            let place = format!("pepper file {}", file.display());
            let bytes = std::fs::read(file).map_err(|error| Error::Usage(format!("{place}: {error}")))?;
            (place, bytes)
        }
    };
    // The newline that editors and `echo` leave at the end is no part of it.
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    Pepper::new(bytes).map_err(|error| Error::Usage(format!("{place}: {error}")))
}
