//! Patterns over case ids, and the shard of a case. `*` matches inside one path part, `**` any number of parts.

/// True if the pattern matches the whole id.
pub fn matches(pattern: &str, id: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('/').collect();
    let id: Vec<&str> = id.split('/').collect();
    parts(&pattern, &id)
}

/// True if the pattern means the case. One without `@FORMAT` means a case in all its formats.
pub fn selects(pattern: &str, id: &str) -> bool {
    let bare = |text: &str| text.split_once('@').map(|(bare, _)| bare.to_owned());
    match (bare(pattern), bare(id)) {
        (None, Some(id)) => matches(pattern, &id),
        (Some(pattern), None) => matches(&pattern, id),
        _ => matches(pattern, id),
    }
}

/// FNV-1a, 64 bits: the same shard in every language, and stable when cases are added.
pub fn fnv1a64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn parts(pattern: &[&str], id: &[&str]) -> bool {
    match pattern.split_first() {
        None => id.is_empty(),
        Some((&"**", rest)) => (0..=id.len()).any(|skip| parts(rest, &id[skip..])),
        Some((head, rest)) => match id.split_first() {
            Some((first, others)) => part(head.as_bytes(), first.as_bytes()) && parts(rest, others),
            None => false,
        },
    }
}

fn part(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|skip| part(rest, &text[skip..])),
        Some((head, rest)) => match text.split_first() {
            Some((first, others)) => head == first && part(rest, others),
            None => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_named_or_left_open() {
        for (pattern, id, expected) in [
            ("a/b", "a/b@ESM", true),
            ("a/*", "a/b@ESM", true),
            ("a/*@ESM", "a/b@ESM", true),
            ("a/b@ESM", "a/b@BUILTIN", false),
            ("a/b@ESM", "a/b", true),
            ("a/c", "a/b@ESM", false),
        ] {
            assert_eq!(selects(pattern, id), expected, "{pattern} {id}");
        }
    }

    #[test]
    fn stars_stay_inside_their_part() {
        for (pattern, id, expected) in [
            ("values/text/nul", "values/text/nul", true),
            ("values/*/nul", "values/text/nul", true),
            ("values/*", "values/text/nul", false),
            ("values/**", "values/text/nul", true),
            ("**/nul", "values/text/nul", true),
            ("**", "values/text/nul", true),
            ("values/**/nul", "values/nul", true),
            ("values/te*t/n*", "values/text/nul", true),
            ("values/t*x/nul", "values/text/nul", false),
            ("values", "values/text", false),
            ("", "values", false),
            ("value*/**", "other/text", false),
        ] {
            assert_eq!(matches(pattern, id), expected, "{pattern} on {id}");
        }
    }

    #[test]
    fn fnv1a64_is_the_published_function() {
        assert_eq!(fnv1a64(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a64(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a64(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
