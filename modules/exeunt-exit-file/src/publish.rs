//! The module itself: what happens to a batch of events, in order.

use std::{cmp::Ordering, fs::File, io};

use exeunt_module_kit::{
    Event, EventMask, ExitModule, Facts, Greeted, Initialize, MaintainExitModule, ManageExitModule,
    Outcome, Value, exit_event, manage::ManageModule, notify_as_batch,
};
use exeunt_publication::{
    outcome::{park, retry, target_retry},
    pattern::{Place, sanitized},
    time::unix_now,
};

use crate::{
    certificate::Publication,
    fault::{not_read, not_written},
    folder::{Access, Folder, Found},
    maintain::Maintenance,
    retention::{Retention, expiry_limit},
    settings::{self, Certificates, Settings},
    swap,
};

/// How many files are staged, and so open, at the same time. A process may have 1024 files open by
/// default.
const STAGED_FILES_MAX: usize = 128;

/// What the module is, in one line.
const DESCRIPTION: &str = "publishes certificates and revocation lists into a folder";

/// What the console shows of it.
const FACTS: Facts =
    Facts { name: "file", description: DESCRIPTION, version: env!("CARGO_PKG_VERSION") };

/// End of a temporary name.
const TEMPORARY_END: &str = ".tmp";

/// The exit module. It starts its work with the host's greeting.
#[derive(Debug, Default)]
pub struct FileExit {
    state: Greeted<State>,
    retention: Retention,
    maintenance: Option<Maintenance>,
}

/// What the module knows after the greeting.
#[derive(Debug)]
pub struct State {
    /// What the operator says.
    pub settings: Settings,
    /// Start of this module's temporary names. It holds the module's name, so that two modules can
    /// share a folder.
    temporary_start: String,
}

impl ExitModule for FileExit {
    fn initialize(&mut self, hello: &Initialize) -> Result<EventMask, String> {
        let state = State::new(hello)?;
        let mask = state.events();
        let directory = state.settings.directory.display();
        Folder::create(&state.settings.directory)
            .map_err(|err| format!("directory {directory} cannot be made: {err}"))?;
        Folder::open(&state.settings.directory)
            .and_then(|folder| state.clean(&folder))
            .map_err(|err| format!("directory {directory} cannot be used: {err}"))?;
        self.state.set(state);
        Ok(mask)
    }

    fn description(&self) -> String {
        DESCRIPTION.to_owned()
    }

    fn managed(&mut self) -> Option<&mut dyn ManageExitModule> {
        Some(self)
    }

    fn maintained(&mut self) -> Option<&mut dyn MaintainExitModule> {
        Some(self.maintenance.get_or_insert_default())
    }

    fn notify(&mut self, event: &Event) -> Outcome {
        notify_as_batch(self, event)
    }

    fn notify_batch(&mut self, events: &[Event]) -> Vec<Outcome> {
        let now = unix_now();
        let retention = &mut self.retention;
        self.state.notify_batch(events, |state, events| {
            let chunks = events.chunks(STAGED_FILES_MAX);
            chunks.flat_map(|events| state.publish(events, retention, now)).collect()
        })
    }
}

impl ManageExitModule for FileExit {
    fn manage_module(&mut self) -> Result<ManageModule, String> {
        Ok(ManageModule { settings: settings::known() })
    }

    fn property(&mut self, name: &str, _flags: u32) -> Result<Option<Value>, String> {
        Ok(FACTS.property(name))
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

/// How an event's file stands to what is under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Present {
    /// Nothing is there.
    Missing,
    /// Something that has to go: an older certificate, or the same in another format.
    Replaceable,
    /// The very same.
    Same,
    /// A younger certificate.
    Younger,
    /// A certificate of another CA.
    OfAnother,
    /// No certificate, or another one where only this one may stand.
    Foreign,
}

impl State {
    /// Reads the greeting.
    pub fn new(hello: &Initialize) -> Result<Self, String> {
        let settings = Settings::read(&hello.settings)?;
        let temporary_start = format!(".exeunt.{}.", sanitized(&hello.module, Place::FileName));
        let it = Self { settings, temporary_start };
        if it.events().0 == 0 {
            return Err("certificates is \"never\", and nothing else is published".to_owned());
        }
        Ok(it)
    }

    /// The events that the settings need.
    fn events(&self) -> EventMask {
        let Settings { certificates, ca_certificates, lists, keep_expired_days, .. } =
            &self.settings;
        let mut mask = 0;
        if *certificates != Certificates::Never {
            mask |= exit_event::CERT_ISSUED;
        }
        if ca_certificates.is_some() {
            // Of a CA certificate no event need tell; the next list after it does.
            mask |= exit_event::CA_CERT_ISSUED | exit_event::STARTUP | exit_event::CRL_ISSUED;
        }
        if lists.is_some() {
            mask |= exit_event::CRL_ISSUED;
        }
        if keep_expired_days.is_some() {
            mask |= exit_event::STARTUP | exit_event::CRL_ISSUED | exit_event::HEARTBEAT;
        }
        EventMask(mask)
    }

