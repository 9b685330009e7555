//! Tries it all without sending: what `exeunt exit test` shows.
//!
//! There is nothing to install, and nothing to compare: what was sent has no state that could be asked
//! for.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use exeunt_module_kit::{
    Event, Greeted, Initialize, MaintainExitModule, Outcome, exit_event,
    maintain::{Check, TestReport},
};

use exeunt_publication::resolver::Resolver;

use crate::{
    compose::{Mail, SUBJECT_CHARS_MAX},
    mail::Writer,
    property,
    recipient::Recipient,
    settings::Security,
    smtp::{Connection, Failure, Stage},
};

/// Longest time that the trial of the server takes.
const TRIAL_MAX: Duration = Duration::from_mins(1);

/// Most senders and recipients that the server is asked about.
const ADDRESSES_MAX: usize = 50;

/// The part of the module that tries it.
#[derive(Debug, Default)]
pub struct Trial {
    writer: Greeted<Writer>,
}

impl MaintainExitModule for Trial {
    fn begin(&mut self, hello: &Initialize) -> Result<(), String> {
        self.writer.set(Writer::new(hello)?);
        Ok(())
    }

    fn test(&mut self, samples: &[Event]) -> Result<TestReport, String> {
        let writer = self.writer.get()?;
        let checks = try_server(writer);
        let would_write = samples.iter().map(|it| would_write(writer, it)).collect();
        Ok(TestReport { checks, would_write })
    }
}

fn try_server(writer: &Writer) -> Vec<Check> {
    let server = &writer.settings.server;
    let connect = format!("connect to {}:{}", server.host, server.port);
    let secure = "secure the connection";
    let authenticate = match &server.login {
        Some((user, _)) => format!("authenticate as {user}"),
        None => "authenticate".to_owned(),
    };
    let until = Instant::now() + TRIAL_MAX;
    let mut checks = Vec::new();
    let resolver = Resolver::new(&server.host, server.port);
    let opened = Connection::open(server, &resolver, until);
    let failed_at = opened.as_ref().err().map(|(stage, _)| *stage);
    let why = opened.as_ref().err().map(|(_, why)| why.clone()).unwrap_or_default();
    if failed_at == Some(Stage::Connect) {
        return vec![Check::failed(connect, why)];
    }
    checks.push(Check::passed(connect, ""));
    if failed_at == Some(Stage::Secure) {
        checks.push(Check::failed(secure, why));
        return checks;
    }
    checks.push(match server.security {
        Security::Nothing => Check::warning(secure, "it is not, because security is \"none\""),
        Security::StartTls => Check::passed(secure, "STARTTLS"),
        Security::Tls => Check::passed(secure, "TLS from the start"),
    });
    let mut connection = match opened {
        Ok(connection) => connection,
        Err((_, why)) => {
            checks.push(Check::failed(authenticate, why));
            return checks;
        }
    };
    checks.push(match server.login {
        Some(_) => Check::passed(authenticate, ""),
        None => Check::passed(authenticate, "nobody: user is not set"),
    });
    try_addresses(writer, &mut connection, until, &mut checks);
    connection.close();
    checks
}

/// Names senders and recipients to the server, and has it forget them.
fn try_addresses(
    writer: &Writer,
    connection: &mut Connection,
    until: Instant,
    checks: &mut Vec<Check>,
) {
    let mut asked = BTreeSet::new();
    for rule in writer.settings.rules.all() {
        let fixed = rule.to.iter().chain(&rule.cc).chain(&rule.bcc).filter_map(|it| match it {
            Recipient::Fixed(mailbox) => Some(mailbox.email.clone()),
            Recipient::Requester | Recipient::Property(_) => None,
        });
        let fallback = writer.settings.fallback_to.iter().map(|it| it.email.clone());
        let recipients: BTreeSet<_> = fixed.chain(fallback).collect();
        asked.insert((rule.from.email.clone(), recipients));
    }
    let mut told = BTreeSet::new();
    for (sender, recipients) in asked.into_iter().take(ADDRESSES_MAX) {
        let mail = Mail {
            sender: sender.clone(),
            recipients: recipients.iter().cloned().collect(),
            fixed: Vec::new(),
            text: String::new(),
        };
        let begun = connection.begin(&mail, until);
        if told.insert(format!("sender {sender}")) || begun.is_err() {
            checks.push(check(format!("sender {sender}"), begun.clone()));
        }
        if begun.is_ok() {
            for recipient in recipients.into_iter().take(ADDRESSES_MAX) {
                let what = format!("recipient {recipient}");
                if told.contains(&what) {
                    continue;
                }
                let taken = match connection.recipient(&recipient, until) {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(why)) => Err(Failure::Refused(why)),
                    Err(failure) => Err(failure),
                };
                checks.push(check(what.clone(), taken));
                told.insert(what);
            }
        }
        if connection.reset(until).is_err() {
            return;
        }
    }
}

fn check(what: String, result: Result<(), Failure>) -> Check {
    match result {
        Ok(()) => Check::passed(what, ""),
        Err(
            Failure::Server(why)
            | Failure::Stale(why)
            | Failure::Setting(why)
            | Failure::Later(why)
            | Failure::Nobody(why)
            | Failure::Refused(why),
        ) => Check::failed(what, why),
    }
}

fn would_write(writer: &Writer, event: &Event) -> String {
    let (word, id) = (exit_event::word(event.event), &event.id);
    let said = match writer.draft(event) {
        Ok(draft) => {
            let recipients: Vec<String> =
                draft.parties.recipients().iter().map(ToString::to_string).collect();
            let subject = property::one_line(&draft.item.subject, SUBJECT_CHARS_MAX);
            format!("to {}: {subject:?}", recipients.join(", "))
        }
        Err(Outcome::Park { reason }) => format!("parked: {reason}"),
        Err(_) => "nothing".to_owned(),
    };
    format!("{word} {id}: {said}")
}
