//! The life of the modules while the server runs: edits `exeunt.toml` and drives the dispatcher.
//!
//! Every change has the same steps: the new text is checked as a whole, the audit trail is written,
//! the file is replaced, the dispatcher is told. Where the dispatcher refuses, the old text is put
//! back. One change at a time.

mod ask;
mod edit;
mod error;
mod file;
mod maintain;
mod orders;
mod people;
mod policy;
mod start;
mod view;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use exeunt_api::{
    Deliveries, ExitChanged, ExitDetail, ExitList, ExitRemoved, ExitSettings, ExitStart,
    Explanation, HeldEvent, HeldState, KnownSettings, MaintenanceOrder, MaintenanceRun, NewExit,
    PAGE_ROWS_MAX, PolicyOrder, PolicySettings, PolicyStatus, Reloaded,
};
use exeunt_dispatch::{Dispatcher, ExitState};
use exeunt_http::{Access, Change, Changed, Exits, Refusal, WhichHeld};
use exeunt_store::{AuditEntry, CursorRow, Store};
use exeunt_types::{EventSeq, ExitName, RequestId, StartAt};

use crate::clock::now;
use crate::config::{Config, ExitConfig};
use crate::failure::chain;
use crate::home::Home;
use crate::launch::Launcher;
use crate::policy::PolicyKeeper;
pub use edit::add_renewal;
pub use error::ManageError;
pub use file::ConfigFile;
use maintain::Runs;
pub use people::{at_start as principals_at_start, list as principal_list};
use start::{Made, START_WAIT_MAX};

/// The dispatcher while the server runs; nothing once it has stopped.
pub type SharedDispatcher = Arc<RwLock<Option<Dispatcher>>>;

/// Most events of one request that are explained; a request has a handful.
const EXPLAINED_EVENTS_MAX: usize = 64;

/// Who a change is ascribed to that came by SIGHUP.
pub const BY_SIGNAL: &str = "signal:HUP";

/// Manages the modules of a running server.
#[derive(Debug)]
pub struct Manager {
    home: Home,
    launcher: Launcher,
    dispatcher: SharedDispatcher,
    store: Store,
    /// Who may do what.
    access: Arc<Access>,
    /// Holder of the modules' leases.
    holder: String,
    /// The configuration as it was read last, to say what has changed since.
    text: Mutex<String>,
    /// What runs. The file may say something else, until it is read again.
    running: RwLock<Config>,
    /// The active policy, where there is one to manage.
    policy: Option<PolicyKeeper>,
    /// Taken by whoever changes something, for as long as that takes.
    changes: Mutex<()>,
    /// What is done for the modules' targets.
    runs: Runs,
}

impl Manager {
    /// `config` is what the dispatcher was started with; `holder` is who holds its leases.
    pub fn new(
        home: &Home,
        launcher: Launcher,
        dispatcher: &SharedDispatcher,
        store: &Store,
        access: &Arc<Access>,
        holder: String,
        config: Config,
    ) -> Self {
        Self {
            home: home.clone(),
            launcher,
            dispatcher: Arc::clone(dispatcher),
            store: store.clone(),
            access: Arc::clone(access),
            holder,
            // Where it cannot be read now, all keys are new when it is read again.
            text: Mutex::new(Config::read(&home.config_path()).unwrap_or_default()),
            running: RwLock::new(config),
            policy: None,
            changes: Mutex::default(),
            runs: Runs::default(),
        }
    }

