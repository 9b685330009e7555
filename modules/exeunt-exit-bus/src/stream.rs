//! Looks at the stream, and makes it.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::jetstream::{
    context::GetStreamErrorKind,
    message::PublishMessage,
    stream::{Config, DiscardPolicy, StorageType},
};
use exeunt_module_kit::{
    Event, Properties, Value, exit_event,
    maintain::{Check, InstallReport, TestReport},
};
use exeunt_publication::outcome;

use crate::{
    connection::{Connection, Failure},
    message,
    publish::Target,
    subject::covers,
};

/// What `Test` says that it expects to be the stream, so that the server refuses a message after it
/// has looked at the rights. No stream has a space in its name.
const NO_STREAM: &str = "no stream";

/// What comes of the server's answer to that, its error 10060.
const REFUSED_AS_WISHED: &str = "another stream than the one that is set";

/// Connects, looks at the stream and at the rights, and says what would be sent. Writes nothing.
pub async fn test(
    target: &Target,
    connection: Result<Connection, String>,
    samples: &[Event],
    deadline: Instant,
) -> TestReport {
    let would_write = samples.iter().map(|it| would_write(target, it)).collect();
    let connection = match connection {
        Ok(connection) => connection,
        Err(why) => return TestReport { checks: vec![Check::failed("connect", why)], would_write },
    };
    let (server, largest) = (connection.server(), connection.max_payload());
    let text = format!("{server}, which takes messages of up to {largest} octets");
    let mut checks = vec![Check::passed("connect", text)];
    checks.extend(looked_at(target, &connection).await);
    checks.push(may_publish(target, &connection, samples, deadline).await);
    TestReport { checks, would_write }
}

fn would_write(target: &Target, event: &Event) -> String {
    let body = message::body_length(event, &target.source(event), target.settings.mode);
    match target.subject(event) {
        Ok(subject) => format!("{} to {subject}, {body} octets", event.id),
        Err(why) => format!("{} nowhere: {why}", event.id),
    }
}

async fn looked_at(target: &Target, connection: &Connection) -> Vec<Check> {
    let settings = &target.settings;
    let what = format!("stream {}", settings.stream);
    let stream = match connection.jetstream().get_stream(&settings.stream).await {
        Ok(stream) => stream,
        Err(err) => {
            let said = outcome::chain(&err);
            return vec![match err.kind() {
                GetStreamErrorKind::JetStream(_) => {
                    let text = format!("{said}; `exeunt exit install` makes it");
                    Check::failed(what, text)
                }
                // An account that may publish and not ask is enough for the module.
                _ => Check::warning(what, format!("it cannot be looked at: {said}")),
            }];
        }
    };
    let config = &stream.cached_info().config;
    let mut checks = Vec::new();
    for text in troubles(target, config) {
        checks.push(Check::warning(&what, text));
    }
    let filter = settings.subject.filter();
    if config.subjects.iter().any(|it| covers(it, filter)) {
        checks.push(Check::passed(&what, format!("it takes {}", config.subjects.join(", "))));
    } else {
        let taken = config.subjects.join(", ");
        let text = format!("it takes {taken}, which is not all of {filter}");
        checks.push(Check::failed(&what, text));
    }
    checks
}

/// What about a stream loses or repeats events.
fn troubles(target: &Target, config: &Config) -> Vec<String> {
    let mut troubles = Vec::new();
    if config.duplicate_window < target.settings.duplicate_window {
        troubles.push(format!(
            "it recognises an event that comes again for {} s only, and not for {} s",
            config.duplicate_window.as_secs(),
            target.settings.duplicate_window.as_secs()
        ));
    }
    let limited = 0 < config.max_bytes || 0 < config.max_messages;
    if limited && config.discard == DiscardPolicy::Old {
        troubles.push("when it is full it drops the oldest events (discard old)".to_owned());
    }
    if 0 < config.max_messages_per_subject {
        troubles.push("it keeps the last messages of each subject only".to_owned());
    }
    if config.storage == StorageType::Memory {
        troubles.push("it is kept in memory, and gone when the server ends".to_owned());
    }
    if config.no_ack {
        troubles.push("it confirms nothing (no ack), so that no event is ever accepted".to_owned());
    }
    troubles
}

