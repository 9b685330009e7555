//! `exeunt backup`, `verify-backup` and `restore`.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use exeunt_api::{BACKUPS_PATH, BackupNoted, BackupOrder};
use exeunt_http::rfc3339;
use exeunt_store::{AuditEntry, Contents, Restored, Store, StoreError};
use exeunt_types::UnixMillis;
use reqwest::Method;
use serde::Serialize;

use crate::backup::archive::{self, Content, Opened};
use crate::backup::manifest::{BACKUP_FORMAT, Manifest, Part};
use crate::backup::partial::{Partial, around, sync_folder};
use crate::backup::{damaged, not_read, not_written, parts, passphrase};
use crate::cli::{Backup, BackupPassphrase, Restore, VerifyBackup};
use crate::client::ApiClient;
use crate::clock::now;
use crate::config::Config;
use crate::failure::Failure;
use crate::home::Home;
use crate::output;

/// The store's place in a backup, and in a home.
const STORE: &str = "exeunt.db";
/// Checkpoints of the audit trail that are read at once.
const CHECKPOINTS_PAGE_ROWS: usize = 256;
/// Folder of the revocation lists in a backup, and in a home.
const LISTS: &str = "crls";
/// `exeunt backup`.
pub fn backup(options: &Backup) -> Result<u8, Failure> {
    let Backup { out, home, no_keys, passphrase: from, json } = options;
    let home = Home::at(home)?;
    if !home.exists() {
        return Err(home.missing(format!("there is no CA in {}", home.path().display())));
    }
    if out.symlink_metadata().is_ok() {
        let message = format!("{} exists already", out.display());
        return Err(Failure::new("backup-exists", message).hint("choose another name"));
    }
    let passphrase = passphrase(from)?;
    if !no_keys && passphrase.is_none() {
        return Err(Failure::usage("backup-passphrase-missing", "a backup with keys is sealed")
            .hint("give --passphrase-file FILE or --passphrase-env NAME")
            .hint("or leave the keys out, if there are copies of them elsewhere: --no-keys"));
    }
    check_store(&home)?;
    let partial = Partial::beside(out)?;
    Audit::of(&home, out)?.note("backup-start", &home)?;
    let work = || take(&home, &partial, !no_keys, passphrase.as_ref());
    let manifest = output::with_progress("taking the backup", work)?;
    partial.publish("archive", out).map_err(|err| not_written(out, &err))?;
    drop(partial);
    // Asked again: a server may have started or stopped meanwhile.
    let noted = Audit::of(&home, out).and_then(|it| it.note("backup-end", &home));
    noted.map_err(|failure| {
        failure.hint(format!("the backup is whole, in {}; its end is not audited", out.display()))
    })?;
    if *json {
        output::json(&manifest)?;
        return Ok(0);
    }
    output::line(&format!("The backup is in {}.", out.display()))?;
    show(&manifest, &[])?;
    output::line("Keep it and the passphrases in different places. Look whether it is good:")?;
    output::line(&format!("  exeunt verify-backup {}{}", out.display(), same_words(from)))?;
    Ok(0)
}

/// The options that name a passphrase, as they were typed.
fn same_words(from: &BackupPassphrase) -> String {
    match (&from.passphrase_file, &from.passphrase_env) {
        (Some(file), _) => format!(" --passphrase-file {}", file.display()),
        (None, Some(name)) => format!(" --passphrase-env {name}"),
        (None, None) => String::new(),
    }
}

/// A store of an older version is not migrated for a backup, and one of a newer is not read.
fn check_store(home: &Home) -> Result<(), Failure> {
    match Store::open_read_only(&home.store_path()) {
        Ok(_) => Ok(()),
        Err(err @ StoreError::Older { .. }) => Err(store_failure(&err).hint(
            "use the version of exeunt that wrote it, or start the server once to migrate it",
        )),
        Err(err) => Err(store_failure(&err)),
    }
}

fn store_failure(err: &StoreError) -> Failure {
    Failure::from_error(err.code(), err)
}

