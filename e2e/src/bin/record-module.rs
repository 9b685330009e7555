//! An exit module for tests: appends a line to a file for every event, then accepts.
//!
//! Settings: `file`, and `delay_ms` to be slow.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::time::Duration;

use exeunt_module_kit::{Event, EventMask, ExitModule, Initialize, Outcome, exit_event};

#[derive(Default)]
struct Record {
    file: Option<File>,
    delay: Duration,
}

impl ExitModule for Record {
    fn initialize(&mut self, hello: &Initialize) -> Result<EventMask, String> {
        let path = hello.settings.get("file").and_then(|it| it.as_str()).ok_or("no file is set")?;
        let delay = hello.settings.get("delay_ms").and_then(serde_json::Value::as_u64).unwrap_or(0);
        self.delay = Duration::from_millis(delay);
        let file = OpenOptions::new().create(true).append(true).open(path);
        self.file = Some(file.map_err(|err| format!("{path}: {err}"))?);
        Ok(EventMask(exit_event::ALL))
    }

    fn description(&self) -> String {
        "records every event".to_owned()
    }

    fn notify(&mut self, event: &Event) -> Outcome {
        std::thread::sleep(self.delay);
        let Event { seq, id, subject, event, .. } = event;
        // One write of one short line to a file opened for appending: whole or not at all.
        let line = format!("{seq} {id} {subject} {event}\n");
        let written = match &mut self.file {
            Some(file) => file.write_all(line.as_bytes()),
            None => return Outcome::Park { reason: "not initialized".to_owned() },
        };
        match written {
            Ok(()) => Outcome::Accept,
            Err(err) => Outcome::Retry { after_ms: None, reason: err.to_string() },
        }
    }
}

fn main() -> std::io::Result<()> {
    exeunt_module_kit::serve(Record::default())
}
