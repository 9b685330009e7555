//! A server's own words, as far as an operator may see them.
//!
//! A server may say back what it was sent: a page of an error has the path in it, a log in debug mode
//! the token. Reasons are stored, shown and logged, so that what is secret is taken out of them.

/// Most characters of a server's own words in a reason.
pub const SAID_CHARS_MAX: usize = 120;

/// Shortest piece of a secret that is taken out. A shorter one helps nobody to guess the rest, and may be
/// any word.
const PIECE_BYTES_MIN: usize = 6;

/// What stands for a piece of a secret.
const TAKEN_OUT: &str = "[…]";

/// What may not be in a reason: the token, and the path of the URL.
#[derive(Clone, Default)]
pub struct Secrets(Vec<Vec<u8>>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Secrets(..)")
    }
}

impl Secrets {
    /// These, of which none is empty.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self(secrets.into_iter().filter(|it| !it.is_empty()).map(<[u8]>::to_vec).collect())
    }

    /// A server's words in quotation marks, cut, without anything that a terminal would obey, and without
    /// any piece of a secret.
    pub fn quoted(&self, text: &str) -> String {
        let cut: String = text.chars().take(SAID_CHARS_MAX).collect();
        let more = if cut.len() < text.len() { "…" } else { "" };
        format!("{:?}{more}", self.without(&cut))
    }

    fn without(&self, text: &str) -> String {
        let octets = text.as_bytes();
        let mut secret = vec![false; octets.len()];
        for known in &self.0 {
            // A secret that is shorter than the shortest piece counts as a whole.
            let size = PIECE_BYTES_MIN.min(known.len());
            for (at, piece) in octets.windows(size).enumerate() {
                if known.windows(size).any(|it| it == piece) {
                    secret[at..at + size].fill(true);
                }
            }
        }
        let mut shown = String::with_capacity(text.len());
        let mut within = false;
        for (at, it) in text.char_indices() {
            if !secret[at] {
                shown.push(it);
            } else if !within {
                shown.push_str(TAKEN_OUT);
            }
            within = secret[at];
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_piece_of_a_secret_is_taken_out_and_the_rest_stays() {
        let secrets = Secrets::new([&b"s3cret-token-of-ours"[..], b"/hooks/4711", b"/x"]);
        for (said, shown) in [
            ("no such user", "\"no such user\""),
            ("bad token s3cret-token-of-ours.", "\"bad token […].\""),
            ("bad token s3cret-tok... sorry", "\"bad token […]... sorry\""),
            ("Bearer token-of-ours and /hooks/4711", "\"Bearer […] and […]\""),
            ("Cannot POST /x", "\"Cannot POST […]\""),
            ("token", "\"token\""),
        ] {
            assert_eq!(secrets.quoted(said), shown);
        }
        assert_eq!(Secrets::default().quoted("a\u{1b}é"), "\"a\\u{1b}é\"");
    }

    proptest! {
        #[test]
        fn whatever_is_said_no_piece_of_a_secret_is_in_it(
            before in "\\PC{0,30}",
            token in "[a-zA-Z0-9._-]{8,40}",
            (from, length) in (0..8_usize, PIECE_BYTES_MIN..40),
            after in "\\PC{0,30}",
        ) {
            let piece: String = token.chars().skip(from).take(length).collect();
            let shown = Secrets::new([token.as_bytes()]).quoted(&format!("{before}{piece}{after}"));
            for it in token.as_bytes().windows(PIECE_BYTES_MIN) {
                let it = std::str::from_utf8(it).unwrap();
                prop_assert!(!shown.contains(it), "{it} in {shown}");
            }
        }
    }
}