    /// Reads the configuration again and takes up what is new about the modules.
    ///
    /// # Errors
    ///
    /// It is not a good one; then nothing is changed.
    pub fn reload(&self, actor: &str) -> Result<Reloaded, ManageError> {
        let _change = self.lock_changes();
        let ConfigFile { config, text, .. } = ConfigFile::read(&self.home)?;
        // Tokens are in files of their own: first is seen whether all of it is good.
        let principals = people::read_principals(&config)?;
        let mut told = Reloaded::default();
        let running: Vec<ExitConfig> = {
            let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
            told.needs_restart =
                running.differing_keys(&config).into_iter().map(str::to_owned).collect();
            if running.audit.filter != config.audit.filter {
                told.taken_up.push("audit.filter".to_owned());
            }
            running.exits.clone()
        };
        self.note_reload(actor, text, &config)?;
        if self.take_up_principals(actor, principals)? {
            told.taken_up.push("principals".to_owned());
        }
        for gone in running.iter().filter(|it| config.exits.iter().all(|new| new.name != it.name)) {
            self.drop_maintenance(&gone.name);
            let removed = self.dispatch(|it| Ok(it.remove(&gone.name)?));
            self.note(&gone.name, removed, &mut told.removed, &mut told.failed, |running| {
                running.retain(|it| it.name != gone.name);
            });
        }
        for exit in &config.exits {
            let old = running.iter().find(|it| it.name == exit.name);
            if old == Some(exit) {
                continue;
            }
            self.drop_maintenance(&exit.name);
            let prepared = self.launcher.prepare(exit);
            let settings = self.launcher.settings(&config, exit);
            let applied = prepared.and_then(|()| {
                self.dispatch(|it| match old {
                    Some(_) => Ok(it.replace(settings)?),
                    None => Ok(it.add(settings)?),
                })
            });
            let list = if old.is_some() { &mut told.changed } else { &mut told.added };
            self.note(&exit.name, applied, list, &mut told.failed, |running| {
                put(running, exit.clone());
            });
        }
        self.take_up_policy(&config, &mut told);
        // Modules are shown in the order of the file.
        let place = |name: &ExitName| config.exits.iter().position(|it| it.name == *name);
        let mut running = self.running.write().unwrap_or_else(PoisonError::into_inner);
        running.exits.sort_by_key(|it| place(&it.name));
        drop(running);
        self.note_who_does_not_start(&config, &mut told)?;
        let Reloaded { added, changed, removed, failed, needs_restart, taken_up, not_started } =
            &told;
        tracing::info!(
            added = added.join(", "),
            changed = changed.join(", "),
            removed = removed.join(", "),
            failed = failed.join("; "),
            not_started = not_started.join("; "),
            needs_restart = needs_restart.join(", "),
            taken_up = taken_up.join(", "),
            "the configuration was read again"
        );
        Ok(told)
    }

    /// Writes down what is read again, and has the audit trail written by its filter.
    fn note_reload(&self, actor: &str, text: String, config: &Config) -> Result<(), ManageError> {
        tracing::info!(actor, "the configuration is read again");
        let mut known = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        let mut running = self.running.write().unwrap_or_else(PoisonError::into_inner);
        let (was, is) = (running.audit.filter, config.audit.filter);
        crate::audit::reloaded(&self.store, actor, (&known, &text), (was, is))?;
        running.audit.filter = is;
        *known = text;
        Ok(())
    }

    /// Writes down what came of one module in a reload.
    fn note(
        &self,
        name: &ExitName,
        result: Result<(), ManageError>,
        done: &mut Vec<String>,
        failed: &mut Vec<String>,
        take_up: impl FnOnce(&mut Vec<ExitConfig>),
    ) {
        match result {
            Ok(()) => {
                take_up(&mut self.running.write().unwrap_or_else(PoisonError::into_inner).exits);
                done.push(name.to_string());
            }
            Err(err) => failed.push(format!("{name}: {}", chain(&err))),
        }
    }

    fn add(&self, actor: &str, new: &NewExit) -> Result<ExitChanged, ManageError> {
        let _change = self.lock_changes();
        let file = ConfigFile::read(&self.home)?;
        let text = edit::add(&file.text, new)?;
        let config = file.check(&text)?;
        let exit = found(&config, &new.name)?;
        if self.running(&new.name).is_ok() {
            return Err(ManageError::Exists(exit.name.clone()));
        }
        let folder = Made::before(&exit.working_directory);
        let added = self.add_checked(actor, new, (&file, &text), &config, exit);
        if added.is_err() {
            folder.take_back();
        }
        added
    }

