//! The module itself: events in, objects out, and what became of each.

use std::time::{Duration, Instant};

use exeunt_module_kit::{
    Event, EventMask, ExitModule, Facts, Greeted, Initialize, MaintainExitModule, ManageExitModule,
    Outcome, Value, exit_event, manage::ManageModule, notify_as_batch,
};
use exeunt_publication::{
    outcome,
    time::{self, unix_now},
};
use futures_util::{StreamExt as _, stream};
use tokio::runtime::{self, Runtime};

use crate::{
    bucket::{Bucket, Failure, Put},
    content::{self, Verdict, Wanted},
    maintain::Compare,
    settings::{self, Settings},
};

/// What the module is, in one line.
const DESCRIPTION: &str = "publishes into an S3-compatible bucket";

/// What the console shows of it.
const FACTS: Facts =
    Facts { name: "object", description: DESCRIPTION, version: env!("CARGO_PKG_VERSION") };

/// How many objects are written at the same time.
pub const PARALLEL_MAX: usize = 16;

/// How often a write is tried again at once because somebody else wrote in between.
pub const RACES_MAX: usize = 8;

/// The exit module. It starts its work with the host's greeting.
#[derive(Debug, Default)]
pub struct ObjectExit {
    pub(crate) state: Greeted<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) runtime: Runtime,
    pub(crate) settings: Settings,
    /// How long a batch may take.
    pub(crate) within: Duration,
    /// What was compared so far.
    pub(crate) compare: Compare,
    bucket: Option<Bucket>,
}

impl State {
    pub(crate) fn new(hello: &Initialize) -> Result<Self, String> {
        let settings = Settings::read(&hello.settings)?;
        // One thread of its own, so that connections that end are noticed while there is no event.
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|err| format!("a thread cannot be made: {err}"))?;
        let within = settings.timeout.min(time::budget(hello.deadline_ms));
        Ok(Self { runtime, settings, within, compare: Compare::default(), bucket: None })
    }

    /// The bucket, with the keys that the files hold now.
    pub(crate) fn bucket(&mut self) -> Result<Bucket, String> {
        match self.bucket.take() {
            Some(bucket) => Ok(bucket),
            None => Bucket::open(&self.settings),
        }
    }

    fn publish(&mut self, events: &[Event]) -> Vec<Outcome> {
        let bucket = match self.bucket() {
            Ok(bucket) => bucket,
            Err(why) => return vec![outcome::target_retry(why); events.len()],
        };
        let deadline = Instant::now() + self.within;
        let (settings, now) = (&self.settings, unix_now());
        let outcomes: Vec<Outcome> = self.runtime.block_on(
            stream::iter(events)
                .map(|event| settle(&bucket, settings, event, now, deadline))
                .buffered(PARALLEL_MAX)
                .collect(),
        );
        // After a failure the files are read again: the keys may be new ones by then.
        if !outcomes.iter().any(Outcome::is_retry) {
            self.bucket = Some(bucket);
        }
        outcomes
    }
}

async fn settle(
    bucket: &Bucket,
    settings: &Settings,
    event: &Event,
    now: i64,
    deadline: Instant,
) -> Outcome {
    let wanted = content::of_event(event, settings);
    let (mut put_off, mut parked) = (None, None);
    let mut there = false;
    for wanted in wanted {
        let done = match &wanted {
            Ok(wanted) => publish(bucket, wanted, now, deadline).await,
            Err(failure) => Err(failure.clone()),
        };
        match done {
            Ok(Done::There) => there = true,
            Ok(Done::Superseded) => (),
            // The rest comes with the next attempt; what is there stays.
            Err(Failure::Later(why)) => return outcome::target_retry(why),
            Err(Failure::NotNow(why)) => put_off = put_off.or(Some(why)),
            Err(Failure::Never(why)) => parked = parked.or(Some(why)),
        }
    }
    match (put_off, parked) {
        (Some(why), _) => outcome::retry(why),
        (None, Some(why)) => outcome::park(why),
        (None, None) if there => Outcome::Accept,
        (None, None) => Outcome::Skip,
    }
}

/// What became of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// It is there.
    There,
    /// Something newer of ours is.
    Superseded,
}

/// Brings an object to its key: looks, compares, writes on the condition that nothing has changed,
/// and looks again.
pub(crate) async fn publish(
    bucket: &Bucket,
    wanted: &Wanted,
    now: i64,
    deadline: Instant,
) -> Result<Done, Failure> {
    let key = &wanted.key;
    let mut look = !wanted.is_new();
    // What stood there before the write that was confirmed last.
    let mut before: Option<Option<Vec<u8>>> = None;
    for _ in 0..RACES_MAX {
        let found = if look { bucket.get(key, wanted.bytes_max(), deadline).await? } else { None };
        match wanted.verdict(found.as_ref().map(|it| it.bytes.as_slice()), now) {
            Verdict::Write => (),
            Verdict::Same => return Ok(Done::There),
            Verdict::Superseded => return Ok(Done::Superseded),
            Verdict::Foreign(why) => {
                return Err(Failure::Never(format!("{key}: {why}; it was left alone")));
            }
        }
        let there = found.as_ref().map(|it| &it.bytes);
        if before.as_ref().is_some_and(|it| it.as_ref() == there) {
            let why = format!("{key}: the server has confirmed a write and has kept nothing of it");
            return Err(Failure::Later(why));
        }
        let put = bucket.put(key, wanted.body(), found.as_ref(), deadline).await?;
        if put == Put::Written && !wanted.is_read_back() {
            return Ok(Done::There);
        }
        before = (put == Put::Written).then(|| found.map(|it| it.bytes));
        // Read back, or compared with what another has written.
        look = true;
    }
    Err(Failure::Later(format!("{key}: others write it again and again")))
}

impl ExitModule for ObjectExit {
    fn initialize(&mut self, hello: &Initialize) -> Result<EventMask, String> {
        let state = State::new(hello)?;
        let mut mask = exit_event::STARTUP | exit_event::CRL_ISSUED | exit_event::CA_CERT_ISSUED;
        if state.settings.ca_folder.is_none() && state.settings.list_folder.is_none() {
            mask = 0;
        }
        if state.settings.certificates.is_some() {
            mask |= exit_event::CERT_ISSUED;
        }
        self.state.set(state);
        Ok(EventMask(mask))
    }

    fn description(&self) -> String {
        DESCRIPTION.to_owned()
    }

    fn managed(&mut self) -> Option<&mut dyn ManageExitModule> {
        Some(self)
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
}

impl ManageExitModule for ObjectExit {
    fn manage_module(&mut self) -> Result<ManageModule, String> {
        Ok(ManageModule { settings: settings::known() })
    }

    fn property(&mut self, name: &str, _flags: u32) -> Result<Option<Value>, String> {
        Ok(FACTS.property(name))
    }

    fn set_property(&mut self, name: &str, value: &serde_json::Value) -> Result<(), String> {
        // With those that no set of settings may lack.
        let needed = [
            ("endpoint", "https://s3"),
            ("bucket", "bucket"),
            ("access_key_file", "id"),
            ("secret_key_file", "key"),
        ];
        let mut written: serde_json::Map<String, serde_json::Value> =
            needed.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        written.insert(name.to_owned(), value.clone());
        Settings::read(&written).map(drop)
    }

    fn configure(
        &mut self,
        settings: &serde_json::Map<String, serde_json::Value>,
        _flags: u32,
    ) -> Result<(), String> {
        Settings::read(settings).map(drop)
    }
}
