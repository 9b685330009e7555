//! Certificates of people and computers, on their own objects.
//!
//! First the objects are found, many at the same time; then each is changed once for all events of a
//! batch that are about it. What is to be written is worked out by [`plan`] from what is there, as
//! often as somebody else writes in between; what was written is read back in the same way.

use std::collections::{BTreeMap, HashMap};

use exeunt_module_kit::{
    Event, Outcome, Properties, Value, exit_event,
    maintain::{Difference, Finding},
};
use exeunt_publication::{certificate::Certificate, outcome};
use futures_util::{StreamExt as _, stream};
use ldap3::Scope;

use crate::{
    error::DirectoryError,
    facts::Facts,
    maintain::named,
    name::{self, quoted},
    plan::{self, Plan, Wanted, Wish},
    result_code::Then,
    session::{Change, Entry, Session},
    settings::{Find, Holder, PublishUsers, UserSettings, WhenMissing},
    words::{Kind, Template, Word},
};

/// The template flag that asks for publication: `CT_FLAG_PUBLISH_TO_DS` of `msPKI-Enrollment-Flag`
/// (MS-CRTD, section 2.26).
const PUBLISH_TO_DS: i32 = 0x8;

/// The attribute (RFC 4523, section 4.1).
pub const ATTRIBUTE: &str = "userCertificate";

/// Largest value: `rangeUpper` of the attribute in Active Directory (MS-ADA3).
pub const VALUE_BYTES_MAX: usize = 32_768;

/// What a server says where it has no such base: referral, noSuchObject, invalidDNSyntax (RFC 4511).
const NO_BASE: [u32; 3] = [10, 32, 34];

/// Most objects that are worked on at the same time over one connection.
const OBJECTS_AT_ONCE: usize = 16;

/// How often an object is written anew because somebody else has written in between.
const ROUNDS: usize = 4;

/// Why an event about somebody's certificate is not carried out, beside what the directory says.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HolderError {
    /// The event has no certificate that can be read.
    #[error("the certificate cannot be read: {0}")]
    Certificate(String),
    /// The certificate is larger than a value may be.
    #[error(
        "the certificate is larger than {VALUE_BYTES_MAX} octets, which is what a value may have"
    )]
    TooLarge,
    /// Nothing to find the object by.
    #[error("the event has nothing for {0}")]
    Word(Word),
    /// The settings do not say where to look, and the directory does not either.
    #[error("users.bases is missing, and the directory names no default")]
    NoBase,
    /// One of the places to look below is none, or is hidden from the account.
    #[error("users.bases: {} is not there, or the account may not see it", quoted(.0))]
    Base(String),
    /// There is no such object.
    #[error("there is no object {0}")]
    Missing(String),
    /// There are several.
    #[error("there is more than one object {0}")]
    Several(String),
    /// It is not where it has to be.
    #[error("{} is outside of the configured bases", quoted(.0))]
    Outside(String),
    /// It holds as many certificates as it may.
    #[error("{} holds as many certificates as it may: {most}", quoted(name))]
    Full {
        /// The object.
        name: String,
        /// How many.
        most: usize,
    },
    /// The server confirmed, and what was written is not there, again and again.
    #[error("{} was written, and what was written is not there", quoted(.0))]
    NotThere(String),
}

impl HolderError {
    /// Stable code for logs. Never renamed.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Certificate(_) => "directory-certificate",
            Self::TooLarge => "directory-value-too-large",
            Self::Word(_) => "directory-word",
            Self::NoBase | Self::Base(_) => "directory-no-base",
            Self::Missing(_) => "directory-holder-missing",
            Self::Several(_) => "directory-holder-ambiguous",
            Self::Outside(_) => "directory-holder-outside",
            Self::Full { .. } => "directory-holder-full",
            Self::NotThere(_) => "directory-not-there",
        }
    }

    fn outcome(&self) -> Outcome {
        let reason = format!("{}: {self}", self.code());
        match self {
            // Bases are a setting, which an operator mends once for all events.
            Self::NoBase | Self::Base(_) => outcome::target_retry(reason),
            Self::NotThere(_) => outcome::retry(reason),
            _ => outcome::park(reason),
        }
    }
}

