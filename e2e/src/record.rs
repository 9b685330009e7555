//! What the recording module heard: a line per event, in the order in which it came.

use std::fs;
use std::io;
use std::path::Path;

/// One event as the module heard it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Place in the event log.
    pub seq: u64,
    /// The event's id.
    pub id: String,
    /// What it is about.
    pub subject: String,
    /// Which events it is: the bit.
    pub event: u32,
}

/// Reads the record. A last line that a kill cut off was never accepted and does not count.
pub fn read(path: &Path) -> io::Result<Vec<Heard>> {
    let text = match fs::read_to_string(path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text?,
    };
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| parse(line).ok_or_else(|| bad(line))).collect()
}

fn parse(line: &str) -> Option<Heard> {
    let mut words = line.split(' ');
    let heard = Heard {
        seq: words.next()?.parse().ok()?,
        id: words.next()?.to_owned(),
        subject: words.next()?.to_owned(),
        event: words.next()?.parse().ok()?,
    };
    words.next().is_none().then_some(heard)
}

fn bad(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not a line of the record: {line:?}"))
}