/// Takes everything into `archive` in the folder.
fn take(
    home: &Home,
    partial: &Partial,
    keys: bool,
    passphrase: Option<&exeunt_keys::Passphrase>,
) -> Result<Manifest, Failure> {
    let copy = partial.path(STORE);
    let taken = now();
    let contents = Store::copy(&home.store_path(), &copy).map_err(|err| store_failure(&err))?;
    // A command that renews the CA writes several files, which belong together.
    let held = home.hold_when_free()?;
    let text =
        Config::read(&home.config_path()).map_err(|err| Failure::from_error(err.code(), &err))?;
    let config = home.config()?;
    let chosen = parts::choose(home, &text, keys)?;
    drop(held);
    let mut left_out = chosen.left_out;
    let mut all: Vec<(Part, Content)> = Vec::new();
    let mut add = |path: String, mode: u32, content: Content| {
        content.part(&path, mode).map(|part| all.push((part, content)))
    };
    for parts::Named { path, mode, octets } in chosen.named {
        add(path, mode, Content::Octets(octets))?;
    }
    // Copied first: the server removes a list when a newer one has taken its place.
    for (record, path) in parts::lists(home, &copy)? {
        let name = record.file_name();
        let staged = partial.path(&name);
        match fs::copy(&path, &staged) {
            Ok(_) => add(format!("{LISTS}/{name}"), 0o600, Content::File(staged))?,
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                let why = "it is not there".to_owned();
                left_out.push(crate::backup::manifest::LeftOut { path: path_text(&path), why });
            }
            Err(err) => return Err(not_read(&path, &err)),
        }
    }
    add(STORE.to_owned(), 0o600, Content::File(copy))?;
    let (parts, sources): (Vec<Part>, Vec<Content>) = all.into_iter().unzip();
    let manifest = Manifest {
        format: BACKUP_FORMAT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        ca: config.name,
        taken: rfc3339(taken),
        taken_unix_ms: taken.0,
        store_id: contents.store_id,
        schema: contents.schema,
        last_event: contents.last_event.0,
        last_request: contents.last_request.0,
        crl_number: contents.crl_number.0,
        certificates: contents.certificates,
        keys,
        left_out,
        parts,
    };
    archive::write(&partial.path("archive"), &manifest, &sources, passphrase)?;
    Ok(manifest)
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Who writes the audit trail: the server where one runs, else this command.
enum Audit {
    Server(Box<ApiClient>, BackupOrder),
    Command(String),
}

impl Audit {
    fn of(home: &Home, out: &Path) -> Result<Self, Failure> {
        let file = std::path::absolute(out).unwrap_or_else(|_| out.to_owned());
        let file = path_text(&file);
        match ApiClient::local(home) {
            Ok(client) => {
                Ok(Self::Server(Box::new(client), BackupOrder { action: String::new(), file }))
            }
            Err(failure) if failure.code == "server-not-running" => Ok(Self::Command(file)),
            Err(failure) => Err(failure),
        }
    }

    /// What cannot be audited is not done.
    fn note(&self, action: &str, home: &Home) -> Result<(), Failure> {
        match self {
            Self::Server(client, order) => {
                let order = BackupOrder { action: action.to_owned(), ..order.clone() };
                let noted: Result<BackupNoted, Failure> =
                    client.change(Method::POST, BACKUPS_PATH, &[], Some(&order));
                noted.map(|_| ())
            }
            Self::Command(file) => {
                let entry = entry(now(), action, file, String::new());
                let noted = Store::open(&home.store_path()).and_then(|it| it.audit(entry));
                noted.map(|_| ()).map_err(|err| {
                    store_failure(&err).hint("if a server is just starting or stopping, try again")
                })
            }
        }
    }
}

fn entry(at: UnixMillis, action: &str, file: &str, detail: String) -> AuditEntry {
    // As a server names whoever comes through its socket.
    let actor = format!("local:{}", rustix::process::geteuid().as_raw());
    AuditEntry::new(at, actor, action, format!("file:{file}")).detail(detail)
}

/// `exeunt verify-backup`.
pub fn verify(options: &VerifyBackup) -> Result<u8, Failure> {
    let VerifyBackup { file, passphrase: from, json } = options;
    let passphrase = passphrase(from)?;
    let scratch = tempfile::Builder::new()
        .prefix("exeunt-verify-")
        .tempdir()
        .map_err(|err| not_written(&std::env::temp_dir(), &err))?;
    let store = scratch.path().join(STORE);
    let work = || -> Result<(Manifest, bool), Failure> {
        let opened = Opened::open(file, passphrase.as_ref())?;
        let sealed = opened.sealed;
        // Nothing but the store is written anywhere, and no secret.
        let manifest = opened.read(|part| match part.path.as_str() {
            STORE => create(&store, 0o600).map(|it| Some((store.clone(), it))),
            _ => Ok(None),
        })?;
        check_copy(file, &store, &manifest)?;
        Ok((manifest, sealed))
    };
    let (manifest, sealed) = output::with_progress("checking the backup", work)?;
    if *json {
        output::json(&manifest)?;
        return Ok(0);
    }
    let sealed = if sealed { "sealed with a passphrase" } else { "not sealed" };
    output::line(&format!("{} is good, and {sealed}.", file.display()))?;
    show(&manifest, &[])?;
    for part in &manifest.parts {
        output::line(&format!("  {:>12}  {}", part.length, crate::failure::plain(&part.path)))?;
    }
    Ok(0)
}

