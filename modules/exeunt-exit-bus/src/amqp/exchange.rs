//! Looks at the exchange, the queue and the rights, and makes the first two.

use std::{collections::BTreeSet, time::Instant};

use exeunt_module_kit::{
    Event,
    maintain::{Check, InstallReport, TestReport},
};
use lapin::{
    BasicProperties, ExchangeKind,
    options::{BasicPublishOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, ShortString},
};

use crate::{
    amqp::{
        connection::{Connection, Refusal, Trouble, in_time},
        message::{self, short},
        settings::Amqp,
    },
    publish::Target,
    stream::examples,
};

/// How long `Test` says that its message lives, which is no number: the server refuses it, with 406,
/// after it has looked at the rights and before it gives the message to any queue.
const NO_EXPIRATION: &str = "no expiration";

/// Connects, looks at exchange, queue and rights, and says what would be sent. Writes nothing.
pub async fn test(
    target: &Target,
    amqp: &Amqp,
    connection: Result<Connection, String>,
    samples: &[Event],
    deadline: Instant,
) -> TestReport {
    let would_write = samples.iter().map(|it| would_write(target, amqp, it)).collect();
    let mut connection = match connection {
        Ok(connection) => connection,
        Err(why) => return TestReport { checks: vec![Check::failed("connect", why)], would_write },
    };
    let vhost = &amqp.vhost;
    let text = format!("{}, virtual host {vhost}", connection.server());
    let mut checks = vec![Check::passed("connect", text)];
    checks.push(there(
        format!("exchange {}", amqp.exchange),
        exchange(&mut connection, amqp, deadline).await,
    ));
    if let Some(name) = &amqp.queue {
        let found = queue(&mut connection, name, deadline).await;
        checks.push(there(format!("queue {name}"), found));
    }
    checks.push(may_publish(target, amqp, &mut connection, samples, deadline).await);
    connection.close().await;
    TestReport { checks, would_write }
}

fn would_write(target: &Target, amqp: &Amqp, event: &Event) -> String {
    let source = target.source(event);
    let message = message::of(event, &target.module, &source, target.settings.mode);
    match (amqp.routing_key.expand(event), message) {
        (Ok(key), Ok(message)) => {
            let (exchange, length) = (&amqp.exchange, message.body.len());
            format!("{} to {exchange} with {key}, {length} octets", event.id)
        }
        (Err(why), _) | (_, Err(why)) => format!("{} nowhere: {why}", event.id),
    }
}

fn there(what: String, found: Result<(), Trouble>) -> Check {
    match found {
        Ok(()) => Check::passed(what, "it is there"),
        Err(Trouble::Refused { why: Refusal::Missing, said }) => {
            Check::failed(what, format!("{said}; `exeunt exit install` makes it"))
        }
        // An account that may publish and not ask is enough for the module.
        Err(Trouble::Refused { said, .. }) => {
            Check::warning(what, format!("it cannot be looked at: {said}"))
        }
        Err(trouble) => Check::failed(what, trouble.said()),
    }
}

/// Whether the exchange is there.
async fn exchange(
    connection: &mut Connection,
    amqp: &Amqp,
    deadline: Instant,
) -> Result<(), Trouble> {
    let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    declare_exchange(connection, amqp, options, deadline).await
}

async fn declare_exchange(
    connection: &mut Connection,
    amqp: &Amqp,
    options: ExchangeDeclareOptions,
    deadline: Instant,
) -> Result<(), Trouble> {
    let channel = connection.channel(deadline).await?;
    let name: ShortString = amqp.exchange.as_str().into();
    let asked = channel.exchange_declare(name, ExchangeKind::Topic, options, FieldTable::default());
    in_time(deadline, async { asked.await.map_err(|err| Trouble::of(&err)) }).await
}

/// Whether a queue is there.
async fn queue(connection: &mut Connection, name: &str, deadline: Instant) -> Result<(), Trouble> {
    let channel = connection.channel(deadline).await?;
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let asked = channel.queue_declare(name.into(), options, FieldTable::default());
    in_time(deadline, async { asked.await.map(drop).map_err(|err| Trouble::of(&err)) }).await
}

/// Publishes with each routing key what the server has to refuse, after it has looked at the rights.
async fn may_publish(
    target: &Target,
    amqp: &Amqp,
    connection: &mut Connection,
    samples: &[Event],
    deadline: Instant,
) -> Check {
    let examples = examples(samples, &target.ca);
    let keys: BTreeSet<String> = examples
        .iter()
        .filter_map(|it| amqp.routing_key.expand(it).ok())
        .filter(|it| short("it", it).is_ok())
        .collect();
    let mut refused = Vec::new();
    for key in &keys {
        match probe(connection, amqp, key, deadline).await {
            Err(Trouble::Refused { why: Refusal::Precondition, .. }) => (),
            Err(trouble) => refused.push(format!("{key:?}: {}", trouble.said())),
            Ok(()) => refused.push(format!("{key:?}: the server took what it had to refuse")),
        }
        if deadline <= Instant::now() {
            break;
        }
    }
    match refused.first() {
        None => Check::passed("publish", format!("allowed with all {} routing keys", keys.len())),
        Some(why) => {
            let text = format!("{} of {} routing keys: {why}", refused.len(), keys.len());
            Check::failed("publish", text)
        }
    }
}

