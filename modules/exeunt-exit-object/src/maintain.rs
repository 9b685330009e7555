//! Looks at the bucket without writing, and compares it with what the CA holds.

use std::{collections::BTreeSet, time::Instant};

use exeunt_module_kit::{
    Event, Initialize, MaintainExitModule, exit_event,
    maintain::{Check, Compared, Difference, Finding, TestReport},
};
use exeunt_publication::{certificate::Certificate, time::unix_now};
use futures_util::{StreamExt as _, stream};

use crate::{
    bucket::{Bucket, Failure, Found, OBJECT_BYTES_MAX, Put},
    content::{self, Verdict, Wanted},
    publish::{Done, ObjectExit, PARALLEL_MAX, State, publish},
    settings::Settings,
};

/// Name of the object that `Test` tries to write and that no server may take.
const PROBE: &str = "exeunt-test";

/// How many objects one `ReconcileEnd` looks at.
const LISTED_MAX: usize = 100;

/// How many objects are in memory at the same time while one `ReconcileEnd` looks at them.
const LOOKED_AT_ONCE: usize = 4;

/// What was compared so far.
#[derive(Debug, Default)]
pub struct Compare {
    /// Keys that were told.
    told: BTreeSet<String>,
    /// The CA's certificates.
    authorities: Vec<Certificate>,
    /// The folder that is listed, and the last key that was looked at there.
    at: (usize, Option<String>),
}

impl MaintainExitModule for ObjectExit {
    fn begin(&mut self, hello: &Initialize) -> Result<(), String> {
        self.state.set(State::new(hello)?);
        Ok(())
    }

    fn test(&mut self, samples: &[Event]) -> Result<TestReport, String> {
        let state = self.state.get_mut()?;
        let wanted = samples.iter().flat_map(|event| content::of_event(event, &state.settings));
        let would_write = once(wanted)
            .into_iter()
            .map(|wanted| match wanted {
                Ok(it) => format!("{} as {}, {} octets", it.name, it.key, it.body().bytes.len()),
                Err(failure) => format!("nothing: {}", failure.into_text()),
            })
            .collect();
        let bucket = match state.bucket() {
            Ok(bucket) => bucket,
            Err(why) => {
                let checks = vec![Check::failed("settings", why)];
                return Ok(TestReport { checks, would_write });
            }
        };
        let deadline = Instant::now() + state.within;
        let checks = state.runtime.block_on(checks(&bucket, &state.settings, deadline));
        Ok(TestReport { checks, would_write })
    }

    fn reconcile(&mut self, events: &[Event], mend: bool) -> Result<Compared, String> {
        let state = self.state.get_mut()?;
        let bucket = state.bucket()?;
        let wanted = once(events.iter().flat_map(|event| of_reconciled(event, &state.settings)));
        for event in events {
            for authority in content::authorities(event)? {
                if !state.compare.authorities.contains(&authority.certificate) {
                    state.compare.authorities.push(authority.certificate);
                }
            }
        }
        state.compare.told.extend(wanted.iter().flatten().map(|it| it.key.clone()));
        let deadline = Instant::now() + state.within;
        let now = unix_now();
        let found: Vec<Result<Option<Finding>, Failure>> = state.runtime.block_on(
            stream::iter(&wanted)
                .map(|wanted| compare(&bucket, wanted, mend, now, deadline))
                .buffered(PARALLEL_MAX)
                .collect(),
        );
        let mut compared = Compared::default();
        for found in found {
            match found {
                Ok(None) => compared.good += 1,
                Ok(Some(finding)) => compared.findings.push(finding),
                Err(Failure::Later(why)) => return Err(why),
                // One object that cannot be compared does not keep the others from it.
                Err(Failure::NotNow(why) | Failure::Never(why)) => {
                    let finding = Finding::new(Difference::Unknown, "", why.clone());
                    compared.findings.push(finding.mended(Err(why)));
                }
            }
        }
        Ok(compared)
    }

