//! Looking for secrets in places where they must not be, in every form in which something may have
//! written them down.

use std::collections::HashMap;

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};

use crate::ca::hexadecimal;

/// Octets of a piece of a secret that count as the secret: 128 bits, which nobody guesses and which
/// stand nowhere by chance.
const PIECE_OCTETS: usize = 16;
/// From the beginning of one piece to that of the next. Pages of a database cut a secret somewhere.
const STEP_OCTETS: usize = 8;
/// Octets of a needle that are looked up at each place; no needle is shorter.
const KEY_OCTETS: usize = 8;

/// Something that must not be found.
#[derive(Clone, Debug)]
pub struct Secret {
    name: String,
    pieces: Vec<Vec<u8>>,
    is_text: bool,
}

impl Secret {
    /// A passphrase or a token; eight characters at least.
    ///
    /// # Panics
    ///
    /// When it is shorter: that would be found by chance.
    #[must_use]
    pub fn text(name: &str, text: &str) -> Self {
        let text = text.trim_end();
        assert!(KEY_OCTETS <= text.len(), "{name} is too short to be looked for");
        // A half of a token is half a secret.
        let is_long = 2 * PIECE_OCTETS <= text.len();
        let pieces = if is_long { pieces(text.as_bytes()) } else { vec![text.into()] };
        Self { name: name.to_owned(), pieces, is_text: true }
    }

    /// A private key or the like. What also stands in `public`, as the modulus does, is no secret.
    ///
    /// # Panics
    ///
    /// When nothing of it is secret.
    #[must_use]
    pub fn octets(name: &str, octets: &[u8], public: &[u8]) -> Self {
        let is_public = |it: &[u8]| public.windows(it.len()).any(|window| window == it);
        let mut pieces = pieces(octets);
        pieces.retain(|it| !is_public(it));
        assert!(!pieces.is_empty(), "nothing of {name} is secret");
        Self { name: name.to_owned(), pieces, is_text: false }
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Every form of every piece, with its name.
    fn needles(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut needles = Vec::new();
        for piece in &self.pieces {
            needles.push(("raw", piece.clone()));
            for (form, engine) in [("base64", &BASE64_STANDARD), ("base64url", &BASE64_URL_SAFE)] {
                needles.extend((0..3).map(|shift| (form, in_base64(engine, piece, shift))));
            }
            let hex = hexadecimal(piece);
            needles.push(("hexadecimal", hex.to_uppercase().into()));
            needles.push(("hexadecimal", hex.into()));
            // As `Debug` shows octets, without its blanks.
            let list: Vec<String> = piece.iter().map(u8::to_string).collect();
            needles.push(("numbers", list.join(",").into()));
            if self.is_text {
                needles.push(("UTF-16", piece.iter().flat_map(|it| [*it, 0]).collect()));
            } else {
                needles.push(("reversed", piece.iter().rev().copied().collect()));
            }
        }
        needles
    }
}

fn pieces(octets: &[u8]) -> Vec<Vec<u8>> {
    octets.windows(PIECE_OCTETS).step_by(STEP_OCTETS).map(<[u8]>::to_vec).collect()
}

/// The characters that a piece alone decides, where it stands `shift` octets behind the beginning of a
/// group of three.
fn in_base64(engine: &impl base64::Engine, piece: &[u8], shift: usize) -> Vec<u8> {
    let text = engine.encode([&vec![0; shift][..], piece].concat());
    let (first, last) = ((shift * 8).div_ceil(6), (shift + piece.len()) * 8 / 6);
    text.as_bytes()[first..last].to_vec()
}

/// A secret that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Which one.
    pub secret: String,
    /// In which form.
    pub form: &'static str,
}

/// Looks for many secrets at once.
#[derive(Debug)]
pub struct Search {
    /// By their first octets: whose, in which form, and the whole needle.
    needles: HashMap<[u8; KEY_OCTETS], Vec<(Found, Vec<u8>)>>,
}

impl Search {
    /// Of these.
    #[must_use]
    pub fn new(secrets: &[Secret]) -> Self {
        let mut needles: HashMap<_, Vec<_>> = HashMap::new();
        for secret in secrets {
            for (form, needle) in secret.needles() {
                let Some(key) = needle.first_chunk::<KEY_OCTETS>() else { continue };
                let found = Found { secret: secret.name.clone(), form };
                needles.entry(*key).or_default().push((found, needle));
            }
        }
        Self { needles }
    }

    /// Which secrets stand in something, each form once. Lines that were wrapped, also within a text of
    /// JSON, and digits with colons or blanks between them are read as if they were not.
    #[must_use]
    pub fn find(&self, content: &[u8]) -> Vec<Found> {
        let mut found = self.find_plain(content);
        found.extend(self.find_plain(&squeezed(content)));
        found.sort();
        found.dedup();
        found
    }

    fn find_plain(&self, content: &[u8]) -> Vec<Found> {
        let mut found = Vec::new();
        for (at, key) in content.windows(KEY_OCTETS).enumerate() {
            let Some(needles) = self.needles.get(key) else { continue };
            let here = needles.iter().filter(|(_, needle)| content[at..].starts_with(needle));
            found.extend(here.map(|(it, _)| it.clone()));
        }
        found
    }
}

