//! An exit module that writes everything that happens into a CSV file, one line for each event.

use std::{
    collections::HashSet,
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
};

use exeunt_module_kit::{
    Event, EventMask, ExitModule, Initialize, Outcome, Properties, Value, exit_event,
};

const HEADING: &str = "id,time,event,subject,requester,common_name,serial,not_after,message\n";

/// The open file, how much of it is good, and the ids in it: an event may come twice.
struct Table(File, u64, HashSet<String>);

#[derive(Default)]
struct CsvExit(Option<Table>);

impl ExitModule for CsvExit {
    fn initialize(&mut self, hello: &Initialize) -> Result<EventMask, String> {
        if let Some(unknown) = hello.settings.keys().find(|it| *it != "file") {
            return Err(format!("there is no setting {unknown:?}; there is file"));
        }
        let path = hello.settings.get("file").and_then(|it| it.as_str());
        let path = path.ok_or("file is missing: say where the table goes")?;
        self.0 = Some(Table::open(path).map_err(|err| format!("file {path:?}: {err}"))?);
        Ok(EventMask(exit_event::ALL))
    }

    fn description(&self) -> String {
        "writes everything that happens into a table".to_owned()
    }

    fn notify(&mut self, event: &Event) -> Outcome {
        self.notify_batch(std::slice::from_ref(event)).remove(0)
    }

    fn notify_batch(&mut self, events: &[Event]) -> Vec<Outcome> {
        let retry = |reason: String| Outcome::Retry { after_ms: None, reason };
        let outcome = match self.0.as_mut().map(|table| table.append(events)) {
            Some(Ok(())) => Outcome::Accept,
            Some(Err(err)) => retry(err.to_string()),
            None => retry("there is no table yet".to_owned()),
        };
        vec![outcome; events.len()]
    }
}

impl Table {
    /// Half a line that a crash left is cut off by the first append.
    fn open(path: &str) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let good = text.rfind('\n').map_or(0, |it| it + 1);
        let ids = text[..good].lines().filter_map(|it| it.split(',').next()).map(str::to_owned);
        Ok(Self(file, good as u64, ids.collect()))
    }

    /// Many lines and one force to the disk: nothing is accepted before it is there.
    fn append(&mut self, events: &[Event]) -> io::Result<()> {
        let Self(file, good, ids) = self;
        let mut text = if *good == 0 { HEADING.to_owned() } else { String::new() };
        text.extend(events.iter().filter(|it| !ids.contains(&it.id)).map(line));
        file.set_len(*good)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        *good += text.len() as u64;
        ids.extend(events.iter().map(|it| it.id.clone()));
        Ok(())
    }
}

fn line(event: &Event) -> String {
    let of = |properties: &Properties, name| match properties.property(name) {
        Ok(Value::String(text) | Value::Date(text)) => cell(text),
        _ => String::new(),
    };
    let Event { id, time, subject, request, certificate, .. } = event;
    let start = format!("{id},{time},{},{subject}", exit_event::word(event.event));
    let [serial, name, end] =
        ["SerialNumber", "CommonName", "NotAfter"].map(|it| of(certificate, it));
    let [who, message] = ["RequesterName", "DispositionMessage"].map(|it| of(request, it));
    format!("{start},{who},{name},{serial},{end},{message}\n")
}

/// Requesters choose their words: no cell ends the line, and none starts a formula.
fn cell(text: &str) -> String {
    let text = text.replace(char::is_control, " ").replace('"', "\"\"");
    let guard = if text.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
    format!("\"{guard}{text}\"")
}

fn main() -> io::Result<()> {
    exeunt_module_kit::serve(CsvExit::default())
}
