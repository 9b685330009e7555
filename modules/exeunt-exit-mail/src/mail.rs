//! The module itself: what happens to a batch of events, in order.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use exeunt_module_kit::{
    Event, EventMask, ExitModule, Facts, Greeted, Initialize, MaintainExitModule, ManageExitModule,
    Outcome, Value, exit_event, manage::ManageModule, notify_as_batch,
};
use exeunt_publication::{
    outcome::{park, retry, target_retry},
    time,
};
use lettre::Address;

use crate::{
    compose::{Author, File, Item, Mail, Parties},
    deliver::{Courier, Sent},
    digest::{self, Pace},
    levels::Rule,
    maintain::Trial,
    recipient::{Found, Recipient},
    settings::{self, Nobody, Settings},
    smtp::Failure,
    template::About,
};

/// What the module is, in one line.
const DESCRIPTION: &str = "sends mail about events";

/// What the console shows of it.
const FACTS: Facts =
    Facts { name: "mail", description: DESCRIPTION, version: env!("CARGO_PKG_VERSION") };

/// Most mails of one connection in a batch; fewer where the server is slow.
const SHARE_MAX: usize = 32;

/// The exit module. It starts its work with the host's greeting.
#[derive(Debug, Default)]
pub struct MailExit {
    state: Greeted<State>,
    trial: Trial,
}

#[derive(Debug)]
struct State {
    writer: Writer,
    courier: Courier,
    pace: Pace,
    /// How long a batch may take: part of the deadline, so that the answers are there in time.
    budget: Duration,
    /// Mails that one connection is given in a batch.
    share: usize,
}

/// Makes mails of events.
#[derive(Debug)]
pub struct Writer {
    /// The settings.
    pub settings: Settings,
    author: Author,
    ca_name: Arc<str>,
}

/// What is to be sent about an event.
#[derive(Debug)]
pub struct Draft {
    /// Who writes to whom.
    pub parties: Parties,
    /// What.
    pub item: Item,
}

impl Writer {
    /// Reads the settings of a greeting, and checks what can be checked without the server.
    ///
    /// # Errors
    ///
    /// One line for the operator that names the setting.
    pub fn new(hello: &Initialize) -> Result<Self, String> {
        let settings = Settings::read(&hello.settings)?;
        settings.check_surroundings(Duration::from_millis(hello.deadline_ms))?;
        let author = Author { ca_name: hello.config.clone(), module: hello.module.clone() };
        Ok(Self { settings, author, ca_name: hello.config.as_str().into() })
    }

    /// What is to be sent about an event, or its outcome where nothing is.
    ///
    /// # Errors
    ///
    /// The outcome: nothing is to be sent, or nothing can be.
    pub fn draft(&self, event: &Event) -> Result<Draft, Outcome> {
        let rule = self.settings.rules.of(event).ok_or(Outcome::Skip)?;
        let parties = self.parties(event, rule)?;
        let about = About { event: Arc::new(event.clone()), ca_name: Arc::clone(&self.ca_name) };
        let text =
            |it: &crate::levels::Text| it.made(&self.settings.templates, &about).map_err(park);
        let item = Item {
            id: event.id.clone(),
            word: exit_event::word(event.event),
            subject: text(&rule.subject)?,
            text: text(&rule.text)?,
            html: rule.html.as_ref().map(text).transpose()?,
            attachment: File::of(event, rule.attach),
        };
        Ok(Draft { parties, item })
    }

