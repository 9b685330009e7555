//! Looks at the stream, and makes it.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::jetstream::{
    ErrorCode,
    context::GetStreamErrorKind,
    message::PublishMessage,
    stream::{Config, DiscardPolicy, StorageType, Stream},
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
    settings::Nats,
    subject::covers,
};

/// What `Test` says that it expects to be the stream, so that the server refuses a message after it
/// has looked at the rights. No stream has a space in its name.
const NO_STREAM: &str = "no stream";

/// Before the name of a stream in the subject that a question about it is sent to.
const ASK_OF_STREAM: &str = "$JS.API.STREAM.INFO.";

/// Likewise for the order to make one.
const MAKE_STREAM: &str = "$JS.API.STREAM.CREATE.";

/// Connects, looks at the stream and at the rights, and says what would be sent. Writes nothing.
pub async fn test(
    target: &Target,
    nats: &Nats,
    connection: Result<Connection, String>,
    samples: &[Event],
    deadline: Instant,
) -> TestReport {
    let would_write = samples.iter().map(|it| would_write(target, nats, it)).collect();
    let connection = match connection {
        Ok(connection) => connection,
        Err(why) => return TestReport { checks: vec![Check::failed("connect", why)], would_write },
    };
    let (server, largest) = (connection.server(), connection.max_payload());
    let text = format!("{server}, which takes messages of up to {largest} octets");
    let mut checks = vec![Check::passed("connect", text)];
    checks.extend(looked_at(nats, &connection).await);
    checks.push(may_publish(target, nats, &connection, samples, deadline).await);
    TestReport { checks, would_write }
}

fn would_write(target: &Target, nats: &Nats, event: &Event) -> String {
    let body = message::body_length(event, &target.source(event), target.settings.mode);
    match nats.subject.expand(event) {
        Ok(subject) => format!("{} to {subject}, {body} octets", event.id),
        Err(why) => format!("{} nowhere: {why}", event.id),
    }
}

/// What the server says of the stream; nothing where there is none.
///
/// # Errors
///
/// One line for the operator: it does not say.
async fn found(nats: &Nats, connection: &Connection) -> Result<Option<Stream>, String> {
    let subject = format!("{ASK_OF_STREAM}{}", nats.stream);
    let asked = connection.jetstream().get_stream(&nats.stream);
    match connection.unless_refused(&subject, asked).await? {
        Ok(stream) => Ok(Some(stream)),
        Err(err) => match err.kind() {
            GetStreamErrorKind::JetStream(said)
                if said.error_code() == ErrorCode::STREAM_NOT_FOUND =>
            {
                Ok(None)
            }
            _ => Err(outcome::chain(&err)),
        },
    }
}

async fn looked_at(nats: &Nats, connection: &Connection) -> Vec<Check> {
    let what = format!("stream {}", nats.stream);
    let stream = match found(nats, connection).await {
        Ok(Some(stream)) => stream,
        Ok(None) => {
            let text = "there is none of that name; `exeunt exit install` makes it";
            return vec![Check::failed(what, text)];
        }
        // An account that may publish and not ask is enough for the module.
        Err(why) => return vec![Check::warning(what, format!("it cannot be looked at: {why}"))],
    };
    let config = &stream.cached_info().config;
    let mut checks = Vec::new();
    for text in troubles(nats, config) {
        checks.push(Check::warning(&what, text));
    }
    let filter = nats.subject.filter();
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
fn troubles(nats: &Nats, config: &Config) -> Vec<String> {
    let mut troubles = Vec::new();
    if config.duplicate_window < nats.duplicate_window {
        troubles.push(format!(
            "it recognises an event that comes again for {} s only, and not for {} s",
            config.duplicate_window.as_secs(),
            nats.duplicate_window.as_secs()
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
    nats: &Nats,
    connection: &Connection,
    samples: &[Event],
    deadline: Instant,
) -> Check {
    let mut subjects: Vec<String> = examples(samples, &target.ca)
        .iter()
        .filter_map(|it| nats.subject.expand(it).ok())
        .collect();
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
            Err(Failure::OtherStream(_)) => (),
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

/// Events as they would be, one of each kind beside the samples.
pub(crate) fn examples(samples: &[Event], ca: &str) -> Vec<Event> {
    // What an event lacks for its subject, none of these lacks.
    let example = samples.first().cloned().unwrap_or_else(|| example(ca));
    let of_words = exit_event::WORDS.map(|(event, _)| Event { event, ..example.clone() });
    samples.iter().cloned().chain(of_words).collect()
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
    nats: &Nats,
    connection: Result<Connection, String>,
    apply: bool,
) -> InstallReport {
    let wanted = wanted(nats);
    let what = format!("stream {}", wanted.name);
    let script = Some(script(&wanted));
    let connection = match connection {
        Ok(connection) => connection,
        Err(why) => return InstallReport { steps: vec![Check::failed("connect", why)], script },
    };
    let step = match found(nats, &connection).await {
        Ok(Some(stream)) => {
            let config = &stream.cached_info().config;
            let mut troubles = troubles(nats, config);
            let filter = nats.subject.filter();
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
        Err(why) => Check::failed(what, format!("it cannot be looked at: {why}")),
        Ok(None) if !apply => Check::passed(what, "it would be made"),
        Ok(None) => {
            let subject = format!("{MAKE_STREAM}{}", wanted.name);
            let made = connection.jetstream().create_stream(wanted);
            let refused = match connection.unless_refused(&subject, made).await {
                Ok(Ok(_)) => None,
                Ok(Err(err)) => Some(outcome::chain(&err)),
                Err(why) => Some(why),
            };
            match refused {
                None => Check::passed(what, "it was made"),
                Some(why) => Check::failed(what, format!("it cannot be made: {why}")),
            }
        }
    };
    InstallReport { steps: vec![step], script }
}

/// A stream that loses nothing: on the disk, without limits, and refusing what it has no room for.
fn wanted(nats: &Nats) -> Config {
    Config {
        name: nats.stream.clone(),
        description: Some("events of a certificate authority".to_owned()),
        subjects: vec![nats.subject.filter().to_owned()],
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        duplicate_window: nats.duplicate_window,
        num_replicas: nats.replicas,
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
