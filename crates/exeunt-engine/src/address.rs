//! Addresses as they are configured: with the original's tokens in the place of what differs from
//! certificate to certificate of the CA, from key to key, and from list to list.

/// What the tokens of an address stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// `%4`: which certificate of the CA it is about, by the suffix of its files.
    pub(crate) certificate_index: u16,
    /// `%8`: which of its keys, by the suffix of the files of its lists.
    pub(crate) key_index: u16,
    /// `%9`: `+` for a delta.
    pub(crate) delta: bool,
    /// `<CRLPartitionIndex>`: `_Partition` and five digits; nothing for 0, the whole.
    pub(crate) partition: u32,
}

/// In the words of the original, because it has no number.
const PARTITION: &str = "<CRLPartitionIndex>";

impl Tokens {
    /// An address with its tokens replaced.
    ///
    /// A `%` before two hexadecimal digits is an octet that a URI encodes, and stays (RFC 3986, section
    /// 2.1): `%4` is a token in `ca%4.crt`, and `%40` is none.
    pub(crate) fn expand(&self, address: &str) -> String {
        let mut out = String::with_capacity(address.len() + 8);
        let mut rest = address;
        while let Some(at) = rest.find('%') {
            let (before, from) = rest.split_at(at);
            out.push_str(before);
            let mut behind = from.chars().skip(1);
            let (token, next) = (behind.next(), behind.next());
            let is_octet = next.is_some_and(|it| it.is_ascii_hexdigit());
            let value = match token {
                Some('4') if !is_octet => suffix(self.certificate_index),
                Some('8') if !is_octet => suffix(self.key_index),
                Some('9') if !is_octet => if self.delta { "+" } else { "" }.to_owned(),
                _ => {
                    out.push('%');
                    rest = &from[1..];
                    continue;
                }
            };
            out.push_str(&value);
            rest = &from[2..];
        }
        out.push_str(rest);
        let partition = match self.partition {
            0 => String::new(),
            number => format!("_Partition{number:05}"),
        };
        out.replace(PARTITION, &partition)
    }
}

/// What stands behind the name of a file for that index: nothing for the first, `(n)` for the others.
#[must_use]
pub fn suffix(index: u16) -> String {
    match index {
        0 => String::new(),
        index => format!("({index})"),
    }
}

/// Whether an address is another one for each certificate of the CA: whether it has `%4`.
#[must_use]
pub fn tells_certificates_apart(address: &str) -> bool {
    let later = Tokens { certificate_index: 1, ..Tokens::default() };
    later.expand(address) != Tokens::default().expand(address)
}

/// Whether an address is another one for each key of the CA: whether it has `%8`.
#[must_use]
pub fn tells_keys_apart(address: &str) -> bool {
    let later = Tokens { key_index: 1, ..Tokens::default() };
    later.expand(address) != Tokens::default().expand(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_replaced_and_encoded_octets_stay() {
        let first = Tokens::default();
        let later = Tokens { certificate_index: 3, key_index: 1, delta: true, partition: 42 };
        for (address, of_first, of_later) in [
            ("http://p/ca%4.crt", "http://p/ca.crt", "http://p/ca(3).crt"),
            ("http://p/ca%8%9.crl", "http://p/ca.crl", "http://p/ca(1)+.crl"),
            (
                "http://p/ca%8<CRLPartitionIndex>%9.crl",
                "http://p/ca.crl",
                "http://p/ca(1)_Partition00042+.crl",
            ),
            ("http://p/a%20b%40%8A%9f", "http://p/a%20b%40%8A%9f", "http://p/a%20b%40%8A%9f"),
            ("ldap:///CN=%7%8,%", "ldap:///CN=%7,%", "ldap:///CN=%7(1),%"),
            ("http://p/%4", "http://p/", "http://p/(3)"),
            ("http://p/%4ü%", "http://p/ü%", "http://p/(3)ü%"),
            ("http://p/%%4", "http://p/%", "http://p/%(3)"),
            ("", "", ""),
        ] {
            assert_eq!(first.expand(address), of_first);
            assert_eq!(later.expand(address), of_later);
        }
    }

    #[test]
    fn an_address_tells_certificates_or_keys_apart_by_its_tokens() {
        for (address, certificates, keys) in [
            ("http://p/ca%4.crt", true, false),
            ("http://p/ca%8%9.crl", false, true),
            ("http://p/a%40%8A%9.crl", false, false),
            ("http://p/ca.crt", false, false),
        ] {
            let found = (tells_certificates_apart(address), tells_keys_apart(address));
            assert_eq!(found, (certificates, keys), "{address}");
        }
    }
}