/// What became of an event in one attempt over one connection.
#[derive(Debug)]
pub enum Told {
    /// This.
    Done(Outcome),
    /// Another connection may help; otherwise this.
    Elsewhere(Outcome),
}

impl From<Outcome> for Told {
    fn from(outcome: Outcome) -> Self {
        Self::Done(outcome)
    }
}

impl From<&DirectoryError> for Told {
    fn from(err: &DirectoryError) -> Self {
        match err.then() {
            Then::Elsewhere => Self::Elsewhere(err.outcome()),
            _ => Self::Done(err.outcome()),
        }
    }
}

impl Told {
    /// Whether it is done, or why not.
    pub fn into_result(self) -> Result<(), String> {
        let (Self::Done(outcome) | Self::Elsewhere(outcome)) = self;
        match outcome {
            Outcome::Retry { reason, .. }
            | Outcome::TargetDown { reason, .. }
            | Outcome::Park { reason } => Err(reason),
            _ => Ok(()),
        }
    }
}

/// What is the same for all events of a batch.
#[derive(Debug)]
pub struct Batch<'a> {
    users: &'a UserSettings,
    /// The CA's certificates, also older ones.
    cas: Vec<Certificate>,
    /// Unix seconds.
    now: i64,
    /// Whether the events say what the CA holds, and not what has happened.
    of_state: bool,
}

/// What is wanted of an object, for one event.
#[derive(Debug)]
struct Job {
    /// Place of the event in the batch.
    index: usize,
    wish: Wish,
    place: Place,
    when_missing: WhenMissing,
}

/// Where an object is looked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    Name { name: String, bases: Vec<String> },
    Filter { filter: String, bases: Vec<String> },
}

impl std::fmt::Display for Place {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name { name, .. } => write!(out, "{}", quoted(name)),
            Self::Filter { filter, bases } => {
                write!(out, "that fits {} below {}", quoted(filter), bases.join(" or "))
            }
        }
    }
}

impl<'a> Batch<'a> {
    /// Looks at the CA as it is in the youngest event.
    pub fn new(users: &'a UserSettings, events: &[&Event], now: i64) -> Self {
        let cas = events.last().map(|it| ca_certificates(&it.system)).unwrap_or_default();
        Self { users, cas, now, of_state: false }
    }

    /// As [`Batch::new`] for events that say what the CA holds: what has been over for long is to be
    /// gone where it would otherwise only not be put there.
    pub fn of_state(users: &'a UserSettings, events: &[&Event], now: i64) -> Self {
        Self { of_state: true, ..Self::new(users, events, now) }
    }

    /// Carries out what events want, in one attempt: what became of each.
    pub async fn carry_out(&self, session: &Session, events: &[&Event]) -> Vec<Told> {
        let mut told: BTreeMap<usize, Told> = BTreeMap::new();
        let mut by_place: HashMap<Place, Vec<Job>> = HashMap::new();
        for (index, event) in events.iter().enumerate() {
            match self.job(index, event, &session.facts) {
                Ok(job) => by_place.entry(job.place.clone()).or_default().push(job),
                Err(outcome) => drop(told.insert(index, outcome.into())),
            }
        }
        // 1. Find the objects.
        let found: Vec<_> = stream::iter(by_place)
            .map(async |(place, jobs)| (locate(session, &place).await, jobs))
            .buffer_unordered(OBJECTS_AT_ONCE)
            .collect()
            .await;
        let mut objects: HashMap<String, (Entry, Vec<Job>)> = HashMap::new();
        for (located, jobs) in found {
            match located {
                Ok(Ok(entry)) => {
                    let key = entry.name.to_lowercase();
                    objects.entry(key).or_insert_with(|| (entry, Vec::new())).1.extend(jobs);
                }
                Ok(Err(err)) => {
                    told.extend(jobs.iter().map(|it| (it.index, it.without_object(&err).into())));
                }
                Err(err) => told.extend(jobs.iter().map(|it| (it.index, Told::from(&err)))),
            }
        }
        // 2. Change each.
        let settled: Vec<Vec<(usize, Told)>> = stream::iter(objects.into_values())
            .map(async |(entry, mut jobs)| {
                jobs.sort_by_key(|it| it.index);
                self.settle(session, entry, jobs).await
            })
            .buffer_unordered(OBJECTS_AT_ONCE)
            .collect()
            .await;
        told.extend(settled.into_iter().flatten());
        let missing = || Told::Done(outcome::retry("nothing was done"));
        (0..events.len()).map(|it| told.remove(&it).unwrap_or_else(missing)).collect()
    }