/// Publishes to each subject what the server has to refuse because of the stream that it names. It
/// looks at the rights before it does.
async fn may_publish(
    target: &Target,
    connection: &Connection,
    samples: &[Event],
    deadline: Instant,
) -> Check {
    // Events as they would be; what an event lacks for its subject, none of these lacks.
    let example = samples.first().cloned().unwrap_or_else(|| example(&target.ca));
    let of_words = exit_event::WORDS.map(|(event, _)| Event { event, ..example.clone() });
    let mut subjects: Vec<String> =
        samples.iter().chain(&of_words).filter_map(|it| target.subject(it).ok()).collect();
    let mut seen = BTreeSet::new();
    subjects.retain(|it| seen.insert(it.clone()));
    let mut tried = Vec::with_capacity(subjects.len());
    for subject in &subjects {
        let probe = PublishMessage::build().expected_stream(NO_STREAM);
        tried.push(connection.send(subject.clone(), probe, deadline).await);
    }
    let mut refused = Vec::new();
    for sent in tried {
        let answer = match sent {
            Ok(sent) => connection.confirmed(sent, deadline).await,
            Err(failure) => Err(failure),
        };
        match answer {
            Err(Failure::Later(why)) if why.contains(REFUSED_AS_WISHED) => (),
            Err(Failure::Later(why) | Failure::Never(why)) => refused.push(why),
            Ok(()) => refused.push("the server took what it had to refuse".to_owned()),
        }
    }
    match refused.first() {
        None => Check::passed("publish", format!("allowed to all {} subjects", subjects.len())),
        Some(why) => {
            let text = format!("{} of {} subjects: {why}", refused.len(), subjects.len());
            Check::failed("publish", text)
        }
    }
}

/// An event that says what any pattern may ask for.
fn example(ca: &str) -> Event {
    let text = |text: &str| Value::String(text.to_owned());
    Event {
        id: "example-1".to_owned(),
        context: 1,
        request: Properties::from_iter([("RequesterName", text("example"))]),
        certificate: Properties::from_iter([
            ("SerialNumber", text("01")),
            ("CommonName", text("example")),
            ("CertificateTemplate", text("example")),
        ]),
        system: Arc::new(Properties::from_iter([("SanitizedCAName", text(ca))])),
        ..Event::default()
    }
}

/// Makes the stream where it is not there, or says what would be made. One that is there is left as
/// it is.
pub async fn install(
    target: &Target,
    connection: Result<Connection, String>,
    apply: bool,
) -> InstallReport {
    let wanted = wanted(target);
    let what = format!("stream {}", wanted.name);
    let script = Some(script(&wanted));
    let connection = match connection {
        Ok(connection) => connection,
        Err(why) => return InstallReport { steps: vec![Check::failed("connect", why)], script },
    };
    let there = connection.jetstream().get_stream(&wanted.name).await;
    let step = match there {
        Ok(stream) => {
            let config = &stream.cached_info().config;
            let mut troubles = troubles(target, config);
            let filter = target.settings.subject.filter();
            if !config.subjects.iter().any(|it| covers(it, filter)) {
                troubles.push(format!("it does not take all of {filter}"));
            }
            if troubles.is_empty() {
                Check::passed(what, "it is there already")
            } else {
                let text =
                    format!("it is there already and left as it is: {}", troubles.join("; "));
                Check::warning(what, text)
            }
        }
        Err(err) if !matches!(err.kind(), GetStreamErrorKind::JetStream(_)) => {
            Check::failed(what, format!("it cannot be looked at: {}", outcome::chain(&err)))
        }
        Err(_) if !apply => Check::passed(what, "it would be made"),
        Err(_) => match connection.jetstream().create_stream(wanted).await {
            Ok(_) => Check::passed(what, "it was made"),
            Err(err) => Check::failed(what, format!("it cannot be made: {}", outcome::chain(&err))),
        },
    };
    InstallReport { steps: vec![step], script }
}

/// A stream that loses nothing: on the disk, without limits, and refusing what it has no room for.
fn wanted(target: &Target) -> Config {
    let settings = &target.settings;
    Config {
        name: settings.stream.clone(),
        description: Some("events of a certificate authority".to_owned()),
        subjects: vec![settings.subject.filter().to_owned()],
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        duplicate_window: settings.duplicate_window,
        num_replicas: settings.replicas,
        max_age: Duration::ZERO,
        ..Config::default()
    }
}

/// The same as a command of the `nats` tool.
fn script(wanted: &Config) -> String {
    format!(
        "nats stream add {} --subjects='{}' --storage=file --retention=limits --discard=new \
         --dupe-window={}s --replicas={} --defaults\n",
        wanted.name,
        wanted.subjects.join(","),
        wanted.duplicate_window.as_secs(),
        wanted.num_replicas
    )
}