    /// Removes what attempts left that broke off, and puts in order what they had in hand.
    fn clean(&self, folder: &Folder) -> io::Result<()> {
        swap::heal(folder, &self.temporary_start)?;
        for name in folder.leftovers(&self.temporary_start, TEMPORARY_END)? {
            folder.remove_if_there(&name)?;
        }
        Ok(())
    }

    /// Gives a staged file its name, where the name still has what was seen under it.
    pub fn replace(
        &self,
        folder: &Folder,
        temporary: &str,
        name: &str,
        seen: &Found,
    ) -> io::Result<bool> {
        folder.replace(temporary, name, seen, &self.temporary_start)
    }

    /// Who may do what with the files.
    pub fn access(&self) -> Access {
        Access { mode: self.settings.mode, group: self.settings.group }
    }

    /// A name beside a file, for as long as it is not whole. `of` tells apart what one event writes.
    pub fn temporary(&self, event: &Event, of: &str) -> String {
        let id = sanitized(&event.id, Place::FileName);
        // The end of the name, because beginnings are alike.
        let of: String = sanitized(of, Place::FileName);
        let of = of.get(of.len().saturating_sub(48)..).unwrap_or_default();
        let dash = if of.is_empty() { "" } else { "-" };
        format!("{}{id}.{}{dash}{of}{TEMPORARY_END}", self.temporary_start, event.seq)
    }

    /// All files are staged before the first one is forced to the disk: a journalling file system
    /// then writes most of them with the first one's force.
    fn publish(&self, events: &[Event], retention: &mut Retention, now: i64) -> Vec<Outcome> {
        let directory = self.settings.directory.display();
        let folder = match Folder::open(&self.settings.directory) {
            Ok(folder) => folder,
            Err(err) => {
                let outcome = target_retry(format!("opening {directory}: {err}"));
                return vec![outcome; events.len()];
            }
        };
        // 1. Write each under a temporary name.
        let staged: Vec<Step> = events
            .iter()
            .map(|event| match event.event {
                exit_event::CERT_ISSUED => self.stage(&folder, event, now),
                // It comes every few seconds, and tells of nothing that the others do not: what an
                // operator has to look at would be parked by the thousand.
                exit_event::HEARTBEAT => {
                    retention.sweep(self, &folder, event, now);
                    Step::Done(Outcome::Skip)
                }
                exit_event::CRL_ISSUED | exit_event::STARTUP | exit_event::CA_CERT_ISSUED => {
                    let outcome = self.enroll(&folder, event, now);
                    retention.sweep(self, &folder, event, now);
                    Step::Done(outcome)
                }
                _ => Step::Done(Outcome::Skip),
            })
            .collect();
        // 2. Force each to the disk and give it its name, in the order of the events.
        let named: Vec<Step> = staged
            .into_iter()
            .zip(events)
            .map(|(step, event)| match step {
                Step::Staged(staged) => self.give_name(&folder, event, &staged),
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
                (_, Err(reason)) => target_retry(reason),
            })
            .collect()
    }

    /// Whether the name of a certificate's file is known to its event alone.
    pub fn is_named_by_event(&self) -> bool {
        let Settings { certificates, pattern, .. } = &self.settings;
        *certificates == Certificates::Always && pattern.is_named_by_event()
    }

    /// The certificate of an event and the name of its file; nothing where it is not to be one.
    pub fn wanted(&self, event: &Event) -> Result<Option<(Publication, String)>, String> {
        let on_request = match self.settings.certificates {
            Certificates::Always => false,
            Certificates::OnRequest if event.request_attribute("CertFile").is_ok() => true,
            Certificates::OnRequest | Certificates::Never => return Ok(None),
        };
        let der = event.certificate.binary("RawCertificate").map_err(|err| err.to_string())?;
        let publication = Publication::from_der(der).ok_or("the certificate cannot be decoded")?;
        // As in the original, the value of the attribute is nobody's concern: it would be a path
        // that the requester chooses.
        let name = match (on_request, event.context) {
            (true, 0) => return Err("the event is about no request".to_owned()),
            (true, id) => format!("{id}.cer"),
            (false, _) => self.settings.pattern.expand(event)?,
        };
        Ok(Some((publication, name)))
    }

