//! Whether the folder can be used, and whether it holds what the CA holds.

use std::collections::BTreeSet;

use exeunt_module_kit::{
    Event, Greeted, Initialize, MaintainExitModule, Outcome, exit_event,
    maintain::{Check, Compared, Difference, Finding, TestReport},
};
use exeunt_publication::{
    authority::{Authority, authorities},
    certificate::Certificate,
    list::{LIST_BYTES_MAX, Standing},
    time::unix_now,
};

use crate::{
    certificate::Publication,
    enroll::{Item, Items},
    folder::Folder,
    latest::Leads,
    publish::{Present, State},
    retention::{SWEPT_FILES_MAX, certificate_in, expiry_limit, is_ours, is_over, remove_links_to},
};

/// Free room below which the folder is worth a look, in bytes and in files.
const ROOM_BYTES_MIN: u64 = 16 * 1024 * 1024;
const ROOM_FILES_MIN: u64 = 1000;

/// The part of the module that looks after its folder.
#[derive(Debug, Default)]
pub struct Maintenance {
    state: Greeted<State>,
    /// The CA, as soon as an event tells of it.
    authorities: Vec<Authority>,
    /// SHA-256 of the certificates that are in the folder; looked at where no name leads to them.
    found: Option<BTreeSet<[u8; 32]>>,
    /// SHA-256 of the certificates that the CA holds.
    told: BTreeSet<[u8; 32]>,
    /// Names that were compared, and are the CA's own.
    compared: BTreeSet<String>,
    /// Links that were found to be wrong. They are told of once.
    links: BTreeSet<String>,
    /// The last name that was looked at in the end.
    after: Option<String>,
}

impl MaintainExitModule for Maintenance {
    fn begin(&mut self, hello: &Initialize) -> Result<(), String> {
        let state = State::new(hello)?;
        *self = Self::default();
        self.state.set(state);
        Ok(())
    }

    fn test(&mut self, samples: &[Event]) -> Result<TestReport, String> {
        let state = self.state.get()?;
        let directory = state.settings.directory.display();
        let mut checks = Vec::new();
        match Folder::open(&state.settings.directory) {
            Ok(folder) => try_folder(state, &folder, &mut checks),
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => {
                checks.push(Check::warning(
                    format!("open {directory}"),
                    "it is not there; it is made at the start, the folder around it is not",
                ));
            }
            Err(err) => {
                checks.push(Check::failed(format!("open {directory}"), err.to_string()));
            }
        }
        let mut would_write: Vec<String> =
            samples.iter().flat_map(|event| would_write(state, event)).collect();
        // Several events tell of the same thing.
        let mut seen = BTreeSet::new();
        would_write.retain(|line| seen.insert(line.clone()));
        Ok(TestReport { checks, would_write })
    }

    fn reconcile(&mut self, events: &[Event], mend: bool) -> Result<Compared, String> {
        let now = unix_now();
        let Self { state, authorities: known, told, compared, found, links, .. } = self;
        let state = state.get()?;
        let folder = open(state)?;
        if state.is_named_by_event() && found.is_none() {
            let names = folder.names().map_err(|err| err.to_string())?;
            let certificates = names.iter().filter_map(|it| certificate_in(&folder, it));
            *found = Some(certificates.map(|it| it.sha256()).collect());
        }
        let mut sum = Compared::default();
        for event in events {
            if known.is_empty() {
                *known = authorities(&event.system)?;
            }
            let certificate = event.certificate.binary("RawCertificate").ok();
            let certificate = certificate.and_then(|it| Certificate::from_der(it).ok());
            let sha256 = certificate.map(|it| it.sha256());
            told.extend(sha256);
            match event.event {
                exit_event::CERT_ISSUED | exit_event::CERT_REVOKED | exit_event::CERT_UNREVOKED
                    if let (Some(found), Some(sha256)) = (&*found, sha256) =>
                {
                    if found.contains(&sha256) {
                        sum.good += 1;
                    } else {
                        sum.findings.push(not_found(state, event));
                    }
                }
                exit_event::CERT_ISSUED | exit_event::CERT_REVOKED | exit_event::CERT_UNREVOKED => {
                    compare_certificate(state, &folder, event, mend, now, &mut sum);
                    compare_link(state, &folder, event, mend, now, links, &mut sum);
                }
                exit_event::CRL_ISSUED | exit_event::CA_CERT_ISSUED => {
                    let Items { all, never, later } = state.items(event)?;
                    for why in never.into_iter().chain(later) {
                        let place = state.settings.directory.display().to_string();
                        let finding = Finding::new(Difference::Unknown, place, "");
                        sum.findings.push(Finding { error: Some(why), ..finding });
                    }
                    for item in all {
                        if compared.insert(item.name.clone()) {
                            compare_item(state, &folder, event, &item, mend, now, &mut sum);
                        }
                    }
                }
                _ => sum.good += 1,
            }
        }
        Ok(sum)
    }

