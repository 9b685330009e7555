//! Exports of the Windows registry: `.reg` files, as `reg export` and the registry editor write them.
//!
//! Bytes in, keys and values out. Version 5 is UTF-16 with a mark at its start; version 4 ("REGEDIT4")
//! is in the system's code page, which is read as UTF-8 or else as Latin-1.

use std::collections::BTreeMap;
use std::fmt;

/// Largest export, in bytes. That of a CA has some tens of kilobytes.
pub const EXPORT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Most values of one export.
pub const EXPORT_VALUES_MAX: usize = 100_000;

/// Why a file is no export.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// More than [`EXPORT_BYTES_MAX`] or [`EXPORT_VALUES_MAX`].
    #[error("the export is too large")]
    TooLarge,
    /// It does not begin as an export does.
    #[error(
        "the file is no export of a registry: it begins with neither \"Windows Registry Editor \
         Version 5.00\" nor \"REGEDIT4\""
    )]
    NoHeading,
    /// A line that is none of an export.
    #[error("line {line} of the export is malformed: {why}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `REG_SZ` and `REG_EXPAND_SZ`.
    Text(String),
    /// `REG_MULTI_SZ`.
    Texts(Vec<String>),
    /// `REG_DWORD` and `REG_QWORD`.
    Number(u64),
    /// Everything else.
    Binary(Vec<u8>),
}

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(out, "{text:?}"),
            Self::Texts(texts) => write!(out, "{texts:?}"),
            Self::Number(number) => write!(out, "{number} (0x{number:x})"),
            Self::Binary(bytes) => write!(out, "{} bytes", bytes.len()),
        }
    }
}

/// One key with its values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key {
    /// The whole path, as it is written.
    pub path: String,
    /// Values by their names in lower case, each with its name as it is written. The nameless value of
    /// a key is under the empty name.
    pub values: BTreeMap<String, (String, Value)>,
}

impl Key {
    /// A value by its name, in whatever case.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.values.get(&name.to_ascii_lowercase()).map(|(_, value)| value)
    }
}

/// All keys by their paths in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry(pub BTreeMap<String, Key>);

impl Registry {
    /// Reads an export. Keys and values that it would delete are not there.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, RegistryError> {
        if EXPORT_BYTES_MAX < bytes.len() {
            return Err(RegistryError::TooLarge);
        }
        let text = decode(bytes);
        let mut lines = Lines { rest: text.lines().enumerate().collect(), at: 0 };
        let heading = lines.next_full().map(|(_, line)| line);
        let wide = match heading.as_deref().map(str::trim) {
            Some("Windows Registry Editor Version 5.00") => true,
            Some("REGEDIT4") => false,
            _ => return Err(RegistryError::NoHeading),
        };
        let mut keys: BTreeMap<String, Key> = BTreeMap::new();
        let mut current: Option<String> = None;
        let mut count = 0;
        while let Some((number, line)) = lines.next_full() {
            let fail = |why| RegistryError::Line { line: number + 1, why };
            if let Some(path) = line.strip_prefix('[') {
                let path = path
                    .trim_end()
                    .strip_suffix(']')
                    .ok_or_else(|| fail("a key without its end"))?;
                if let Some(deleted) = path.strip_prefix('-') {
                    keys.remove(&deleted.to_ascii_lowercase());
                    current = None;
                } else {
                    let lower = path.to_ascii_lowercase();
                    let key = keys.entry(lower.clone()).or_default();
                    path.clone_into(&mut key.path);
                    current = Some(lower);
                }
                continue;
            }
            count += 1;
            if EXPORT_VALUES_MAX < count {
                return Err(RegistryError::TooLarge);
            }
            let (name, data) = name_and_data(&line, &mut lines).map_err(fail)?;
            let Some(key) = current.as_ref().and_then(|it| keys.get_mut(it)) else {
                // What follows a deleted key is deleted with it.
                continue;
            };
            match value(&data, wide).map_err(fail)? {
                Some(value) => key.values.insert(name.to_ascii_lowercase(), (name, value)),
                None => key.values.remove(&name.to_ascii_lowercase()),
            };
        }
        Ok(Self(keys))
    }
}

/// Lines of the file, one after the other.
struct Lines<'a> {
    rest: Vec<(usize, &'a str)>,
    at: usize,
}

