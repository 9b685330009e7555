//! The module itself: what happens to a batch of events, in order.

use std::{cmp::Ordering, fs::File, io};

use exeunt_module_kit::{
    Event, EventMask, ExitModule, Initialize, ManageExitModule, Outcome, Value, exit_event,
    manage::ManageModule,
};
use exeunt_publication::pattern::{Place, sanitized};

use crate::{
    certificate::Publication,
    folder::{Folder, Found},
    settings::{self, Settings},
};

/// How many files are staged, and so open, at the same time. A process may have 1024 files open by
/// default.
const STAGED_FILES_MAX: usize = 128;

/// What the module is, in one line.
const DESCRIPTION: &str = "publishes certificates into a folder";

/// End of a temporary name.
const TEMPORARY_END: &str = ".tmp";

/// The exit module. It starts its work with the host's greeting.
#[derive(Debug, Default)]
pub struct FileExit {
    state: Option<State>,
}

#[derive(Debug)]
struct State {
    settings: Settings,
    /// Start of this module's temporary names. It holds the module's name, so that two modules can
    /// share a folder.
    temporary_start: String,
}

impl ExitModule for FileExit {
    fn initialize(&mut self, hello: &Initialize) -> Result<EventMask, String> {
        let settings = Settings::read(&hello.settings)?;
        let temporary_start = format!(".exeunt.{}.", sanitized(&hello.module, Place::FileName));
        let directory = settings.directory.display();
        Folder::create(&settings.directory)
            .map_err(|err| format!("directory {directory} cannot be made: {err}"))?;
        Folder::open(&settings.directory)
            .and_then(|folder| folder.remove_leftovers(&temporary_start, TEMPORARY_END))
            .map_err(|err| format!("directory {directory} cannot be used: {err}"))?;
        self.state = Some(State { settings, temporary_start });
        Ok(EventMask(exit_event::CERT_ISSUED))
    }

    fn description(&self) -> String {
        DESCRIPTION.to_owned()
    }

    fn managed(&mut self) -> Option<&mut dyn ManageExitModule> {
        Some(self)
    }

    fn notify(&mut self, event: &Event) -> Outcome {
        let mut outcomes = self.notify_batch(std::slice::from_ref(event));
        outcomes.pop().unwrap_or_else(|| retry("nothing was done"))
    }

    fn notify_batch(&mut self, events: &[Event]) -> Vec<Outcome> {
        match &self.state {
            Some(state) => {
                events.chunks(STAGED_FILES_MAX).flat_map(|events| state.publish(events)).collect()
            }
            None => events.iter().map(|_| retry("the module has no settings yet")).collect(),
        }
    }
}

impl ManageExitModule for FileExit {
    fn manage_module(&mut self) -> Result<ManageModule, String> {
        Ok(ManageModule { settings: settings::known() })
    }

    fn property(&mut self, name: &str, _flags: u32) -> Result<Option<Value>, String> {
        let text = match name.to_ascii_lowercase().as_str() {
            "name" => "file",
            "description" => DESCRIPTION,
            "file version" | "product version" => env!("CARGO_PKG_VERSION"),
            _ => return Ok(None),
        };
        Ok(Some(Value::String(text.to_owned())))
    }

    fn set_property(&mut self, name: &str, value: &serde_json::Value) -> Result<(), String> {
        // With a folder, which no set of settings may lack.
        let mut written = serde_json::Map::from_iter([("directory".to_owned(), ".".into())]);
        written.insert(name.to_owned(), value.clone());
        Settings::read(&written).map(drop)
    }

    fn configure(
        &mut self,
        settings: &serde_json::Map<String, serde_json::Value>,
        _flags: u32,
    ) -> Result<(), String> {
        Settings::read(settings).map(drop)
    }
}

/// How far the file of one event is.
enum Step {
    /// Nothing is left to do, and the outcome is this.
    Done(Outcome),
    /// Its file is there; accepted when the folder is on the disk.
    There,
    /// It is staged.
    Staged(Staged),
}

struct Staged {
    publication: Publication,
    file: File,
    temporary: String,
    name: String,
}

/// What an event's file would replace.
enum Present {
    /// Nothing, or something that has to go.
    Replaceable,
    /// The very same.
    Same,
    /// A younger certificate.
    Younger,
    /// No certificate.
    Foreign,
}