    fn reconcile_end(&mut self, mend: bool) -> Result<Compared, String> {
        let now = unix_now();
        let Self { state, authorities, told, compared, after, .. } = self;
        let state = state.get()?;
        let folder = open(state)?;
        let limit = state.settings.keep_expired_days.map(|days| expiry_limit(days, now));
        let names = folder.names().map_err(|err| err.to_string())?;
        let next = |name: &&String| after.as_ref().is_none_or(|after| after < *name);
        let piece: Vec<&String> = names.iter().filter(next).take(SWEPT_FILES_MAX).collect();
        let mut sum = Compared::default();
        let mut gone = BTreeSet::new();
        for name in &piece {
            if compared.contains(*name) {
                continue;
            }
            let Some(certificate) = certificate_in(&folder, name) else { continue };
            let over = limit.is_some_and(|limit| is_over(&certificate, authorities, limit));
            // What the CA holds may stand here under another name too: another module's.
            let unknown = !told.contains(&certificate.sha256());
            let surplus = over || (unknown && is_ours(&certificate, authorities));
            if !surplus {
                continue;
            }
            // What this module was not told of may be another module's, or be left from before the CA
            // was restored: it is for a person to remove.
            let why = if over {
                "expired long ago"
            } else {
                "this module was not told of it; left alone"
            };
            let text = format!("certificate {}: {why}", certificate.serial());
            let place = state.settings.directory.join(name).display().to_string();
            let mut finding = Finding::new(Difference::Surplus, place, text);
            if mend && over {
                let removed = folder.remove(name).map_err(|err| err.to_string());
                if removed.is_ok() {
                    gone.insert(name.as_str());
                }
                finding = finding.mended(removed);
            }
            sum.findings.push(finding);
        }
        remove_links_to(&folder, &names, &gone);
        sum.more = piece.len() == SWEPT_FILES_MAX;
        *after = piece.last().filter(|_| sum.more).map(|it| (*it).clone());
        if mend {
            folder.sync().map_err(|err| err.to_string())?;
        }
        Ok(sum)
    }
}

fn open(state: &State) -> Result<Folder, String> {
    let directory = &state.settings.directory;
    Folder::open(directory).map_err(|err| format!("opening {}: {err}", directory.display()))
}

fn try_folder(state: &State, folder: &Folder, checks: &mut Vec<Check>) {
    let directory = state.settings.directory.display();
    checks.push(Check::passed(format!("open {directory}"), ""));
    let what = "write into it";
    checks.push(match folder.is_writable() {
        Ok(()) => Check::passed(what, ""),
        Err(err) => Check::failed(what, format!("{err}; give the server's account the right to")),
    });
    let what = "room";
    checks.push(match folder.room() {
        Ok((0, _) | (_, 0)) => Check::failed(what, "the file system is full"),
        Ok((bytes, files)) if bytes < ROOM_BYTES_MIN || files < ROOM_FILES_MIN => {
            Check::warning(what, format!("{} KiB and {files} files are left", bytes / 1024))
        }
        Ok(_) => Check::passed(what, ""),
        Err(err) => Check::warning(what, err.to_string()),
    });
}

/// What the module would write for an event, a line each.
fn would_write(state: &State, event: &Event) -> Vec<String> {
    let directory = &state.settings.directory;
    let path = |name: &str| directory.join(name).display().to_string();
    match event.event {
        exit_event::CERT_ISSUED => match state.wanted(event) {
            Ok(Some(_)) if state.is_named_by_event() => {
                vec![format!("{}: {}, named by its event", directory.display(), in_words(event))]
            }
            Ok(Some((_, name))) => vec![format!("{}: {}", path(&name), in_words(event))],
            Ok(None) => Vec::new(),
            Err(why) => vec![format!("nothing: {why}")],
        },
        exit_event::CRL_ISSUED | exit_event::CA_CERT_ISSUED | exit_event::STARTUP => {
            match state.items(event) {
                Ok(Items { all, .. }) => {
                    all.iter().map(|it| format!("{}: {}", path(&it.name), it.text)).collect()
                }
                Err(why) => vec![format!("nothing: {why}")],
            }
        }
        _ => Vec::new(),
    }
}

/// A certificate in words: by its serial number and its request.
fn in_words(event: &Event) -> String {
    let serial = event.certificate.string("SerialNumber").unwrap_or_default();
    format!("certificate {serial} of request {}", event.context)
}

/// A certificate that is missing, and whose name only its event knows.
fn not_found(state: &State, event: &Event) -> Finding {
    let why = "its file is named by {event_id}, which only the event knows: `exeunt exit replay` \
               publishes it again";
    let place = state.settings.directory.display().to_string();
    let finding = Finding::new(Difference::Missing, place, in_words(event));
    Finding { error: Some(why.to_owned()), ..finding }
}