/// Without what stands between the characters of something that was wrapped or grouped.
fn squeezed(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len());
    let mut rest = content;
    while let [first, after @ ..] = rest {
        rest = match rest {
            [b'\\', b'n' | b'r' | b't', after @ ..] => after,
            // JSON may write a slash so.
            [b'\\', b'/', ..] => after,
            _ => {
                if !first.is_ascii_whitespace() && *first != b':' {
                    out.push(*first);
                }
                after
            }
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    const TOKEN: &str = "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYm";
    const KEY: [u8; 48] = *b"\xfbP\xff\xbe\x9c\x01\xcd\x1e4,\x88\x0br\xf0\x15\xe2\x9a\xd0=\x8b\x11\x86O\xb2\xcfz3\x1d\xe8\x97T+\xfe\x04\xa9c\xd7\x1f\x80\xb6]\xec\x28\x93F\xda\x0e\xf7";

    /// What stands around a secret where it was written down.
    fn hidden(before: &str, secret: &[u8], after: &str) -> Vec<u8> {
        [before.as_bytes(), secret, after.as_bytes()].concat()
    }

    fn wrapped(text: &str, width: usize, end: &str) -> String {
        let lines: Vec<&str> =
            text.as_bytes().chunks(width).map(|it| std::str::from_utf8(it).unwrap()).collect();
        lines.join(end)
    }

    #[track_caller]
    fn check(secret: &Secret, content: &[u8], form: &str) {
        let found = Search::new(std::slice::from_ref(secret)).find(content);
        let forms: Vec<_> = found.iter().map(|it| it.form).collect();
        assert!(forms.contains(&form), "{form} is not among {forms:?}");
    }

    #[test]
    fn a_key_is_found_in_every_form_that_something_writes() {
        let key = Secret::octets("key", &KEY, &[]);
        check(&key, &hidden("before", &KEY, "after"), "raw");
        let hex = hexadecimal(&KEY);
        check(&key, &hidden("key=", hex.as_bytes(), "\n"), "hexadecimal");
        check(&key, &hidden("key=", hex.to_uppercase().as_bytes(), "\n"), "hexadecimal");
        // As openssl shows it.
        let colons: Vec<String> = KEY.iter().map(|it| format!("{it:02x}")).collect();
        let colons = wrapped(&colons.join(":"), 45, "\n    ");
        check(&key, &hidden("priv:\n    ", colons.as_bytes(), "\n"), "hexadecimal");
        check(&key, &hidden("Key(", format!("{KEY:?}").as_bytes(), ")"), "numbers");
        check(&key, &hidden("Key(", format!("{KEY:#?}").as_bytes(), ")"), "numbers");
        let reversed: Vec<u8> = KEY.iter().rev().copied().collect();
        check(&key, &hidden("RSA2", &reversed, "\0\0"), "reversed");
    }

    #[test]
    fn base64_is_found_wherever_in_it_a_key_begins_and_however_it_is_wrapped() {
        let key = Secret::octets("key", &KEY, &[]);
        for before in ["", "a", "ab", "abc"] {
            let content = hidden(before, &KEY, "after");
            let text = BASE64_STANDARD.encode(&content);
            check(&key, text.as_bytes(), "base64");
            check(&key, BASE64_URL_SAFE.encode(&content).as_bytes(), "base64url");
            let pem = format!("-----BEGIN X-----\n{}\n-----END X-----\n", wrapped(&text, 64, "\n"));
            check(&key, pem.as_bytes(), "base64");
            // The same in a text of JSON, on one line.
            let json = format!("{{\"pem\":\"{}\"}}", wrapped(&text, 20, "\\n").replace('/', "\\/"));
            check(&key, json.as_bytes(), "base64");
        }
    }

    #[test]
    fn a_piece_of_a_key_is_the_key_and_what_is_public_is_none() {
        let key = Secret::octets("key", &KEY, &[]);
        let search = Search::new(&[key]);
        assert!(!search.find(&hidden("page", &KEY[..24], "next page")).is_empty());
        assert!(!search.find(&hidden("page", &KEY[20..], "next page")).is_empty());
        assert!(search.find(&KEY[..15]).is_empty());
        let half = Secret::octets("key", &KEY, &KEY[..24]);
        assert!(Search::new(std::slice::from_ref(&half)).find(&KEY[..24]).is_empty());
        assert!(!Search::new(&[half]).find(&KEY).is_empty());
    }

    #[test]
    fn a_token_and_a_passphrase_are_found_as_texts() {
        let token = Secret::text("token", TOKEN);
        check(&token, &hidden("Authorization: Bearer ", TOKEN.as_bytes(), "\r\n"), "raw");
        check(&token, &hidden("half ", &TOKEN.as_bytes()[..TOKEN.len() / 2], "."), "raw");
        let wide: Vec<u8> = TOKEN.encode_utf16().flat_map(u16::to_le_bytes).collect();
        check(&token, &hidden("BSTR", &wide, ""), "UTF-16");
        check(&token, BASE64_STANDARD.encode(format!("x:{TOKEN}")).as_bytes(), "base64");
        let word = Secret::text("passphrase", "open sesame\n");
        check(&word, b"with \"open sesame\" as", "raw");
        let hex = hexadecimal(b"open sesame");
        check(&word, hex.as_bytes(), "hexadecimal");
    }

    #[test]
    fn nothing_is_found_where_nothing_is() {
        let secrets = [Secret::text("token", TOKEN), Secret::octets("key", &KEY, &[])];
        let innocent = include_bytes!("leak.rs");
        // But for the texts of these tests.
        let innocent = innocent.split(|it| *it == b'#').next().unwrap();
        assert_eq!(Search::new(&secrets).find(innocent), []);
    }
}