    /// Adds a module whose table is good.
    fn add_checked(
        &self,
        actor: &str,
        new: &NewExit,
        (file, text): (&ConfigFile, &str),
        config: &Config,
        exit: &ExitConfig,
    ) -> Result<ExitChanged, ManageError> {
        let mut notes = Vec::new();
        match (self.store.cursor(&exit.name)?, exit.start_at) {
            (Some(CursorRow { position, .. }), _) => {
                let option = match &new.start_at {
                    Some(ExitStart::Word(word)) if word == "first" => {
                        ", and --from-start does not count"
                    }
                    Some(ExitStart::After(_)) => ", and --from-event does not count",
                    _ => "",
                };
                notes.push(format!(
                    "the name was here before: it goes on after event {position}, with the shelf that \
                     it had{option}; to begin anew, remove it with --drop-backlog"
                ));
            }
            (None, StartAt::After(place)) if self.store.head() < place => {
                let head = self.store.head();
                let first = EventSeq(place.0.saturating_add(1));
                return Err(ManageError::Order {
                    what: format!("there is no event {first} yet; the newest is {head}"),
                    hint: "leave --from-event out for what comes from now on",
                });
            }
            _ => {}
        }
        self.launcher.prepare(exit)?;
        let unasked = self.ask_whether_it_fits(config, exit)?;
        let settings = self.launcher.settings(config, exit);
        self.audit(actor, "exit-add", &new.name, exit.module.to_string())?;
        self.replace(file, text, actor, ("exit-add", &new.name))?;
        self.dispatch(|it| Ok(it.add(settings)?)).inspect_err(|err| {
            self.undone((file, text), actor, ("exit-add", &new.name), err);
        })?;
        self.take_up(exit.clone());
        let status = self.status_at_start(exit, Instant::now() + START_WAIT_MAX)?;
        notes.extend(start::notes(exit, status.as_ref(), unasked));
        Ok(ExitChanged {
            name: new.name.clone(),
            events: 0,
            state: status.as_ref().map(start::state),
            notes,
        })
    }

    fn remove(
        &self,
        actor: &str,
        name: &str,
        drop_backlog: bool,
    ) -> Result<ExitRemoved, ManageError> {
        let _change = self.lock_changes();
        let exit = self.running(name)?;
        self.is_not_maintained(&exit.name)?;
        let before = self.detail(name, WhichHeld::All)?;
        let file = ConfigFile::read(&self.home)?;
        let text = edit::remove(&file.text, name)?;
        file.check(&text)?;
        let what = if drop_backlog { "with its backlog" } else { "its backlog is kept" };
        self.audit(actor, "exit-remove", name, what.to_owned())?;
        self.replace(&file, &text, actor, ("exit-remove", name))?;
        self.dispatch(|it| Ok(it.remove(&exit.name)?)).inspect_err(|err| {
            self.undone((&file, &text), actor, ("exit-remove", name), err);
        })?;
        let mut running = self.running.write().unwrap_or_else(PoisonError::into_inner);
        running.exits.retain(|it| it.name != exit.name);
        drop(running);
        if drop_backlog {
            self.store
                .remove_cursor(&exit.name, &self.holder, now())
                .map_err(|source| ManageError::BacklogKept { name: exit.name, source })?;
        }
        Ok(ExitRemoved { before, backlog_dropped: drop_backlog })
    }

    fn switch(&self, actor: &str, name: &str, on: bool) -> Result<ExitChanged, ManageError> {
        let action = if on { "exit-enable" } else { "exit-disable" };
        self.alter(actor, action, name, String::new(), |text, _| Ok(edit::switch(text, name, on)?))
    }

    fn set(
        &self,
        actor: &str,
        name: &str,
        ExitSettings { settings }: &ExitSettings,
    ) -> Result<ExitChanged, ManageError> {
        // The names alone: among the values may be secrets.
        let names: Vec<&str> = settings.keys().map(String::as_str).collect();
        let detail = names.join(", ");
        self.alter(actor, "exit-settings", name, detail, |text, config| {
            let old = &found(config, name)?.settings;
            Ok(edit::set_settings(text, name, old, settings)?)
        })
    }

