//! The order of events, and what became of each.

use std::{
    collections::{HashMap, HashSet},
    pin::Pin,
    time::Instant,
};

use exeunt_module_kit::{Event, Outcome};
use exeunt_publication::outcome;
use futures_util::future::{FutureExt as _, join_all, maybe_done};
use lapin::{Confirmation, message::BasicReturnMessage, options::BasicPublishOptions};
use tokio::time;

use crate::{
    amqp::{
        connection::{Connection, Refusal, Trouble},
        message::{self, Message, short},
        settings::Amqp,
    },
    publish::Target,
};

/// What `RabbitMQ` says where nothing may be published to the exchange, by whatever routing key. Of a
/// single one it speaks as of a topic.
const WHOLE_EXCHANGE: &str = "access to exchange";

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    /// A queue has it.
    Confirmed,
    /// The server says that it has not taken it (`basic.nack`).
    Refused,
    /// Nobody knows.
    Trouble(Trouble),
}

/// A message and where it goes.
struct Letter {
    routing_key: String,
    message: Message,
}

/// Publishes events: all are under way before the first answer is waited for.
pub async fn publish(
    connection: &mut Connection,
    target: &Target,
    amqp: &Amqp,
    events: &[Event],
    deadline: Instant,
) -> Vec<Outcome> {
    let letters: Vec<Result<Letter, String>> =
        events.iter().map(|event| letter(target, amqp, event)).collect();
    let good: Vec<&Letter> = letters.iter().filter_map(|it| it.as_ref().ok()).collect();
    let mut outcomes = together(connection, amqp, &good, deadline).await;
    // The server has refused one message and thereby the rest: each has to be looked at alone.
    if 1 < good.len() && outcomes.iter().any(|it| matches!(it, Told::Refused(..))) {
        outcomes = one_by_one(connection, amqp, &good, outcomes, deadline).await;
    }
    let mut outcomes = outcomes.into_iter();
    letters
        .iter()
        .map(|letter| match letter {
            Err(why) => outcome::park(why),
            Ok(_) => match outcomes.next() {
                Some(told) => told.outcome(),
                None => outcome::retry("nothing was done"),
            },
        })
        .collect()
}

fn letter(target: &Target, amqp: &Amqp, event: &Event) -> Result<Letter, String> {
    let refused = |why: String| format!("the routing key: {why}");
    let routing_key = amqp.routing_key.expand(event).map_err(refused)?;
    short("the routing key", &routing_key)?;
    let source = target.source(event);
    let message = message::of(event, &target.module, &source, target.settings.mode)?;
    Ok(Letter { routing_key, message })
}

/// What is known of a message in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Confirmed,
    /// The target takes nothing, of whatever event.
    Down(String),
    /// It does not take this one.
    Later(String),
    /// The server has closed the channel because of this message, or of another one.
    Refused(Refusal, String),
}

impl Told {
    fn outcome(self) -> Outcome {
        match self {
            Self::Confirmed => Outcome::Accept,
            Self::Refused(Refusal::Precondition, said) => {
                outcome::park(format!("the server takes no such message: {said}"))
            }
            Self::Refused(Refusal::Missing, said) => outcome::target_retry(format!(
                "{said}; `exeunt exit install` makes what is missing"
            )),
            Self::Refused(Refusal::Access, said) if said.contains(WHOLE_EXCHANGE) => {
                outcome::target_retry(format!("the server refused: {said}"))
            }
            Self::Refused(_, said) => outcome::retry(format!("the server refused: {said}")),
            Self::Down(why) => outcome::target_retry(why),
            Self::Later(why) => outcome::retry(why),
        }
    }
}

/// Publishes and waits for the answers.
async fn together(
    connection: &mut Connection,
    amqp: &Amqp,
    letters: &[&Letter],
    deadline: Instant,
) -> Vec<Told> {
    let channel = match connection.channel(deadline).await {
        Ok(channel) => channel,
        Err(trouble) => {
            return vec![Told::Down(trouble.said().to_owned()); letters.len()];
        }
    };
    let mut returned = Vec::new();
    let sent = letters.iter().map(|letter| {
        let Letter { routing_key, message } = letter;
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let publish = channel.basic_publish(
            // Both were looked at: they are short.
            amqp.exchange.as_str().into(),
            routing_key.as_str().into(),
            options,
            &message.body,
            message.properties.clone(),
        );
        async { publish.await?.await }
    });
    let (words, late) = until(deadline, sent).await;
    // Too late to count. But one of these may have come with what an answer in time was to bring.
    for word in late {
        returned.extend(word.ok().and_then(Confirmation::take_message));
    }
    let mut answers = Vec::with_capacity(letters.len());
    for word in words {
        answers.push(match word {
            Some(Ok(Confirmation::Ack(message))) => {
                returned.extend(message);
                Answer::Confirmed
            }
            Some(Ok(Confirmation::Nack(message))) => {
                returned.extend(message);
                Answer::Refused
            }
            Some(Ok(Confirmation::NotRequested)) => {
                let why = "the channel confirms nothing".to_owned();
                Answer::Trouble(Trouble::Lost(why))
            }
            Some(Err(err)) => Answer::Trouble(Trouble::of(&err)),
            None => Answer::Trouble(Trouble::Late(if connection.is_blocked() {
                "the server takes nothing at present: an alarm of memory or disk".to_owned()
            } else {
                "the server has not confirmed in time".to_owned()
            })),
        });
    }
    judged(amqp, letters, answers, &returned)
}