impl State {
    /// All files are staged before the first one is forced to the disk: a journalling file system
    /// then writes most of them with the first one's force.
    fn publish(&self, events: &[Event]) -> Vec<Outcome> {
        let directory = self.settings.directory.display();
        let folder = match Folder::open(&self.settings.directory) {
            Ok(folder) => folder,
            Err(err) => {
                let outcome = retry(&format!("opening {directory}: {err}"));
                return vec![outcome; events.len()];
            }
        };
        // 1. Write each under a temporary name.
        let staged: Vec<Step> = events.iter().map(|event| self.stage(&folder, event)).collect();
        // 2. Force each to the disk and give it its name, in the order of the events.
        let named: Vec<Step> = staged
            .into_iter()
            .map(|step| match step {
                Step::Staged(staged) => self.give_name(&folder, &staged),
                other => other,
            })
            .collect();
        // 3. Force the names to the disk. Also for files that were there: the attempt that put them
        //    there may have broken off just before this.
        let synced = if named.iter().any(|it| matches!(it, Step::There)) {
            folder.sync().map_err(|err| format!("writing {directory}: {err}"))
        } else {
            Ok(())
        };
        named
            .into_iter()
            .map(|step| match (step, &synced) {
                (Step::Done(outcome), _) => outcome,
                (_, Ok(())) => Outcome::Accept,
                (_, Err(reason)) => retry(reason),
            })
            .collect()
    }

    fn stage(&self, folder: &Folder, event: &Event) -> Step {
        if event.event != exit_event::CERT_ISSUED {
            return Step::Done(Outcome::Skip);
        }
        let publication = match event.certificate.binary("RawCertificate") {
            Ok(der) => Publication::from_der(der),
            Err(err) => return Step::Done(park(err.to_string())),
        };
        let Some(publication) = publication else {
            return Step::Done(park("the certificate cannot be decoded".to_owned()));
        };
        let name = match self.settings.pattern.expand(event) {
            Ok(name) => name,
            Err(reason) => return Step::Done(park(reason)),
        };
        match self.look(folder, &name, &publication) {
            Ok(Present::Replaceable) => (),
            Ok(present) => return settled(&present, &name),
            Err(err) => return Step::Done(retry(&format!("reading {name}: {err}"))),
        }
        let id = sanitized(&event.id, Place::FileName);
        let temporary = format!("{}{id}.{}{TEMPORARY_END}", self.temporary_start, event.seq);
        let content = publication.content(self.settings.format);
        match folder.stage(&temporary, &content, self.settings.mode) {
            Ok(file) => Step::Staged(Staged { publication, file, temporary, name }),
            Err(err) => Step::Done(retry(&format!("writing {name}: {err}"))),
        }
    }

    fn give_name(&self, folder: &Folder, staged: &Staged) -> Step {
        let Staged { publication, file, temporary, name } = staged;
        // Once more, because an event of the same batch may have put a file there.
        let published = self.look(folder, name, publication).and_then(|present| {
            if matches!(present, Present::Replaceable) {
                file.sync_all()?;
                folder.publish(temporary, name)?;
            }
            Ok(present)
        });
        match published {
            Ok(Present::Replaceable) => Step::There,
            Ok(present) => {
                self.discard(folder, temporary);
                settled(&present, name)
            }
            Err(err) => {
                self.discard(folder, temporary);
                Step::Done(retry(&format!("writing {name}: {err}")))
            }
        }
    }

    fn discard(&self, folder: &Folder, temporary: &str) {
        // What cannot be removed now is removed at the next start.
        if let Err(err) = folder.remove(temporary) {
            eprintln!("removing {}: {err}", self.settings.directory.join(temporary).display());
        }
    }

    fn look(&self, folder: &Folder, name: &str, wanted: &Publication) -> io::Result<Present> {
        let content = match folder.find(name)? {
            Found::Nothing => return Ok(Present::Replaceable),
            Found::Foreign => return Ok(Present::Foreign),
            Found::File(content) => content,
        };
        if content == wanted.content(self.settings.format) {
            return Ok(Present::Same);
        }
        Ok(match Publication::from_file(&content).map(|it| it.age_order(wanted)) {
            None => Present::Foreign,
            Some(Ordering::Greater) => Present::Younger,
            // Equal: the same certificate in the other format.
            Some(Ordering::Less | Ordering::Equal) => Present::Replaceable,
        })
    }
}

fn settled(present: &Present, name: &str) -> Step {
    match present {
        Present::Replaceable | Present::Same => Step::There,
        Present::Younger => Step::Done(Outcome::Skip),
        Present::Foreign => {
            Step::Done(park(format!("{name} is there and is no certificate; it was left alone")))
        }
    }
}

fn retry(reason: &str) -> Outcome {
    Outcome::Retry { after_ms: None, reason: reason.to_owned() }
}

fn park(reason: String) -> Outcome {
    Outcome::Park { reason }
}