    fn parties(&self, event: &Event, rule: &Rule) -> Result<Parties, Outcome> {
        let allowed = &self.settings.requester_domains;
        let found = |it| Found::of(it, event, allowed);
        let (to, cc, bcc) = (found(&rule.to), found(&rule.cc), found(&rule.bcc));
        let refused: Vec<String> =
            [&to, &cc, &bcc].into_iter().flat_map(|it| it.refused.iter().cloned()).collect();
        let mut parties = Parties {
            from: rule.from.clone(),
            reply_to: rule.reply_to.clone(),
            to: to.mailboxes,
            cc: cc.mailboxes,
            bcc: bcc.mailboxes,
            fixed: fixed(rule),
        };
        if parties.is_nobody() {
            parties.to.clone_from(&self.settings.fallback_to);
            parties.fixed = parties.to.iter().map(|it| (it.email.clone(), "fallback_to")).collect();
        }
        let why = format!("nobody to write to: {}", refused.join("; "));
        if parties.is_nobody() {
            return Err(match self.settings.nobody {
                Nobody::Park => park(why),
                Nobody::Skip => {
                    eprintln!("{}: {why}", event.id);
                    Outcome::Skip
                }
            });
        }
        if !refused.is_empty() {
            eprintln!("{}: not written to all: {}", event.id, refused.join("; "));
        }
        Ok(parties)
    }

    /// A mail of one draft or several, which have the same parties.
    ///
    /// # Errors
    ///
    /// As [`Author::mail`].
    pub fn mail(&self, drafts: &[&Draft]) -> Result<Mail, String> {
        let Some(first) = drafts.first() else {
            return Err("the mail is about nothing".to_owned());
        };
        let items: Vec<Item> = drafts.iter().map(|it| it.item.clone()).collect();
        self.author.mail(&first.parties, &items)
    }
}

/// The addresses that a rule names, each with the setting that it stands in.
fn fixed(rule: &Rule) -> Vec<(Address, &'static str)> {
    [("to", &rule.to), ("cc", &rule.cc), ("bcc", &rule.bcc)]
        .into_iter()
        .flat_map(|(setting, it)| it.iter().map(move |it| (setting, it)))
        .filter_map(|(setting, it)| match it {
            Recipient::Fixed(mailbox) => Some((mailbox.email.clone(), setting)),
            Recipient::Requester | Recipient::Property(_) => None,
        })
        .collect()
}

impl State {
    fn notify(&mut self, events: &[Event]) -> Vec<Outcome> {
        let start = Instant::now();
        let until = start + self.budget;
        // 1. What is to be said, and to whom.
        let drafts: Vec<Result<Draft, Outcome>> =
            events.iter().map(|it| self.writer.draft(it)).collect();
        let good: Vec<&Draft> = drafts.iter().flatten().collect();
        // 2. Which events go into one mail, and when.
        let parties: Vec<&Parties> = good.iter().map(|it| &it.parties).collect();
        let groups = match self.writer.settings.digest {
            Some(digest) if !good.is_empty() => {
                thread::sleep(self.pace.wait(digest, good.len(), start));
                self.pace.sent(Instant::now());
                digest::groups(&parties, digest.events_max)
            }
            _ => (0..good.len()).map(|it| vec![it]).collect(),
        };
        // 3. The mails to the server, whose word each outcome is.
        let mut outcomes: Vec<Option<Outcome>> = vec![None; good.len()];
        let sending = Instant::now();
        let refused = self.send(&good, groups, until, &mut outcomes);
        self.adapt(sending.elapsed());
        // 4. A digest that is refused may be so for the words of one requester, or because it is too
        //    big: each of its events has a mail of its own then, and only the guilty one is parked.
        let alone: Vec<Vec<usize>> =
            refused.into_iter().filter(|it| 1 < it.len()).flatten().map(|it| vec![it]).collect();
        self.send(&good, alone, until, &mut outcomes);
        let mut outcomes = outcomes.into_iter().flatten();
        drafts
            .iter()
            .map(|it| match it {
                Err(outcome) => outcome.clone(),
                Ok(_) => outcomes.next().unwrap_or_else(|| retry("nothing was done")),
            })
            .collect()
    }