/// Checks the store that came out of a backup, and that it is the one that the manifest speaks of.
fn check_copy(file: &Path, store: &Path, manifest: &Manifest) -> Result<Contents, Failure> {
    let contents = Store::inspect(store).map_err(|err| match err {
        StoreError::Newer { .. } => store_failure(&err),
        _ => damaged(file, crate::failure::chain(&err)),
    })?;
    let same = contents.store_id == manifest.store_id
        && contents.schema == manifest.schema
        && contents.last_event.0 == manifest.last_event
        && contents.last_request.0 == manifest.last_request
        && contents.crl_number.0 == manifest.crl_number;
    if same { Ok(contents) } else { Err(damaged(file, "its store is another one than it says")) }
}

/// What came of a restore, for programs.
#[derive(Debug, Serialize)]
struct Report {
    home: String,
    backup: Manifest,
    /// The event that tells of the restore; later ones have numbers after it.
    event: u64,
    /// Later requests have numbers after this one.
    request: u64,
    /// Later revocation lists have numbers after this one.
    crl_number: u64,
    /// Files that the configuration names and that have to be put back by hand.
    missing: Vec<String>,
}

/// `exeunt restore`.
pub fn restore(options: &Restore) -> Result<u8, Failure> {
    let Restore { file, home, passphrase: from, json } = options;
    // What is made on the way lies beside it, not in it: `ca/` is `ca`.
    let home = Home::at(&home.components().collect::<PathBuf>())?;
    let target = home.path();
    let is_free = match fs::read_dir(target) {
        Ok(mut entries) => entries.next().is_none(),
        Err(err) => err.kind() == io::ErrorKind::NotFound,
    };
    if !is_free {
        let message = format!("{} is no empty folder", target.display());
        return Err(Failure::new("restore-not-empty", message)
            .hint("a CA is restored into a folder of its own: choose another one with --home"));
    }
    let passphrase = passphrase(from)?;
    let opened =
        output::with_progress("trying the passphrase", || Opened::open(file, passphrase.as_ref()))?;
    let partial = Partial::beside(target)?;
    let work = || unpack(file, opened, &partial);
    let (manifest, restored) = output::with_progress("restoring the CA", work)?;
    partial.publish("home", target).map_err(|err| not_written(target, &err))?;
    drop(partial);
    let missing = missing(&home)?;
    let Restored { event, request, crl_number, .. } = restored;
    if *json {
        let report = Report {
            home: path_text(target),
            backup: manifest,
            event: event.0,
            request: request.0,
            crl_number: crl_number.0,
            missing,
        };
        output::json(&report)?;
        return Ok(0);
    }
    output::line(&format!("The CA {:?} is restored in {}.", manifest.ca, target.display()))?;
    show(&manifest, &missing)?;
    output::fields(&[
        ("Next event", event.next().to_string()),
        ("Next request", (request.0 + 1).to_string()),
        ("Next revocation list", (crl_number.0 + 1).to_string()),
    ])?;
    for path in &missing {
        output::line(&format!("Put back by hand: {}", crate::failure::plain(path)))?;
    }
    warn(&manifest)?;
    Ok(0)
}

/// What nobody may overlook.
fn warn(manifest: &Manifest) -> Result<(), Failure> {
    let taken = &manifest.taken;
    output::line("WARNING: never start this CA while the one that the backup was taken of runs,")?;
    output::line("or may be started again: two would give out the same numbers.")?;
    output::line(&format!("What happened after {taken} is unknown to it:"))?;
    output::line(
        "  certificates issued since are valid, and OCSP does not know them: bring them back",
    )?;
    output::line("  with exeunt cert import;")?;
    output::line(
        "  revocations since are forgotten: revoke them again, from the last revocation list",
    )?;
    output::line("  that was published (exeunt crl show FILE), before a new list replaces it.")
}

