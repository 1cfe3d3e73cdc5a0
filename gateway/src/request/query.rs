//! Check 9: the target in the query.

use proto::{Selector, Slug};

use crate::refusal::Refusal;

/// Reads `project` and `template`; other parameters are ignored, since callers' tools add their own.
pub fn read(query: Option<&str>) -> Result<Selector, Refusal> {
    let mut selector = Selector::default();
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let place = match name.as_ref() {
            "project" => &mut selector.project,
            "template" => &mut selector.template,
            _ => continue,
        };
        let slug: Slug = value.parse().map_err(|_| Refusal::InvalidQuery)?;
        if place.replace(slug).is_some() {
            return Err(Refusal::InvalidQuery);
        }
    }
    Ok(selector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let slugs = |query| {
            let selector = read(query).ok()?;
            Some((selector.project.map(String::from), selector.template.map(String::from)))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(slugs(None), Some((None, None)));
        assert_eq!(slugs(Some("")), Some((None, None)));
        assert_eq!(slugs(Some("utm=1&&utm=2&x")), Some((None, None)));
        assert_eq!(slugs(Some("template=b&project=a")), Some((some("a"), some("b"))));
        assert_eq!(slugs(Some("%70roject=%61")), Some((some("a"), None)));
        for refused in
            ["project=", "project", "project=a&project=a", "template=A", "project=%ff", "project=a+b", "template=%00"]
        {
            assert_eq!(slugs(Some(refused)), None, "{refused}");
        }
    }
}