impl Lines<'_> {
    fn next_raw(&mut self) -> Option<(usize, String)> {
        let (number, line) = self.rest.get(self.at)?;
        self.at += 1;
        Some((*number, (*line).to_owned()))
    }

    /// The next line that says something.
    fn next_full(&mut self) -> Option<(usize, String)> {
        loop {
            let (number, line) = self.next_raw()?;
            let start = line.trim_start();
            if !start.is_empty() && !start.starts_with(';') {
                return Some((number, start.to_owned()));
            }
        }
    }
}

fn decode(bytes: &[u8]) -> String {
    let units = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.as_chunks::<2>().0.iter().map(|it| unit(*it)).collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => units(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => units(rest, u16::from_be_bytes),
        // Written by an editor that took the mark away.
        [_, 0, _, 0, ..] => units(bytes, u16::from_le_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        bytes => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.iter().copied().map(char::from).collect(),
        },
    }
}

/// `"name"=data` or `@=data`; data that goes on over several lines is put together.
fn name_and_data(line: &str, lines: &mut Lines<'_>) -> Result<(String, String), &'static str> {
    let (name, rest) = match line.strip_prefix('@') {
        Some(rest) => (String::new(), rest.to_owned()),
        None => quoted(line, lines)?,
    };
    let data = rest.trim_start().strip_prefix('=').ok_or("a value without its equals sign")?;
    let mut data = data.trim_start().to_owned();
    if data.starts_with('"') {
        let (text, rest) = quoted(&data, lines)?;
        if !rest.trim().is_empty() && !rest.trim_start().starts_with(';') {
            return Err("something follows the text of a value");
        }
        return Ok((name, format!("\"{text}")));
    }
    while let Some(start) = data.trim_end().strip_suffix('\\') {
        let (_, next) = lines.next_raw().ok_or("a value without its end")?;
        data = start.to_owned() + next.trim();
    }
    Ok((name, data))
}

/// Text in quotation marks, which may hold line breaks, and what follows it.
fn quoted(line: &str, lines: &mut Lines<'_>) -> Result<(String, String), &'static str> {
    let mut rest = line.strip_prefix('"').ok_or("a value without its name")?.to_owned();
    let mut text = String::new();
    loop {
        let mut chars = rest.char_indices();
        while let Some((at, it)) = chars.next() {
            match it {
                '"' => return Ok((text, rest[at + 1..].to_owned())),
                '\\' => match chars.next() {
                    Some((_, it)) => text.push(it),
                    None => text.push('\\'),
                },
                it => text.push(it),
            }
        }
        text.push('\n');
        (_, rest) = lines.next_raw().ok_or("a text without its end")?;
    }
}

/// Data as `name_and_data` gives it; `None` for a deletion.
fn value(data: &str, wide: bool) -> Result<Option<Value>, &'static str> {
    if let Some(text) = data.strip_prefix('"') {
        return Ok(Some(Value::Text(text.to_owned())));
    }
    let data = data.trim();
    if data == "-" {
        return Ok(None);
    }
    let (kind, content) = data.split_once(':').ok_or("data of no type")?;
    let kind = kind.trim().to_ascii_lowercase();
    if kind == "dword" {
        let number =
            u32::from_str_radix(content.trim(), 16).map_err(|_| "a number that is none")?;
        return Ok(Some(Value::Number(number.into())));
    }
    let kind = match kind.as_str() {
        "hex" => 3,
        other => other
            .strip_prefix("hex(")
            .and_then(|it| it.strip_suffix(')'))
            .and_then(|it| u32::from_str_radix(it, 16).ok())
            .ok_or("data of an unknown type")?,
    };
    let bytes: Vec<u8> = content
        .split(',')
        .map(str::trim)
        .filter(|it| !it.is_empty())
        .map(|it| u8::from_str_radix(it, 16).map_err(|_| "an octet that is none"))
        .collect::<Result<_, _>>()?;
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, it| (sum << 8) | u64::from(*it));
    Ok(Some(match (kind, bytes.len()) {
        (1 | 2, _) => {
            let text = wide_text(&bytes, wide);
            Value::Text(text.split('\0').next().unwrap_or_default().to_owned())
        }
        (7, _) => {
            let text = wide_text(&bytes, wide);
            // Each text ends with a zero, and the list with one more.
            let text = text.strip_suffix('\0').unwrap_or(&text);
            let text = text.strip_suffix('\0').unwrap_or(text);
            if text.is_empty() {
                Value::Texts(Vec::new())
            } else {
                Value::Texts(text.split('\0').map(str::to_owned).collect())
            }
        }
        (4, 4) | (11, 8) => Value::Number(number(&bytes)),
        _ => Value::Binary(bytes),
    }))
}