/// Unpacks everything into `home` in the folder, checks it, and has the store go on.
fn unpack(file: &Path, opened: Opened, partial: &Partial) -> Result<(Manifest, Restored), Failure> {
    let started = now();
    let root = partial.path("home");
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    let mut folders = vec![root.clone()];
    builder.create(&root).map_err(|err| not_written(&root, &err))?;
    let manifest = opened.read(|part| {
        let path = root.join(&part.path);
        let folder = around(&path);
        if !folders.iter().any(|it| it == folder) {
            builder.create(folder).map_err(|err| not_written(folder, &err))?;
            // With those that it is in: their names are to be on the disk as well.
            let up_to_root = folder.ancestors().take_while(|it| **it != root);
            folders.extend(up_to_root.map(Path::to_owned));
        }
        create(&path, part.safe_mode()).map(|it| Some((path, it)))
    })?;
    let unpacked = Home::at(&root)?;
    if !unpacked.lock_path().exists() {
        create(&unpacked.lock_path(), 0o600)?;
    }
    let path = unpacked.store_path();
    check_copy(file, &path, &manifest)?;
    let restored = go_on(file, &path, &manifest, started)?;
    folders.extend(restore_checkpoints(&unpacked, &path)?);
    for folder in &folders {
        sync_folder(folder).map_err(|err| not_written(folder, &err))?;
    }
    Ok((manifest, restored))
}

/// Has the store know that it was restored.
fn go_on(
    file: &Path,
    path: &Path,
    manifest: &Manifest,
    started: UnixMillis,
) -> Result<Restored, Failure> {
    let failed = |err: StoreError| store_failure(&err);
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let detail = format!("taken {}, last event {}", manifest.taken, manifest.last_event);
    let begun = entry(started, "restore-start", &path_text(&file), detail.clone());
    let ended = entry(now(), "restore-end", &path_text(&file), detail);
    let told = [("Taken".to_owned(), manifest.taken.clone())];
    let store = Store::open(path).map_err(failed)?;
    let taken = UnixMillis(manifest.taken_unix_ms);
    store.mark_restored(taken, now(), &told, vec![begun, ended]).map_err(failed)
}

/// The checkpoints of the audit trail that the store has, in their file: the trail goes on from there.
fn restore_checkpoints(home: &Home, store: &Path) -> Result<Option<PathBuf>, Failure> {
    let store = Store::open_read_only(store).map_err(|err| store_failure(&err))?;
    let file = home.checkpoints();
    let mut after = 0;
    loop {
        let page = store.audit_checkpoints(after, CHECKPOINTS_PAGE_ROWS);
        let page = page.map_err(|err| store_failure(&err))?;
        let Some(last) = page.last() else { break };
        after = last.number;
        let all = page.iter().map(|it| it.signed.as_slice());
        file.append_all(all).map_err(|err| Failure::from_error(err.code(), &err))?;
    }
    Ok(file.path().parent().filter(|it| it.is_dir()).map(Path::to_owned))
}

fn create(path: &Path, mode: u32) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    options.open(path).map_err(|err| not_written(path, &err))
}

/// Files that the restored configuration names and that are not there.
fn missing(home: &Home) -> Result<Vec<String>, Failure> {
    let text =
        Config::read(&home.config_path()).map_err(|err| Failure::from_error(err.code(), &err))?;
    parts::missing(home, &text)
}

/// What is in it, and what is not but for what is `told` elsewhere.
fn show(manifest: &Manifest, told: &[String]) -> Result<(), Failure> {
    // A key in a token is in no backup.
    let keys = if manifest.keys { "in it, as far as they are in files" } else { "not in it" };
    let total: u64 = manifest.parts.iter().map(|it| it.length).sum();
    output::fields(&[
        ("CA", manifest.ca.clone()),
        ("Taken", manifest.taken.clone()),
        ("Certificates", manifest.certificates.to_string()),
        ("Last request", manifest.last_request.to_string()),
        ("Last event", manifest.last_event.to_string()),
        ("Last revocation list", manifest.crl_number.to_string()),
        ("Keys", keys.to_owned()),
        ("Files", format!("{}, {total} bytes", manifest.parts.len())),
    ])?;
    for left in manifest.left_out.iter().filter(|it| !told.contains(&it.path)) {
        let path = crate::failure::plain(&left.path);
        output::line(&format!("Not in it: {path}: {}", left.why))?;
    }
    Ok(())
}