    /// What is not as the events want it, and nothing is written: differences, or why it cannot be
    /// said.
    pub async fn compare(
        &self,
        session: &Session,
        events: &[&Event],
    ) -> Vec<Result<Vec<Finding>, String>> {
        stream::iter(events)
            .map(|event| self.compare_one(session, event))
            .buffered(OBJECTS_AT_ONCE)
            .collect()
            .await
    }

    /// The objects that events are about, as far as they are found.
    pub async fn holders(&self, session: &Session, events: &[&Event]) -> Vec<String> {
        let mut names = Vec::new();
        for event in events {
            if let Ok(job) = self.job(0, event, &session.facts)
                && let Ok(Ok(entry)) = locate(session, &job.place).await
                && !names.contains(&entry.name)
            {
                names.push(entry.name);
            }
        }
        names
    }

    async fn compare_one(&self, session: &Session, event: &Event) -> Result<Vec<Finding>, String> {
        let reason = |it: Outcome| Told::Done(it).into_result().map(|()| Vec::new());
        let job = match self.job(0, event, &session.facts) {
            Ok(job) => job,
            Err(outcome) => return reason(outcome),
        };
        let entry = match locate(session, &job.place).await.map_err(|err| err.to_string())? {
            Ok(entry) => entry,
            Err(err) => return reason(job.without_object(&err)),
        };
        let there: Vec<&[u8]> = entry.values(ATTRIBUTE).collect();
        let plan = plan::plan(&there, &[&job.wish], &self.cas, self.users, self.now);
        let finding = |difference, certificate: &Certificate| {
            let place = format!("{ATTRIBUTE} of {}", entry.name);
            let text = if certificate.der() == job.wish.certificate.der() {
                named(certificate, event)
            } else {
                format!("certificate {}", certificate.serial())
            };
            Finding::new(difference, place, text)
        };
        let mut findings = Vec::new();
        if !plan.add.is_empty() {
            findings.push(finding(Difference::Missing, &job.wish.certificate));
        }
        for der in &plan.delete {
            let Ok(certificate) = Certificate::from_der(der) else { continue };
            // Those that make room for another are no surplus.
            let named = certificate.der() == job.wish.certificate.der();
            if named || (self.users.remove_expired && plan::is_long_expired(&certificate, self.now))
            {
                findings.push(finding(Difference::Surplus, &certificate));
            }
        }
        Ok(findings)
    }

    /// What an event wants.
    fn job(&self, index: usize, event: &Event, facts: &Facts) -> Result<Job, Outcome> {
        let wanted = match event.event {
            exit_event::CERT_ISSUED | exit_event::CERT_UNREVOKED => Wanted::There,
            exit_event::CERT_REVOKED if self.users.remove_revoked => Wanted::Gone,
            _ => return Err(Outcome::Skip),
        };
        let template = event.certificate.string("CertificateTemplate").ok();
        let holder = self.users.holder(template);
        let flags = event.certificate.long("EnrollmentFlags").unwrap_or(0);
        match holder.publish {
            PublishUsers::Always => (),
            PublishUsers::Template if flags & PUBLISH_TO_DS != 0 => (),
            PublishUsers::Template | PublishUsers::Never => return Err(Outcome::Skip),
        }
        Self::wish(wanted, event)
            .and_then(|wish| {
                let place = place(holder, event, &wish.certificate, facts)?;
                Ok(Job { index, wish, place, when_missing: holder.when_missing })
            })
            .map_err(|err| match (&err, holder.when_missing) {
                (HolderError::Word(_), WhenMissing::Skip) => Outcome::Skip,
                _ => err.outcome(),
            })
            .and_then(|mut job| {
                let stale = wanted == Wanted::There
                    && self.users.remove_expired
                    && plan::is_long_expired(&job.wish.certificate, self.now);
                match (stale, self.of_state) {
                    (false, _) => Ok(job),
                    // It would be taken out again in the next moment.
                    (true, false) => Err(Outcome::Skip),
                    (true, true) => {
                        job.wish.wanted = Wanted::Gone;
                        Ok(job)
                    }
                }
            })
    }