    /// Sends a mail for each group of drafts, and notes what became of it. Gives the groups whose mail
    /// is refused for what is in it.
    fn send(
        &mut self,
        drafts: &[&Draft],
        groups: Vec<Vec<usize>>,
        until: Instant,
        outcomes: &mut [Option<Outcome>],
    ) -> Vec<Vec<usize>> {
        let mut refused = Vec::new();
        let mut mails = Vec::new();
        let mut members = Vec::new();
        for group in groups {
            let drafts: Vec<&Draft> = group.iter().map(|it| drafts[*it]).collect();
            match self.writer.mail(&drafts) {
                Ok(mail) => {
                    mails.push(mail);
                    members.push(group);
                }
                Err(why) => {
                    for it in &group {
                        outcomes[*it] = Some(park(&why));
                    }
                    refused.push(group);
                }
            }
        }
        let sent = self.courier.deliver(&mails, until);
        for (group, sent) in members.into_iter().zip(&sent) {
            for index in &group {
                outcomes[*index] = Some(outcome(sent, &drafts[*index].item.id));
            }
            if matches!(sent, Err(Failure::Refused(_))) {
                refused.push(group);
            }
        }
        refused
    }

    /// Batches grow while they are quick, and are small where a server takes its time: the answer to
    /// each has to be there before the deadline.
    fn adapt(&mut self, took: Duration) {
        if took < self.budget / 16 {
            self.share = (self.share * 2).min(SHARE_MAX);
        } else if self.budget / 4 < took {
            self.share = 1;
        }
    }
}

fn outcome(sent: &Sent, id: &str) -> Outcome {
    match sent {
        Ok(left_out) => {
            if !left_out.is_empty() {
                eprintln!("{id}: sent, and not to all: {}", left_out.join("; "));
            }
            Outcome::Accept
        }
        Err(Failure::Server(why) | Failure::Stale(why) | Failure::Setting(why)) => {
            target_retry(why)
        }
        Err(Failure::Later(why)) => retry(why),
        Err(Failure::Nobody(why) | Failure::Refused(why)) => park(why),
    }
}

impl ExitModule for MailExit {
    fn initialize(&mut self, hello: &Initialize) -> Result<EventMask, String> {
        let writer = Writer::new(hello)?;
        let settings = &writer.settings;
        let courier =
            Courier::new(settings.server.clone(), settings.refused_recipient, settings.connections);
        let events = settings.events;
        let budget = time::budget(hello.deadline_ms);
        let pace = Pace::default();
        self.state.set(State { writer, courier, pace, budget, share: 1 });
        Ok(EventMask(events))
    }

    fn description(&self) -> String {
        DESCRIPTION.to_owned()
    }

    fn managed(&mut self) -> Option<&mut dyn ManageExitModule> {
        Some(self)
    }

    fn maintained(&mut self) -> Option<&mut dyn MaintainExitModule> {
        Some(&mut self.trial)
    }

    fn batch_max(&self) -> usize {
        match self.state.get() {
            // All that is there: the next digest is some time away.
            Ok(state) if state.writer.settings.digest.is_some() => usize::MAX,
            Ok(state) => state.writer.settings.connections * state.share,
            Err(_) => 1,
        }
    }

    fn notify(&mut self, event: &Event) -> Outcome {
        notify_as_batch(self, event)
    }

    fn notify_batch(&mut self, events: &[Event]) -> Vec<Outcome> {
        self.state.notify_batch(events, State::notify)
    }

    fn shutdown(&mut self) {
        if let Ok(state) = self.state.get_mut() {
            state.courier.close();
        }
    }
}

impl ManageExitModule for MailExit {
    fn manage_module(&mut self) -> Result<ManageModule, String> {
        Ok(ManageModule { settings: settings::known() })
    }

    fn property(&mut self, name: &str, _flags: u32) -> Result<Option<Value>, String> {
        Ok(FACTS.property(name))
    }

    fn set_property(&mut self, name: &str, value: &serde_json::Value) -> Result<(), String> {
        settings::check_alone(name, value)
    }

    fn configure(
        &mut self,
        settings: &serde_json::Map<String, serde_json::Value>,
        _flags: u32,
    ) -> Result<(), String> {
        Settings::read(settings).map(drop)
    }
}