    /// Edits the table of a module that runs, and has it go on with what the table says then.
    fn alter(
        &self,
        actor: &str,
        action: &'static str,
        name: &str,
        detail: String,
        rewrite: impl FnOnce(&str, &Config) -> Result<String, ManageError>,
    ) -> Result<ExitChanged, ManageError> {
        let _change = self.lock_changes();
        let old = self.running(name)?;
        self.is_not_maintained(&old.name)?;
        let file = ConfigFile::read(&self.home)?;
        let text = rewrite(&file.text, &file.config)?;
        let config = file.check(&text)?;
        let exit = found(&config, name)?;
        // One that is switched off needs nothing.
        if exit.enabled {
            self.launcher.prepare(exit)?;
        }
        let has_other_settings = exit.settings != old.settings;
        let unasked =
            if has_other_settings { self.ask_whether_it_fits(&config, exit)? } else { None };
        let ran = self
            .status_of(&old)?
            .is_some_and(|it| matches!(it.state, ExitState::Running | ExitState::Waiting { .. }));
        let settings = self.launcher.settings(&config, exit);
        self.audit(actor, action, name, detail)?;
        self.replace(&file, &text, actor, (action, name))?;
        self.dispatch(|it| Ok(it.replace(settings)?)).inspect_err(|err| {
            self.undone((&file, &text), actor, (action, name), err);
        })?;
        self.take_up(exit.clone());
        let status = self.status_at_start(exit, Instant::now() + START_WAIT_MAX)?;
        if let Some(ExitState::Down { why, .. }) = status.as_ref().map(|it| &it.state)
            && has_other_settings
            && ran
        {
            // Some things a module finds out only when it is to work: it goes on as it did.
            let err = ManageError::SettingsNotStarted(why.clone());
            self.undone((&file, &text), actor, (action, name), &err);
            let settings = self.launcher.settings(&file.config, &old);
            self.dispatch(|it| Ok(it.replace(settings)?))?;
            self.take_up(old);
            return Err(err);
        }
        Ok(ExitChanged {
            name: name.to_owned(),
            events: 0,
            state: status.as_ref().map(start::state),
            notes: start::notes(exit, status.as_ref(), unasked),
        })
    }

    /// Writes the new text, or writes down that it was not done.
    fn replace(
        &self,
        file: &ConfigFile,
        text: &str,
        actor: &str,
        (action, name): (&str, &str),
    ) -> Result<(), ManageError> {
        file.replace(text).inspect_err(|err| self.failed(actor, action, name, err))?;
        // What this change is, its own row says. What somebody else has written into the file is new
        // until it is read again.
        let mut known = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == file.text {
            text.clone_into(&mut known);
        }
        Ok(())
    }

    /// Puts the file back after the dispatcher has refused.
    fn undone(
        &self,
        (file, text): (&ConfigFile, &str),
        actor: &str,
        (action, name): (&str, &str),
        err: &ManageError,
    ) {
        file.put_back(text);
        let mut known = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == text {
            known.clone_from(&file.text);
        }
        drop(known);
        self.failed(actor, action, name, err);
    }

    /// Writes down that what stands in the audit trail was not done after all.
    fn failed(&self, actor: &str, action: &str, name: &str, err: &ManageError) {
        let why = chain(err);
        tracing::error!(code = err.code(), module = name, action, "not done: {why}");
        // The first entry stands in any case, and the log has this one as well.
        let _ = self.audit(actor, &format!("{action}-failed"), name, why);
    }

    fn audit(
        &self,
        actor: &str,
        action: &str,
        object: &str,
        detail: String,
    ) -> Result<(), ManageError> {
        tracing::info!(actor, action, object, detail, "a change by the operator");
        self.store.audit(AuditEntry::new(now(), actor, action, object).detail(detail))?;
        Ok(())
    }

    fn lock_changes(&self) -> MutexGuard<'_, ()> {
        // It guards no value, so a panic leaves nothing half done in it.
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dispatch<T>(
        &self,
        act: impl FnOnce(&Dispatcher) -> Result<T, ManageError>,
    ) -> Result<T, ManageError> {
        let dispatcher = self.dispatcher.read().unwrap_or_else(PoisonError::into_inner);
        act(dispatcher.as_ref().ok_or(ManageError::Stopping)?)
    }