/// What each of them came to until the deadline, in their order, and what the others have come to when
/// those that were in time are known: nothing that came before one of these is overlooked.
async fn until<T>(
    deadline: Instant,
    work: impl Iterator<Item = impl Future<Output = T>>,
) -> (Vec<Option<T>>, Vec<T>) {
    let mut work: Vec<_> = work.map(|it| Box::pin(maybe_done(it))).collect();
    let all = join_all(work.iter_mut().map(Pin::as_mut));
    // What is not done by then is left, and not dropped: it is looked at again.
    let _ = time::timeout_at(deadline.into(), all).await;
    let in_time: Vec<Option<T>> = work.iter_mut().map(|it| it.as_mut().take_output()).collect();
    let mut late = Vec::new();
    for (work, _) in work.iter_mut().zip(&in_time).filter(|(_, word)| word.is_none()) {
        if work.as_mut().now_or_never().is_some() {
            late.extend(work.as_mut().take_output());
        }
    }
    (in_time, late)
}

/// What the answers say, given the messages that came back.
///
/// A message that no queue takes comes back before it is confirmed. The library hands it over with the
/// next answer, whichever message that is of, so messages are known by their ids; and where an answer is
/// missing, it may be the one that came with the word of another. Where none came with anything, nothing
/// came back: each is returned before its own answer.
fn judged(
    amqp: &Amqp,
    letters: &[&Letter],
    answers: Vec<Answer>,
    returned: &[BasicReturnMessage],
) -> Vec<Told> {
    let whole = !answers.iter().any(|it| matches!(it, Answer::Trouble(_)));
    let ids: HashSet<&str> = returned
        .iter()
        .filter_map(|it| it.delivery.properties.message_id().as_ref())
        .map(lapin::types::ShortString::as_str)
        .collect();
    let judge = |(letter, answer): (&&Letter, Answer)| match answer {
        _ if ids.contains(letter.message.id.as_str()) => Told::Later(format!(
            "no queue takes routing key {:?} of exchange {:?}: bind one; \
             `exeunt exit install` does where queue is set",
            letter.routing_key, amqp.exchange
        )),
        Answer::Confirmed if whole || returned.is_empty() => Told::Confirmed,
        Answer::Confirmed => Told::Later("it may have come back".to_owned()),
        Answer::Refused => Told::Down(
            "the server has not taken it (basic.nack): a queue is full, or has failed".to_owned(),
        ),
        Answer::Trouble(Trouble::Refused { why, said }) => Told::Refused(why, said),
        Answer::Trouble(Trouble::Lost(why) | Trouble::Late(why)) => Told::Down(why),
    };
    letters.iter().zip(answers).map(judge).collect()
}

/// Publishes each that is not confirmed on its own. Where a right is missing, a routing key is tried
/// once.
async fn one_by_one(
    connection: &mut Connection,
    amqp: &Amqp,
    letters: &[&Letter],
    told: Vec<Told>,
    deadline: Instant,
) -> Vec<Told> {
    let mut refused: HashMap<&str, Told> = HashMap::new();
    let mut outcomes = Vec::with_capacity(letters.len());
    for (letter, told) in letters.iter().zip(told) {
        let known = refused.get(letter.routing_key.as_str());
        outcomes.push(match (told, known) {
            (Told::Confirmed, _) => Told::Confirmed,
            // What is not there is missing for every message.
            (told @ Told::Refused(Refusal::Missing, _), _) => told,
            (_, Some(known)) => known.clone(),
            _ => {
                let told = together(connection, amqp, &[letter], deadline).await.pop();
                let told = told.unwrap_or_else(|| Told::Later("nothing was done".to_owned()));
                if matches!(told, Told::Refused(Refusal::Access, _)) {
                    refused.insert(&letter.routing_key, told.clone());
                }
                told
            }
        });
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{cell::Cell, future::poll_fn, task::Poll, time::Duration};

    #[test]
    fn what_came_before_an_answer_in_time_is_seen_also_where_it_was_looked_at_too_soon() {
        let come = &Cell::new(false);
        // The first one's word comes after the look at it, and just before the second one's.
        let word = |sets: bool| {
            poll_fn(move |_| {
                come.set(come.get() || sets);
                if come.get() { Poll::Ready(sets) } else { Poll::Pending }
            })
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (in_time, late) = runtime.block_on(async {
            let deadline = Instant::now();
            // It is over at the first look, so that there is no second one before it.
            time::sleep(Duration::from_millis(5)).await;
            until(deadline, [false, true].into_iter().map(word)).await
        });
        assert_eq!(in_time, [None, Some(true)]);
        assert_eq!(late, [false]);
    }
}
