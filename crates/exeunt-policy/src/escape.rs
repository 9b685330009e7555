//! Values of a distinguished name in its text.

/// What must be escaped in a value, wherever it stands (RFC 4514, section 2.4).
const SPECIAL: &str = "\"+,;<>\\#= ";

/// A value as the text of a distinguished name has it.
pub(crate) fn escape(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for letter in value.chars() {
        if SPECIAL.contains(letter) {
            text.push('\\');
        }
        text.push(letter);
    }
    text
}