    /// How a module is configured that runs.
    fn running(&self, name: &str) -> Result<ExitConfig, ManageError> {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        let exit = running.exits.iter().find(|it| it.name.as_str() == name).cloned();
        exit.ok_or_else(|| ManageError::Unknown(name.chars().take(ExitName::LENGTH_MAX).collect()))
    }

    fn take_up(&self, exit: ExitConfig) {
        put(&mut self.running.write().unwrap_or_else(PoisonError::into_inner).exits, exit);
    }

    fn detail(&self, name: &str, which: WhichHeld) -> Result<ExitDetail, ManageError> {
        let exit = self.running(name)?;
        let statuses = self.dispatch(|it| Ok(it.status()))?;
        let status = statuses.into_iter().find(|it| it.name == exit.name);
        let status = status.ok_or_else(|| ManageError::Unknown(name.to_owned()))?;
        let mut status = view::status(status, Some(&exit));
        status.reconciled = self.reconciled(&exit.name);
        Ok(ExitDetail { status, held: self.held(&exit.name, which)? })
    }

    fn held(&self, name: &ExitName, which: WhichHeld) -> Result<Vec<HeldEvent>, ManageError> {
        let rows_max = usize::try_from(PAGE_ROWS_MAX).unwrap_or(usize::MAX);
        let rows = match which {
            WhichHeld::All => self.store.held_first(name, rows_max)?,
            WhichHeld::Parked => self.store.held(name)?,
        };
        let rows = rows.into_iter().filter(|it| which == WhichHeld::All || orders::is_parked(it));
        let rows = rows.take(rows_max).map(|it| view::held_event(&self.store, it));
        let rows: Vec<HeldEvent> = rows.collect();
        debug_assert!(
            which == WhichHeld::All || rows.iter().all(|it| it.state == HeldState::Parked)
        );
        Ok(rows)
    }
}

impl Exits for Manager {
    fn list(&self) -> Result<ExitList, Refusal> {
        let statuses = self.dispatch(|it| Ok(it.status())).map_err(|it| it.refusal("NAME"))?;
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        let mut exits: Vec<_> = statuses
            .into_iter()
            .map(|it| {
                let place = running.exits.iter().position(|exit| exit.name == it.name);
                let exit = place.and_then(|it| running.exits.get(it));
                let reconciled = self.reconciled(&it.name);
                let status = exeunt_api::ExitStatus { reconciled, ..view::status(it, exit) };
                (place.unwrap_or(usize::MAX), status)
            })
            .collect();
        exits.sort_by_key(|(place, _)| *place);
        Ok(ExitList { exits: exits.into_iter().map(|(_, it)| it).collect() })
    }

    fn show(&self, name: &str, held: WhichHeld) -> Result<ExitDetail, Refusal> {
        self.detail(name, held).map_err(|it| it.refusal(name))
    }

    fn settings(&self, name: &str) -> Result<ExitSettings, Refusal> {
        let exit = self.running(name).map_err(|it| it.refusal(name))?;
        Ok(ExitSettings { settings: exit.settings })
    }

    fn known_settings(&self, name: &str) -> Result<KnownSettings, Refusal> {
        self.ask_for_settings(name).map_err(|it| it.refusal(name))
    }

    fn deliveries(&self, name: &str, after: Option<u64>) -> Result<Deliveries, Refusal> {
        let deliveries = || -> Result<Deliveries, ManageError> {
            let exit = self.running(name)?;
            let rows_max = usize::try_from(PAGE_ROWS_MAX).unwrap_or(usize::MAX);
            let told =
                |after, limit| self.dispatch(|it| Ok(it.deliveries(&exit.name, after, limit)?));
            let rows = match after {
                Some(after) => told(after, rows_max)?,
                None => Vec::new(),
            };
            // A number from before the server's start means nothing now, so it is not given back.
            let next_after = match rows.last() {
                Some(last) => last.number,
                None => told(0, usize::MAX)?.last().map_or(0, |it| it.number),
            };
            Ok(Deliveries {
                deliveries: rows.into_iter().map(view::delivery).collect(),
                next_after,
            })
        };
        deliveries().map_err(|it| it.refusal(name))
    }

