//! Where a request belongs in its sender's trace: `traceparent` ([W3C Trace Context](https://www.w3.org/TR/trace-context/)).

use super::headers::Header;

/// Length of version 00, and of what every later version begins with.
const LEN: usize = 55;

/// The trace and the span that a request says it is of. None where it says nothing, or nothing that is valid: then the
/// standard asks to go on as if it had not. It is handed on as it is, since no span is made here.
pub fn parent(header: Header<'_>) -> Option<&str> {
    let Header::Once(value) = header else { return None };
    let (parent, rest) = std::str::from_utf8(value.as_bytes()).ok()?.split_at_checked(LEN)?;
    let mut fields = parent.split('-');
    let mut field = |length: usize, forbidden: char| {
        fields.next().filter(|field| {
            let hex = field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            field.len() == length && hex && !field.chars().all(|digit| digit == forbidden)
        })
    };
    let version = field(2, 'f')?;
    let _trace = field(32, '0')?;
    let _span = field(16, '0')?;
    let _flags = field(2, ' ')?;
    // A later version may have more to say.
    (rest.is_empty() || version != "00" && rest.starts_with('-')).then_some(parent)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::*;
    use crate::request::headers::Headers;

    const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

    #[test]
    fn parents() {
        let of = |values: &[&str]| {
            let headers: HeaderMap = values
                .iter()
                .map(|value| (TRACEPARENT, HeaderValue::from_bytes(value.as_bytes()).expect("a value")))
                .collect();
            parent(Headers::read(&headers).traceparent).map(str::to_owned)
        };
        let plain = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let later = plain.replacen("00", "01", 1);
        assert_eq!(of(&[plain]).as_deref(), Some(plain));
        assert_eq!(of(&[&plain.replace("-01", "-00")]).as_deref(), Some(&*plain.replace("-01", "-00")));
        assert_eq!(of(&[&later]).as_deref(), Some(&*later));
        for more in ["-more", "-é", "-"] {
            assert_eq!(of(&[&format!("{later}{more}")]).as_deref(), Some(&*later));
        }
        for invalid in [
            String::new(),
            plain[..54].to_owned(),
            format!("{plain}-more"),
            format!("{later}more"),
            plain.replacen("00", "ff", 1),
            plain.to_uppercase(),
            plain.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            plain.replace("b7ad6b7169203331", &"0".repeat(16)),
            plain.replace('-', "_"),
            plain.replace("0af7", "0ag7"),
        ] {
            assert_eq!(of(&[&invalid]), None, "{invalid}");
        }
        assert_eq!(of(&[plain, plain]), None);
    }
}
