//! How long a caller would wait for the commit: `Prefer: wait=N` ([RFC 7240, section 4.3](https://www.rfc-editor.org/rfc/rfc7240#section-4.3)).

use http::HeaderValue;

/// Longest wait, in seconds; who asks for more is given this.
pub const MAX_WAIT: u8 = 60;

/// The first `wait` in this value, which counts, and none of those behind it: none where there is none, and none within where it
/// cannot be understood, since a preference is never an error.
pub(super) fn wait(value: &HeaderValue) -> Option<Option<u8>> {
    value.to_str().ok()?.split(',').find_map(seconds)
}

fn seconds(preference: &str) -> Option<Option<u8>> {
    // Parameters follow a semicolon; this preference has none that mean anything.
    let (name, value) = preference.split(';').next()?.split_once('=')?;
    name.trim().eq_ignore_ascii_case("wait").then(|| {
        let value = value.trim();
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = digits.then(|| value.parse::<u64>().unwrap_or(u64::MAX))?;
        u8::try_from(seconds.min(MAX_WAIT.into())).ok().filter(|seconds| *seconds > 0)
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use crate::request::headers::Headers;

    #[test]
    fn waits() {
        let of = |values: &[&str]| {
            let values =
                values.iter().map(|value| (HeaderName::from_static("prefer"), value.parse().expect("a value")));
            Headers::read(&values.collect()).wait
        };
        for (values, expected) in [
            (&["wait=10"][..], Some(10)),
            (&["respond-async, wait=5"], Some(5)),
            (&["Wait = \"7\" ; x=y, return=minimal"], Some(7)),
            (&["return=minimal", "wait=3"], Some(3)),
            (&["wait=61"], Some(60)),
            (&["wait=99999999999999999999999"], Some(60)),
            (&["wait=2, wait=9"], Some(2)),
            (&["wait=2", "wait=9"], Some(2)),
            (&["wait=x, wait=9"], None),
            (&["wait=x", "wait=9"], None),
            (&["wait=0"], None),
            (&["wait=-1"], None),
            (&["wait=+1"], None),
            (&["wait=1.5"], None),
            (&["wait="], None),
            (&["wait"], None),
            (&["waiting=5"], None),
            (&[], None),
        ] {
            assert_eq!(of(values), expected, "{values:?}");
        }
    }
}