    fn wish(wanted: Wanted, event: &Event) -> Result<Wish, HolderError> {
        let refused = |it: String| HolderError::Certificate(it);
        let der =
            event.certificate.binary("RawCertificate").map_err(|err| refused(err.to_string()))?;
        if VALUE_BYTES_MAX < der.len() {
            return Err(HolderError::TooLarge);
        }
        let certificate =
            Certificate::from_der(der).map_err(|err| refused(outcome::chain(&err)))?;
        Ok(Wish { wanted, certificate })
    }

    /// Changes an object until it is as the jobs want it, in their order.
    async fn settle(&self, session: &Session, entry: Entry, jobs: Vec<Job>) -> Vec<(usize, Told)> {
        match self.write(session, &entry, &jobs).await {
            Ok(told) => {
                jobs.iter().map(|it| it.index).zip(told.into_iter().map(Told::Done)).collect()
            }
            // One of the values may be what the server does not like: each on its own then.
            Err(err) if err.may_be_of_one_value() && 1 < jobs.len() => {
                let mut told = Vec::new();
                for job in &jobs {
                    told.push((
                        job.index,
                        match self.write(session, &entry, std::slice::from_ref(job)).await {
                            Ok(mut outcomes) => Told::Done(outcomes.remove(0)),
                            Err(err) => Told::from(&err),
                        },
                    ));
                }
                told
            }
            Err(err) => jobs.iter().map(|it| (it.index, Told::from(&err))).collect(),
        }
    }

    /// An outcome for each job, once the object is as they want it.
    async fn write(
        &self,
        session: &Session,
        entry: &Entry,
        jobs: &[Job],
    ) -> Result<Vec<Outcome>, DirectoryError> {
        let name = &entry.name;
        let wishes: Vec<&Wish> = jobs.iter().map(|it| &it.wish).collect();
        let attribute = session.attribute(ATTRIBUTE);
        let full =
            || HolderError::Full { name: name.clone(), most: self.users.values_max }.outcome();
        let mut latest = entry.clone();
        let mut contested = None;
        for _ in 0..ROUNDS {
            if latest.is_partial(ATTRIBUTE) {
                return Ok(jobs.iter().map(|_| full()).collect());
            }
            let there: Vec<&[u8]> = latest.values(ATTRIBUTE).collect();
            let Plan { add, delete, verdicts } =
                plan::plan(&there, &wishes, &self.cas, self.users, self.now);
            if add.is_empty() && delete.is_empty() {
                let outcome = |it: plan::Verdict| match it {
                    plan::Verdict::Fine => Outcome::Accept,
                    plan::Verdict::Superseded => Outcome::Skip,
                    plan::Verdict::Full => full(),
                };
                return Ok(verdicts.into_iter().map(outcome).collect());
            }
            let mut changes = Vec::new();
            if !delete.is_empty() {
                changes.push(Change::Delete(attribute.clone(), delete));
            }
            if !add.is_empty() {
                changes.push(Change::Add(attribute.clone(), add));
            }
            match session.modify(name, changes).await {
                Ok(()) => contested = None,
                // Somebody else has written in between: look again.
                Err(err) if err.then() == Then::Look => contested = Some(err),
                Err(err) => return Err(err),
            }
            let Some(read) = session.read(name, &[&attribute]).await? else {
                let gone = HolderError::Missing(quoted(name).to_string());
                return Ok(jobs.iter().map(|it| it.without_object(&gone)).collect());
            };
            latest = read;
        }
        // What is contested again and again may also be the schema's.
        if let Some(err) = contested {
            return Err(err);
        }
        let err = HolderError::NotThere(name.clone());
        Ok(jobs.iter().map(|_| err.outcome()).collect())
    }
}