    fn explain(&self, name: &str, request: u64) -> Result<Explanation, Refusal> {
        let explain = || -> Result<Explanation, ManageError> {
            let exit = self.running(name)?;
            let id = RequestId(request);
            if self.store.request(id)?.is_none() {
                return Err(ManageError::UnknownRequest(request));
            }
            let logged = self.store.events_of_request(id, EXPLAINED_EVENTS_MAX)?;
            let events = logged.iter().map(|event| {
                let dropped = orders::dropped(&self.store, &exit.name, event.seq)?;
                let rules =
                    self.dispatch(|it| Ok(it.explain(&exit.name, event, dropped.as_deref())?))?;
                Ok(view::explained(event, rules))
            });
            let events = events.collect::<Result<_, ManageError>>()?;
            Ok(Explanation { name: name.to_owned(), request, events })
        };
        explain().map_err(|it| it.refusal(name))
    }

    fn maintain(
        &self,
        actor: &str,
        name: &str,
        order: MaintenanceOrder,
    ) -> Result<MaintenanceRun, Refusal> {
        self.begin_maintenance(actor, name, order).map_err(|it| it.refusal(name))
    }

    fn maintenance(&self, name: &str, after: u64) -> Result<MaintenanceRun, Refusal> {
        self.newest_maintenance(name, after).map_err(|it| it.refusal(name))
    }

    fn end_maintenance(&self, actor: &str, name: &str) -> Result<MaintenanceRun, Refusal> {
        self.cancel_maintenance(actor, name).map_err(|it| it.refusal(name))
    }

    fn policy(&self) -> Result<PolicyStatus, Refusal> {
        Ok(self.policy_status())
    }

    fn policy_settings(&self) -> Result<PolicySettings, Refusal> {
        self.settings_of_policy()
    }

    fn change_policy(&self, actor: &str, order: &PolicyOrder) -> Result<PolicyStatus, Refusal> {
        self.alter_policy(actor, order).map_err(|it| it.refusal("policy"))
    }

    fn change(&self, actor: &str, change: Change) -> Result<Changed, Refusal> {
        let module = match &change {
            Change::Add(new) => new.name.clone(),
            Change::Remove { name, .. }
            | Change::Switch { name, .. }
            | Change::Set { name, .. }
            | Change::Retry { name, .. }
            | Change::Drop { name, .. }
            | Change::Replay { name, .. } => name.clone(),
            Change::Reload => "NAME".to_owned(),
        };
        let changed = match change {
            Change::Add(new) => self.add(actor, &new).map(Changed::Added),
            Change::Remove { name, drop_backlog } => {
                self.remove(actor, &name, drop_backlog).map(|it| Changed::Removed(Box::new(it)))
            }
            Change::Switch { name, on } => self.switch(actor, &name, on).map(Changed::Done),
            Change::Set { name, settings } => self.set(actor, &name, &settings).map(Changed::Done),
            Change::Retry { name, order } => self.retry(actor, &name, &order).map(Changed::Done),
            Change::Drop { name, order } => {
                self.drop_parked(actor, &name, &order).map(Changed::Done)
            }
            Change::Replay { name, order } => self.replay(actor, &name, &order).map(Changed::Done),
            Change::Reload => self.reload(actor).map(Changed::Reloaded),
        };
        changed.map_err(|it| it.refusal(&module))
    }
}

/// The module in a configuration that was made from the file.
fn found<'a>(config: &'a Config, name: &str) -> Result<&'a ExitConfig, ManageError> {
    let exit = config.exits.iter().find(|it| it.name.as_str() == name);
    exit.ok_or_else(|| ManageError::NotInFile(name.to_owned()))
}

fn put(running: &mut Vec<ExitConfig>, exit: ExitConfig) {
    match running.iter_mut().find(|it| it.name == exit.name) {
        Some(old) => *old = exit,
        None => running.push(exit),
    }
}
