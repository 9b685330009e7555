//! Octets as people read them.

/// Octets as lower-case hexadecimal digits, two each.
#[must_use]
pub fn hexadecimal(octets: &[u8]) -> String {
    // As long as it becomes at once: what grows leaves copies behind, and some of these are secrets.
    let mut digits = String::with_capacity(2 * octets.len());
    push_hexadecimal(&mut digits, octets);
    digits
}

/// The same at the end of a text.
pub fn push_hexadecimal(text: &mut String, octets: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for it in octets {
        text.push(char::from(DIGITS[usize::from(it >> 4)]));
        text.push(char::from(DIGITS[usize::from(it & 15)]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_has_two_digits() {
        assert_eq!(hexadecimal(&[0, 1, 0x0f, 0x10, 0xab, 0xff]), "00010f10abff");
        let every: Vec<u8> = (0..=u8::MAX).collect();
        for (octet, digits) in every.iter().zip(hexadecimal(&every).as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).unwrap();
            assert_eq!(u8::from_str_radix(digits, 16).as_ref(), Ok(octet), "{digits}");
        }
    }
}
