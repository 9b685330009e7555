//! The module itself: what happens to a batch of events, in order.

use std::{collections::BTreeSet, time::Duration};

use exeunt_module_kit::{
    CallBacks, Event, EventMask, ExitModule, Facts, Greeted, Initialize, MaintainExitModule,
    ManageExitModule, Outcome, Properties, Value, exit_event, manage::ManageModule,
    notify_as_batch,
};
use serde_json::{Map, Value as Json};
use tokio::time::Instant;

use crate::{
    connection::Directory,
    revocation_list::{self, now},
    session::Session,
    settings::{self, Settings},
    user::{Batch, Told},
};

/// What the module is, in one line.
const DESCRIPTION: &str = "publishes certificates and revocation lists in an LDAP directory";

/// What the console shows of it.
const FACTS: Facts =
    Facts { name: "directory", description: DESCRIPTION, version: env!("CARGO_PKG_VERSION") };

/// The exit module. It starts its work with the host's greeting.
#[derive(Debug, Default)]
pub struct DirectoryExit {
    pub(crate) state: Greeted<State>,
    /// What asks the host, until the greeting is answered.
    pub(crate) call_backs: Option<CallBacks>,
    /// What the host says of the CA, to a process that looks after the directory.
    pub(crate) ca: Option<Result<Properties, String>>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) settings: Settings,
    pub(crate) directory: Directory,
    /// The module's name in the configuration.
    pub(crate) name: String,
    /// How long a batch may take.
    within: Duration,
    /// Surplus values that a comparison has listed: place and certificate.
    pub(crate) listed: BTreeSet<(String, String)>,
}

impl ExitModule for DirectoryExit {
    fn initialize(&mut self, hello: &Initialize) -> Result<EventMask, String> {
        let state = State::new(hello)?;
        let mask = mask(&state.settings);
        self.state.set(state);
        Ok(mask)
    }

    fn description(&self) -> String {
        DESCRIPTION.to_owned()
    }

    fn managed(&mut self) -> Option<&mut dyn ManageExitModule> {
        Some(self)
    }

    fn use_call_backs(&mut self, call_backs: &CallBacks) -> bool {
        // Looking after the directory takes them in the greeting alone. Events are wanted with
        // everything in them.
        self.call_backs = Some(call_backs.clone());
        false
    }

    fn maintained(&mut self) -> Option<&mut dyn MaintainExitModule> {
        Some(self)
    }

    fn notify(&mut self, event: &Event) -> Outcome {
        notify_as_batch(self, event)
    }

    fn notify_batch(&mut self, events: &[Event]) -> Vec<Outcome> {
        self.state.notify_batch(events, State::publish)
    }

    fn shutdown(&mut self) {
        if let Ok(state) = self.state.get_mut() {
            state.directory.close();
        }
    }
}

/// The events that the settings want.
fn mask(settings: &Settings) -> EventMask {
    EventMask(settings.objects.events().0 | mask_of_users(settings))
}

/// Those about holders' certificates. What is imported was published by whoever had issued it.
fn mask_of_users(settings: &Settings) -> u32 {
    match (settings.users.is_on(), settings.users.remove_revoked) {
        (false, _) => 0,
        (true, false) => exit_event::CERT_ISSUED,
        (true, true) => {
            exit_event::CERT_ISSUED | exit_event::CERT_REVOKED | exit_event::CERT_UNREVOKED
        }
    }
}

impl ManageExitModule for DirectoryExit {
    fn manage_module(&mut self) -> Result<ManageModule, String> {
        Ok(ManageModule { settings: settings::known() })
    }

    fn property(&mut self, name: &str, _flags: u32) -> Result<Option<Value>, String> {
        Ok(FACTS.property(name))
    }

    fn set_property(&mut self, name: &str, value: &Json) -> Result<(), String> {
        settings::try_one(name, value)
    }

    fn configure(&mut self, settings: &Map<String, Json>, _flags: u32) -> Result<(), String> {
        Settings::read(settings).map(drop)
    }
}

impl State {
    /// Reads the settings. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// One line for the operator: what about them cannot be.
    pub(crate) fn new(hello: &Initialize) -> Result<Self, String> {
        let settings = Settings::read(&hello.settings)?;
        let directory = Directory::new(settings.connection.clone())?;
        let within = exeunt_publication::time::budget(hello.deadline_ms);
        let name = hello.module.clone();
        Ok(Self { settings, directory, name, within, listed: BTreeSet::new() })
    }

    /// An outcome for each event.
    fn publish(&mut self, events: &[Event]) -> Vec<Outcome> {
        let until = Directory::until(self.within);
        let of_users = mask_of_users(&self.settings);
        let of_objects = self.settings.objects.events().0;
        let mut outcomes: Vec<Outcome> = vec![Outcome::Skip; events.len()];
        let users: Vec<(usize, &Event)> =
            events.iter().enumerate().filter(|(_, it)| it.event & of_users != 0).collect();
        for (index, outcome) in self.publish_users(until, &users) {
            outcomes[index] = outcome;
        }
        for (event, outcome) in events.iter().zip(&mut outcomes) {
            if event.event & of_objects != 0 {
                let settings = &self.settings.objects;
                let work = async |session: &Session| {
                    revocation_list::notify(session, settings, event).await
                };
                let told = match self.directory.run(until, &work) {
                    Ok(outcome) => outcome,
                    Err(err) => err.outcome(),
                };
                // One event may be about a holder and about the CA's own objects.
                *outcome = revocation_list::worse(std::mem::replace(outcome, Outcome::Skip), told);
            }
        }
        outcomes
    }

    /// All events about holders' certificates at once; those that a connection failed, once more over
    /// another one.
    fn publish_users(
        &mut self,
        until: Instant,
        events: &[(usize, &Event)],
    ) -> Vec<(usize, Outcome)> {
        let mut outcomes = Vec::with_capacity(events.len());
        let mut open = events.to_vec();
        for last in [false, true] {
            if open.is_empty() {
                break;
            }
            let session = match self.directory.session(until) {
                Ok(session) => session,
                Err(err) => {
                    outcomes.extend(open.iter().map(|it| (it.0, err.outcome())));
                    break;
                }
            };
            let asked: Vec<&Event> = open.iter().map(|it| it.1).collect();
            let batch = Batch::new(&self.settings.users, &asked, now());
            let told = self.directory.wait(batch.carry_out(&session, &asked));
            let mut again = Vec::new();
            for (&(index, event), told) in open.iter().zip(told) {
                match told {
                    Told::Elsewhere(_) if !last => again.push((index, event)),
                    Told::Done(outcome) | Told::Elsewhere(outcome) => {
                        outcomes.push((index, outcome));
                    }
                }
            }
            if !again.is_empty() {
                self.directory.give_up();
            }
            open = again;
        }
        outcomes
    }
}