async fn probe(
    connection: &mut Connection,
    amqp: &Amqp,
    key: &str,
    deadline: Instant,
) -> Result<(), Trouble> {
    let channel = connection.channel(deadline).await?;
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let properties = BasicProperties::default().with_expiration(NO_EXPIRATION.into());
    let (exchange, key): (ShortString, ShortString) = (amqp.exchange.as_str().into(), key.into());
    in_time(deadline, async {
        let sent = channel.basic_publish(exchange, key, options, &[], properties).await;
        sent.map_err(|err| Trouble::of(&err))?.await.map(drop).map_err(|err| Trouble::of(&err))
    })
    .await
}

/// Makes what is not there, or says what would be made. What is there is left as it is.
pub async fn install(
    amqp: &Amqp,
    connection: Result<Connection, String>,
    apply: bool,
    deadline: Instant,
) -> InstallReport {
    let script = Some(script(amqp));
    let mut connection = match connection {
        Ok(connection) => connection,
        Err(why) => return InstallReport { steps: vec![Check::failed("connect", why)], script },
    };
    let mut steps = Vec::new();
    let what = format!("exchange {}", amqp.exchange);
    let found = exchange(&mut connection, amqp, deadline).await;
    steps.push(match found {
        Err(Trouble::Refused { why: Refusal::Missing, .. }) if apply => {
            made(what, make_exchange(&mut connection, amqp, deadline).await)
        }
        found => left(what, found),
    });
    if let Some(name) = &amqp.queue {
        let what = format!("queue {name}");
        let found = queue(&mut connection, name, deadline).await;
        steps.push(match found {
            Err(Trouble::Refused { why: Refusal::Missing, .. }) if apply => {
                made(what, make_queue(&mut connection, amqp, name, deadline).await)
            }
            found => left(what, found),
        });
        let what = format!("binding of {name} to {}", amqp.routing_key.filter());
        steps.push(if apply {
            // One that is there stays, and nobody is told whether it was.
            match bind(&mut connection, amqp, name, deadline).await {
                Ok(()) => Check::passed(what, "it is there now"),
                Err(trouble) => Check::failed(what, format!("cannot be made: {}", trouble.said())),
            }
        } else {
            Check::passed(what, "it would be made where it is not there")
        });
    }
    connection.close().await;
    InstallReport { steps, script }
}

fn left(what: String, found: Result<(), Trouble>) -> Check {
    match found {
        Ok(()) => Check::passed(what, "it is there already"),
        Err(Trouble::Refused { why: Refusal::Missing, .. }) => {
            Check::passed(what, "it would be made")
        }
        Err(trouble) => Check::failed(what, format!("it cannot be looked at: {}", trouble.said())),
    }
}

fn made(what: String, made: Result<(), Trouble>) -> Check {
    match made {
        Ok(()) => Check::passed(what, "it was made"),
        Err(trouble) => Check::failed(what, format!("it cannot be made: {}", trouble.said())),
    }
}

async fn make_exchange(
    connection: &mut Connection,
    amqp: &Amqp,
    deadline: Instant,
) -> Result<(), Trouble> {
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    declare_exchange(connection, amqp, options, deadline).await
}

async fn make_queue(
    connection: &mut Connection,
    amqp: &Amqp,
    name: &str,
    deadline: Instant,
) -> Result<(), Trouble> {
    let channel = connection.channel(deadline).await?;
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let mut arguments = FieldTable::default();
    for (name, value) in arguments_of(amqp) {
        arguments.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    let asked = channel.queue_declare(name.into(), options, arguments);
    in_time(deadline, async { asked.await.map(drop).map_err(|err| Trouble::of(&err)) }).await
}

/// A queue that drops nothing of its own accord: what it has no room for, should somebody limit it, it
/// refuses.
fn arguments_of(amqp: &Amqp) -> [(&'static str, &'static str); 2] {
    [("x-queue-type", amqp.queue_type), ("x-overflow", "reject-publish")]
}

async fn bind(
    connection: &mut Connection,
    amqp: &Amqp,
    name: &str,
    deadline: Instant,
) -> Result<(), Trouble> {
    let channel = connection.channel(deadline).await?;
    let filter = short("the binding", amqp.routing_key.filter()).map_err(Trouble::Lost)?;
    let (options, exchange) = (QueueBindOptions::default(), amqp.exchange.as_str().into());
    let asked = channel.queue_bind(name.into(), exchange, filter, options, FieldTable::default());
    in_time(deadline, async { asked.await.map_err(|err| Trouble::of(&err)) }).await
}

/// The same as commands of the tool `rabbitmqadmin`.
fn script(amqp: &Amqp) -> String {
    let Amqp { vhost, exchange, .. } = amqp;
    let tool = format!("rabbitmqadmin --vhost='{vhost}' declare");
    let exchange_made = format!("{tool} exchange name={exchange} type=topic durable=true\n");
    let Some(queue) = &amqp.queue else {
        return exchange_made;
    };
    let [(kind, of_kind), (overflow, reject)] = arguments_of(amqp);
    let arguments = format!("{{\"{kind}\":\"{of_kind}\",\"{overflow}\":\"{reject}\"}}");
    let filter = amqp.routing_key.filter();
    format!(
        "{exchange_made}{tool} queue name={queue} durable=true arguments='{arguments}'\n\
         {tool} binding source={exchange} destination={queue} routing_key='{filter}'\n"
    )
}
