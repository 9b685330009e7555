//! Brings a batch of mails to the server, over some connections that are kept from batch to batch.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use exeunt_publication::resolver::Resolver;

use crate::{
    compose::Mail,
    settings::{RefusedRecipient, Server},
    smtp::{Connection, Failure, Stage},
};

/// What became of a mail: which recipients were left out, or why nobody got it.
pub type Sent = Result<Vec<String>, Failure>;

/// The connections.
#[derive(Debug)]
pub struct Courier {
    server: Server,
    resolver: Resolver,
    policy: RefusedRecipient,
    connections: Vec<Option<Connection>>,
}

/// What the threads of a batch share.
struct Batch<'a> {
    server: &'a Server,
    resolver: &'a Resolver,
    policy: RefusedRecipient,
    mails: &'a [Mail],
    next: AtomicUsize,
    /// Why the server cannot be spoken with, once somebody has found out.
    down: Mutex<Option<String>>,
    /// After this moment no mail is begun.
    begin_until: Instant,
    until: Instant,
}

impl Courier {
    /// A courier with at most so many connections. None is opened yet.
    pub fn new(server: Server, policy: RefusedRecipient, connections: usize) -> Self {
        let connections = (0..connections.max(1)).map(|_| None).collect();
        let resolver = Resolver::new(&server.host, server.port);
        Self { server, resolver, policy, connections }
    }

    /// Sends each mail, and says of each what became of it, in the same order.
    pub fn deliver(&mut self, mails: &[Mail], until: Instant) -> Vec<Sent> {
        let start = Instant::now();
        let begin_until = start + until.saturating_duration_since(start) / 2;
        let next = AtomicUsize::new(0);
        let batch = Batch {
            server: &self.server,
            resolver: &self.resolver,
            policy: self.policy,
            mails,
            next,
            down: Mutex::new(None),
            begin_until,
            until,
        };
        let workers = self.connections.len().min(mails.len());
        let mut sent: Vec<(usize, Sent)> = match &mut self.connections[..workers] {
            [] => Vec::new(),
            [one] => batch.work(one),
            several => thread::scope(|scope| {
                let started: Vec<_> =
                    several.iter_mut().map(|it| scope.spawn(|| batch.work(it))).collect();
                // A thread that panicked leaves its mails without an answer, which is one below.
                started.into_iter().flat_map(|it| it.join().unwrap_or_default()).collect()
            }),
        };
        sent.sort_unstable_by_key(|(index, _)| *index);
        let mut answers = sent.into_iter().peekable();
        (0..mails.len())
            .map(|index| match answers.next_if(|(it, _)| *it == index) {
                Some((_, sent)) => sent,
                None => Err(Failure::Later("the attempt broke off".to_owned())),
            })
            .collect()
    }

    /// Closes every connection.
    pub fn close(&mut self) {
        for connection in self.connections.iter_mut().filter_map(Option::take) {
            connection.close();
        }
    }
}

impl Batch<'_> {
    /// Takes one mail after the other until there is none.
    fn work(&self, kept: &mut Option<Connection>) -> Vec<(usize, Sent)> {
        let mut sent = Vec::new();
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(mail) = self.mails.get(index) else { return sent };
            let why = self.down.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let answer = match why {
                Some(why) => Err(Failure::Server(why)),
                // One that is broken off in the middle may arrive twice.
                None if self.begin_until < Instant::now() => {
                    let why = "the server took its time with others, and this one was not begun";
                    Err(Failure::Server(why.to_owned()))
                }
                None => self.send(kept, mail),
            };
            if let Err(Failure::Server(why)) = &answer {
                *self.down.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.clone());
            }
            sent.push((index, answer));
        }
    }

    fn send(&self, kept: &mut Option<Connection>, mail: &Mail) -> Sent {
        let open = || {
            Connection::open(self.server, self.resolver, self.until).map_err(|(stage, why)| {
                Failure::Server(match stage {
                    Stage::Connect => format!("connecting: {why}"),
                    Stage::Secure => format!("TLS: {why}"),
                    Stage::Authenticate => why,
                })
            })
        };
        let mut connection = match kept.take().filter(Connection::is_fresh) {
            Some(connection) => connection,
            None => open()?,
        };
        let mut answer = connection.send(mail, self.policy, self.until);
        // Servers end connections that they find idle or old; that is no fault of theirs.
        if let Err(Failure::Stale(_)) = answer {
            connection = open()?;
            answer = connection.send(mail, self.policy, self.until);
        }
        if !matches!(answer, Err(Failure::Server(_) | Failure::Stale(_))) {
            *kept = Some(connection);
        }
        answer
    }
}