    fn stage(&self, folder: &Folder, event: &Event, now: i64) -> Step {
        let (publication, name) = match self.wanted(event) {
            Ok(Some(wanted)) => wanted,
            Ok(None) => return Step::Done(Outcome::Skip),
            Err(why) => return Step::Done(park(why)),
        };
        let limit = self.settings.keep_expired_days.map(|days| expiry_limit(days, now));
        if limit.is_some_and(|limit| publication.expired_at(limit)) {
            return Step::Done(Outcome::Skip);
        }
        match self.look(folder, &name, &publication) {
            Ok((Present::Missing | Present::Replaceable, _)) => (),
            Ok((present, _)) => return self.settled(folder, event, present, &name, &publication),
            Err(err) => return Step::Done(not_read(&name, &err)),
        }
        let temporary = self.temporary(event, "");
        match folder.stage(&temporary, &self.content(&publication), self.access()) {
            Ok(file) => Step::Staged(Staged { publication, file, temporary, name }),
            Err(err) => Step::Done(not_written(&name, &err)),
        }
    }

    fn give_name(&self, folder: &Folder, event: &Event, staged: &Staged) -> Step {
        let Staged { publication, file, temporary, name } = staged;
        // Once more, because an event of the same batch may have put a file there.
        let published = self.look(folder, name, publication).and_then(|(present, seen)| {
            if !matches!(present, Present::Missing | Present::Replaceable) {
                return Ok(Some(present));
            }
            file.sync_all()?;
            Ok(self.replace(folder, temporary, name, &seen)?.then_some(present))
        });
        match published {
            Ok(Some(Present::Missing | Present::Replaceable)) => {
                self.settled(folder, event, Present::Same, name, publication)
            }
            Ok(Some(present)) => {
                self.discard(folder, temporary);
                self.settled(folder, event, present, name, publication)
            }
            Ok(None) => {
                self.discard(folder, temporary);
                Step::Done(retry(format!("{name} is being changed by somebody else")))
            }
            Err(err) => {
                self.discard(folder, temporary);
                Step::Done(not_written(name, &err))
            }
        }
    }

    /// Removes a staged file that is of no use.
    pub fn discard(&self, folder: &Folder, temporary: &str) {
        // What cannot be removed now is removed at the next start.
        if let Err(err) = folder.remove(temporary)
            && err.kind() != io::ErrorKind::NotFound
        {
            eprintln!("removing {}: {err}", self.settings.directory.join(temporary).display());
        }
    }

    /// What is written into a certificate's file.
    pub fn content(&self, publication: &Publication) -> Vec<u8> {
        publication.content(match self.settings.certificates {
            Certificates::OnRequest => settings::Format::Der,
            Certificates::Always | Certificates::Never => self.settings.format,
        })
    }

    /// How a certificate stands to what is under its name, and what that is.
    pub fn look(
        &self,
        folder: &Folder,
        name: &str,
        wanted: &Publication,
    ) -> io::Result<(Present, Found)> {
        let found = folder.find(name)?;
        let present = match &found {
            Found::Nothing => Present::Missing,
            Found::Foreign => Present::Foreign,
            Found::File(content) if *content == self.content(wanted) => Present::Same,
            // The original makes the file or fails; a second delivery is the one exception.
            Found::File(_) if self.settings.certificates == Certificates::OnRequest => {
                Present::Foreign
            }
            Found::File(content) => match Publication::from_file(content) {
                None => Present::Foreign,
                Some(there) if !there.has_issuer_of(wanted) => Present::OfAnother,
                Some(there) if there.age_order(wanted) == Ordering::Greater => Present::Younger,
                // Also the same certificate in the other format.
                Some(_) => Present::Replaceable,
            },
        };
        Ok((present, found))
    }

    fn settled(
        &self,
        folder: &Folder,
        event: &Event,
        present: Present,
        name: &str,
        publication: &Publication,
    ) -> Step {
        match present {
            Present::Missing | Present::Replaceable | Present::Same => {
                match self.point_latest(folder, event, name, publication) {
                    Ok(()) => Step::There,
                    Err(outcome) => Step::Done(outcome),
                }
            }
            Present::Younger => Step::Done(Outcome::Skip),
            Present::Foreign if self.settings.certificates == Certificates::OnRequest => {
                Step::Done(park(format!("{name} is there and is another file; it was left alone")))
            }
            Present::Foreign => Step::Done(park(format!(
                "{name} is there and is no certificate; it was left alone"
            ))),
            Present::OfAnother => Step::Done(park(format!(
                "{name} is there and is a certificate of another CA; it was left alone"
            ))),
        }
    }

    /// Writes the certificate of an event by itself, as the events would.
    pub fn write_certificate(
        &self,
        folder: &Folder,
        event: &Event,
        now: i64,
    ) -> Result<(), String> {
        let step = match self.stage(folder, event, now) {
            Step::Staged(staged) => self.give_name(folder, event, &staged),
            other => other,
        };
        match step {
            Step::There | Step::Done(Outcome::Accept | Outcome::Skip) => {
                folder.sync().map_err(|err| err.to_string())
            }
            Step::Done(
                Outcome::Retry { reason, .. }
                | Outcome::TargetDown { reason, .. }
                | Outcome::Park { reason },
            ) => Err(reason),
            _ => Err("nothing was done".to_owned()),
        }
    }
}