fn compare_certificate(
    state: &State,
    folder: &Folder,
    event: &Event,
    mend: bool,
    now: i64,
    sum: &mut Compared,
) {
    let text = in_words(event);
    let unknown = |place: String, why: String| Finding {
        error: Some(why),
        ..Finding::new(Difference::Unknown, place, text.clone())
    };
    let directory = &state.settings.directory;
    let (publication, name) = match state.wanted(event) {
        Ok(Some(wanted)) => wanted,
        Ok(None) => return sum.good += 1,
        Err(why) => {
            return sum.findings.push(unknown(directory.display().to_string(), why));
        }
    };
    let place = directory.join(&name).display().to_string();
    let limit = state.settings.keep_expired_days.map(|days| expiry_limit(days, now));
    // The end tells of what should be gone.
    if limit.is_some_and(|limit| publication.expired_at(limit)) {
        return sum.good += 1;
    }
    let difference = match state.look(folder, &name, &publication) {
        Ok((Present::Same | Present::Younger, _)) => return sum.good += 1,
        Ok((Present::Missing, _)) => Difference::Missing,
        Ok((Present::Replaceable, _)) => Difference::Stale,
        Ok((Present::Foreign | Present::OfAnother, _)) => Difference::Foreign,
        Err(err) => return sum.findings.push(unknown(place, err.to_string())),
    };
    let mut finding = Finding::new(difference, place, text);
    if mend && difference != Difference::Foreign {
        finding = finding.mended(write_certificate(state, folder, event, &publication, now));
    }
    sum.findings.push(finding);
}

/// Where the file of a certificate is in order, so should be the link to the newest one.
fn compare_link(
    state: &State,
    folder: &Folder,
    event: &Event,
    mend: bool,
    now: i64,
    links: &mut BTreeSet<String>,
    sum: &mut Compared,
) {
    let (Ok(Some((publication, name))), Ok(Some(link))) =
        (state.wanted(event), state.latest_name(event))
    else {
        return;
    };
    let limit = state.settings.keep_expired_days.map(|days| expiry_limit(days, now));
    let is_there = matches!(state.look(folder, &name, &publication), Ok((Present::Same, _)));
    if !is_there || limit.is_some_and(|limit| publication.expired_at(limit)) {
        return;
    }
    let difference = match State::leads(folder, &link, event, &name, &publication) {
        Ok(Leads::Right) => return,
        Ok(Leads::Missing) => Difference::Missing,
        Ok(Leads::Stale) => Difference::Stale,
        Ok(Leads::Foreign) => Difference::Foreign,
        Err(_) => Difference::Unknown,
    };
    let is_ours = matches!(difference, Difference::Missing | Difference::Stale);
    let mended = (mend && is_ours).then(|| {
        state.point_latest(folder, event, &name, &publication).map_err(|outcome| match outcome {
            Outcome::Retry { reason, .. }
            | Outcome::TargetDown { reason, .. }
            | Outcome::Park { reason } => reason,
            _ => "nothing was done".to_owned(),
        })
    });
    // Each younger certificate finds it wrong again.
    if links.insert(link.clone()) {
        let place = state.settings.directory.join(&link).display().to_string();
        let finding = Finding::new(difference, place, format!("link to {}", in_words(event)));
        sum.findings.push(match mended {
            Some(result) => finding.mended(result),
            None => finding,
        });
    }
}

/// As a file of an issued certificate, whatever has become of it since.
fn write_certificate(
    state: &State,
    folder: &Folder,
    event: &Event,
    publication: &Publication,
    now: i64,
) -> Result<(), String> {
    state.write_certificate(folder, event, now)?;
    let (_, name) = state.wanted(event)?.ok_or("nothing was to be written")?;
    match state.look(folder, &name, publication) {
        Ok((Present::Same | Present::Younger, _)) => Ok(()),
        Ok(_) => Err("it is not what was written: somebody changed it".to_owned()),
        Err(err) => Err(err.to_string()),
    }
}

fn compare_item(
    state: &State,
    folder: &Folder,
    event: &Event,
    item: &Item,
    mend: bool,
    now: i64,
    sum: &mut Compared,
) {
    let place = state.settings.directory.join(&item.name).display().to_string();
    let found = folder.find_up_to(&item.name, u64::try_from(LIST_BYTES_MAX).unwrap_or(u64::MAX));
    let (difference, text) = match found.map(|it| item.thing.standing(&it, now)) {
        // A newer one is there than this process was told of; an expired one nobody misses.
        Ok(Standing::Same | Standing::Superseded { .. } | Standing::Expired) => {
            return sum.good += 1;
        }
        Ok(Standing::Missing) => (Difference::Missing, item.text.clone()),
        Ok(Standing::Newer { .. }) => (Difference::Stale, item.text.clone()),
        Ok(Standing::Foreign { why }) => (Difference::Foreign, format!("{}: {why}", item.text)),
        Err(err) => {
            let finding = Finding::new(Difference::Unknown, place, item.text.clone());
            return sum.findings.push(Finding { error: Some(err.to_string()), ..finding });
        }
    };
    let mut finding = Finding::new(difference, place, text);
    if mend && difference != Difference::Foreign {
        finding = finding.mended(state.write_item(folder, event, item, now));
    }
    sum.findings.push(finding);
}