impl Job {
    /// The outcome where the object cannot be said to be the one.
    fn without_object(&self, err: &HolderError) -> Outcome {
        match (err, self.wish.wanted, self.when_missing) {
            // Nothing can be there any more.
            (HolderError::Missing(_), Wanted::Gone, _) => Outcome::Accept,
            (HolderError::Missing(_), _, WhenMissing::Skip) => Outcome::Skip,
            _ => err.outcome(),
        }
    }
}

/// All certificates of the CA.
pub fn ca_certificates(system: &Properties) -> Vec<Certificate> {
    let named = |name: &str| {
        let (plain, index) = name.split_once('.').unwrap_or((name, "0"));
        plain.eq_ignore_ascii_case("RawCACertificate")
            && index.bytes().all(|it| it.is_ascii_digit())
    };
    let certificate = |value: &Value| match value {
        Value::Binary(der) => Certificate::from_der(der).ok(),
        _ => None,
    };
    system.iter().filter(|(name, _)| named(name)).filter_map(|it| certificate(it.1)).collect()
}

/// Where the object of a certificate's holder is looked for.
fn place(
    holder: &Holder,
    event: &Event,
    certificate: &Certificate,
    facts: &Facts,
) -> Result<Place, HolderError> {
    let bases = match (&holder.bases[..], &facts.default_base) {
        ([], Some(base)) => vec![base.clone()],
        ([], None) => return Err(HolderError::NoBase),
        (bases, _) => bases.to_vec(),
    };
    let filter = match &holder.find {
        Find::Name(template) => {
            let name = template.fill(event, certificate).map_err(HolderError::Word)?;
            return Ok(Place::Name { name, bases });
        }
        Find::Filters(templates) => {
            let mut filled = templates.iter().map(|it| it.fill(event, certificate));
            // The first that the event has everything for; else what the last one lacks.
            let first = filled.by_ref().find(Result::is_ok);
            let lacking = || templates.last().map(|it| it.fill(event, certificate));
            first.or_else(lacking).ok_or(HolderError::NoBase)?.map_err(HolderError::Word)?
        }
        Find::Account => {
            let text = if facts.is_active_directory {
                "(&(objectClass=user)(sAMAccountName={account}))"
            } else {
                "(uid={account})"
            };
            let template = Template::parse(text, Kind::Filter).map_err(HolderError::Certificate)?;
            template.fill(event, certificate).map_err(HolderError::Word)?
        }
    };
    Ok(Place::Filter { filter, bases })
}

/// The one object of a place, with its certificates.
async fn locate(
    session: &Session,
    place: &Place,
) -> Result<Result<Entry, HolderError>, DirectoryError> {
    let attribute = session.attribute(ATTRIBUTE);
    let asked = [attribute.as_str()];
    let (found, bases) = match place {
        Place::Name { name, bases } => (session.read(name, &asked).await?, bases),
        Place::Filter { filter, bases } => {
            let mut found = None;
            for base in bases {
                let below = match session.search(base, Scope::Subtree, filter, &asked, 2).await {
                    Err(err) if err.result_code().is_some_and(|it| NO_BASE.contains(&it)) => {
                        return Ok(Err(HolderError::Base(base.clone())));
                    }
                    below => below?,
                };
                for entry in below {
                    match &found {
                        // One base may be below another.
                        Some(Entry { name, .. }) if name.eq_ignore_ascii_case(&entry.name) => (),
                        Some(_) => return Ok(Err(HolderError::Several(place.to_string()))),
                        None => found = Some(entry),
                    }
                }
            }
            (found, bases)
        }
    };
    Ok(match found {
        None => Err(HolderError::Missing(place.to_string())),
        Some(entry) if bases.iter().any(|it| name::is_inside(&entry.name, it)) => Ok(entry),
        Some(entry) => Err(HolderError::Outside(entry.name)),
    })
}