fn wide_text(bytes: &[u8], wide: bool) -> String {
    if wide {
        let units: Vec<u16> =
            bytes.as_chunks::<2>().0.iter().map(|it| u16::from_le_bytes(*it)).collect();
        String::from_utf16_lossy(&units)
    } else {
        match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.iter().copied().map(char::from).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str) -> Vec<u8> {
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        [0xff, 0xfe].into_iter().chain(units).collect()
    }

    const EXPORT: &str = "Windows Registry Editor Version 5.00\r\n\r\n; by hand\r\n\
        [HKEY_LOCAL_MACHINE\\SOFTWARE\\A]\r\n@=\"nameless\"\r\n\"Te\\\"xt\"=\"a \\\\ b\"\r\n\
        \"Lines\"=\"one\r\ntwo\"\r\n\"Number\"=dword:0000002a\r\n\
        \"List\"=hex(7):61,00,62,00,00,00,\\\r\n  fc,00,00,00,00,00\r\n\"Empty\"=hex(7):00,00\r\n\
        \"Long\"=hex(b):01,00,00,00,01,00,00,00\r\n\"Raw\"=hex:01,02\r\n\
        \"Path\"=hex(2):25,00,41,00,00,00\r\n\"Gone\"=\"x\"\r\n\"Gone\"=-\r\n\
        [-HKEY_LOCAL_MACHINE\\SOFTWARE\\B]\r\n\"C\"=\"d\"\r\n";

    #[test]
    fn every_type_of_value_is_read() {
        let registry = Registry::parse(&utf16(EXPORT)).unwrap();
        assert_eq!(registry.0.len(), 1);
        let key = &registry.0["hkey_local_machine\\software\\a"];
        assert_eq!(key.path, "HKEY_LOCAL_MACHINE\\SOFTWARE\\A");
        let text = |it: &str| Some(Value::Text(it.to_owned()));
        for (name, expected) in [
            ("", text("nameless")),
            ("TE\"XT", text("a \\ b")),
            ("lines", text("one\ntwo")),
            ("number", Some(Value::Number(42))),
            ("list", Some(Value::Texts(vec!["ab".to_owned(), "ü".to_owned()]))),
            ("empty", Some(Value::Texts(Vec::new()))),
            ("long", Some(Value::Number(0x1_0000_0001))),
            ("raw", Some(Value::Binary(vec![1, 2]))),
            ("path", text("%A")),
            ("gone", None),
        ] {
            assert_eq!(key.value(name).cloned(), expected, "{name}");
        }
    }

    #[test]
    fn the_older_format_and_other_encodings_are_read() {
        let old = b"REGEDIT4\n\n[A]\n\"L\"=hex(7):61,62,00,fc,00,00\n\"T\"=\"\xfc\"\n";
        let key = &Registry::parse(old).unwrap().0["a"];
        assert_eq!(key.value("l"), Some(&Value::Texts(vec!["ab".to_owned(), "ü".to_owned()])));
        assert_eq!(key.value("t"), Some(&Value::Text("ü".to_owned())));
        let wide = utf16(EXPORT);
        let expected = Registry::parse(&wide).unwrap();
        assert_eq!(Registry::parse(&wide[2..]).unwrap(), expected);
        assert_eq!(Registry::parse(EXPORT.as_bytes()).unwrap(), expected);
        let other: Vec<u8> = wide.as_chunks::<2>().0.iter().flat_map(|it| [it[1], it[0]]).collect();
        assert_eq!(Registry::parse(&other).unwrap(), expected);
    }

    #[test]
    fn what_is_no_export_is_refused_by_its_line() {
        assert_eq!(Registry::parse(b"hello"), Err(RegistryError::NoHeading));
        assert_eq!(Registry::parse(b""), Err(RegistryError::NoHeading));
        for line in
            ["[A", "x", "\"a\"", "\"a\"=7", "\"a\"=dword:x", "\"a\"=hex:zz", "\"a\"=hex(q):"]
        {
            let err = Registry::parse(format!("REGEDIT4\n[K]\n{line}\n").as_bytes()).unwrap_err();
            assert!(matches!(err, RegistryError::Line { line: 3, .. }), "{line}: {err}");
        }
        let large = vec![b' '; EXPORT_BYTES_MAX + 1];
        assert_eq!(Registry::parse(&large), Err(RegistryError::TooLarge));
    }
}