    fn reconcile_end(&mut self, _mend: bool) -> Result<Compared, String> {
        let state = self.state.get_mut()?;
        let bucket = &state.bucket()?;
        let folders = folders(&state.settings);
        let deadline = Instant::now() + state.within;
        let Compare { told, authorities, at: (folder, after) } = &mut state.compare;
        let Some(prefix) = folders.get(*folder) else { return Ok(Compared::default()) };
        let keys = state
            .runtime
            .block_on(bucket.list(prefix, after.as_deref(), LISTED_MAX, deadline))
            .map_err(Failure::into_text)?;
        if let Some(after) = after.as_ref()
            && keys.iter().any(|it| it <= after)
        {
            return Err(format!(
                "listing {prefix}: the server begins anew where it was to go on after {after}"
            ));
        }
        let untold: Vec<&String> = keys.iter().filter(|it| !told.contains(*it)).collect();
        let authorities = &*authorities;
        // One object after the other is judged and let go: they may be as large as lists are.
        let looked: Vec<(&String, Result<bool, Failure>)> = state.runtime.block_on(
            stream::iter(untold)
                .map(|key| async move {
                    let found = bucket.get(key, OBJECT_BYTES_MAX, deadline).await;
                    let is_ours = |it: &Found| content::is_ours(&it.bytes, authorities);
                    (key, found.map(|it| it.as_ref().is_some_and(is_ours)))
                })
                .buffered(LOOKED_AT_ONCE)
                .collect(),
        );
        let mut compared = Compared::default();
        for (key, is_ours) in looked {
            match is_ours {
                Err(Failure::Later(why) | Failure::NotNow(why)) => return Err(why),
                // It is left where it is: whether a relying party needs it, nobody here knows.
                Ok(true) => {
                    let text = "signed by this CA, and not one of what it has now; left alone";
                    compared.findings.push(Finding::new(Difference::Surplus, key, text));
                }
                // What can never be looked at, as it is too large, is nothing of ours.
                Ok(false) | Err(Failure::Never(_)) => compared.good += 1,
            }
        }
        if keys.len() < LISTED_MAX {
            (*folder, *after) = (*folder + 1, None);
        } else {
            *after = keys.into_iter().next_back();
        }
        compared.more = *folder < folders.len();
        Ok(compared)
    }
}

/// Where objects of ours are. Under a pattern, that is what stands before its first field.
fn folders(settings: &Settings) -> Vec<String> {
    [&settings.ca_folder, &settings.list_folder].into_iter().flatten().cloned().collect()
}

/// Without the repetitions: events about lists and about certificates of the CA name the same objects.
fn once(all: impl Iterator<Item = Result<Wanted, Failure>>) -> Vec<Result<Wanted, Failure>> {
    let mut seen = BTreeSet::new();
    all.filter(|it| match it {
        Ok(wanted) => seen.insert(wanted.key.clone()) || !wanted.is_the_cas_own(),
        Err(_) => true,
    })
    .collect()
}

/// What the CA holds, told as an event: a certificate also where it was revoked.
fn of_reconciled(event: &Event, settings: &Settings) -> Vec<Result<Wanted, Failure>> {
    match event.event {
        exit_event::CERT_ISSUED | exit_event::CERT_REVOKED => {
            content::of_certificate(event, settings)
                .map_err(Failure::Never)
                .transpose()
                .into_iter()
                .collect()
        }
        _ => content::of_event(event, settings),
    }
}

async fn compare(
    bucket: &Bucket,
    wanted: &Result<Wanted, Failure>,
    mend: bool,
    now: i64,
    deadline: Instant,
) -> Result<Option<Finding>, Failure> {
    let wanted = match wanted {
        Ok(wanted) => wanted,
        Err(failure) => return Err(failure.clone()),
    };
    let found = bucket.get(&wanted.key, wanted.bytes_max(), deadline).await?;
    let difference = match wanted.verdict(found.as_ref().map(|it| it.bytes.as_slice()), now) {
        Verdict::Same | Verdict::Superseded => return Ok(None),
        Verdict::Write if found.is_none() => Difference::Missing,
        Verdict::Write => Difference::Stale,
        Verdict::Foreign(_) => Difference::Foreign,
    };
    let finding = Finding::new(difference, &wanted.key, &wanted.name);
    if !mend || difference == Difference::Foreign {
        return Ok(Some(finding));
    }
    let mended = match publish(bucket, wanted, now, deadline).await {
        Ok(Done::There | Done::Superseded) => Ok(()),
        Err(failure) => Err(failure.into_text()),
    };
    Ok(Some(finding.mended(mended)))
}

async fn checks(bucket: &Bucket, settings: &Settings, deadline: Instant) -> Vec<Check> {
    let mut checks = Vec::new();
    let what = format!("list {}", settings.bucket);
    let listed = bucket.list(&settings.prefix, None, 1, deadline).await;
    let probe = format!("{}{PROBE}", settings.prefix);
    let read = bucket.get(&probe, OBJECT_BYTES_MAX, deadline).await;
    checks.push(match listed {
        Ok(_) => Check::passed(what, settings.endpoint.as_str()),
        // Where anything can be done at all, this is needed for comparing alone.
        Err(failure) if read.is_ok() => Check::warning(what, failure.into_text()),
        Err(failure) => Check::failed(what, failure.into_text()),
    });
    if let Err(failure) = read {
        checks.push(Check::failed("read", failure.into_text()));
        // Nobody is asked a third time who does not answer.
        return checks;
    }
    checks.push(Check::passed("read", "allowed"));
    checks.push(match bucket.put_refused(&probe, deadline).await {
        Ok(Put::Changed) => Check::passed("write", "allowed, on a condition"),
        Ok(Put::Written) => Check::failed(
            "write",
            format!("the server takes no notice of If-Match, and has made an empty {probe}"),
        ),
        Err(failure) => Check::failed("write", failure.into_text()),
    });
    checks
}
