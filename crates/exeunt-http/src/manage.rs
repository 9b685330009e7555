//! The paths below `/v1/exits` and `/v1/reload`: the life of an exit module.
//!
//! Whoever may set a module may run any program as the server's user. So that is for the Unix socket
//! (`endpoint.rs`).

use std::sync::Arc;
use std::time::Duration;

use exeunt_api::{DELIVERIES_WAIT_S_MAX, PolicyOrder};
use hyper::StatusCode;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::answer::{Answer, json};
use crate::body;
use crate::connection::closed;
use crate::endpoint::Operation;
use crate::exits::{Change, Changed, Exits, Refusal, WhichHeld};
use crate::fault::Fault;
use crate::handler::{Edge, blocking};
use crate::query::Keys;
use crate::rooms::Room;

/// How often a request that waits for deliveries looks whether there is one.
const DELIVERIES_POLL: Duration = Duration::from_millis(100);

/// What is at a path of this module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Enable,
    Disable,
    Retry,
    Drop,
    Replay,
    Settings,
    SetSettings,
    KnownSettings,
    StartMaintenance,
    ShowMaintenance,
    EndMaintenance,
    Deliveries,
    Explain,
}

impl Part {
    /// The operations of this module.
    pub(crate) fn of(operation: Operation) -> Option<Self> {
        Some(match operation {
            Operation::EnableExit => Self::Enable,
            Operation::DisableExit => Self::Disable,
            Operation::RetryEvents => Self::Retry,
            Operation::DropEvents => Self::Drop,
            Operation::ReplayEvents => Self::Replay,
            Operation::ExitSettings => Self::Settings,
            Operation::SetExitSettings => Self::SetSettings,
            Operation::KnownExitSettings => Self::KnownSettings,
            Operation::StartMaintenance => Self::StartMaintenance,
            Operation::ShowMaintenance => Self::ShowMaintenance,
            Operation::EndMaintenance => Self::EndMaintenance,
            Operation::Deliveries => Self::Deliveries,
            Operation::ExplainExit => Self::Explain,
            _ => return None,
        })
    }
}

/// `POST /v1/exits`.
pub(crate) async fn add(edge: &Arc<Edge>, actor: String, body: Incoming) -> Result<Answer, Fault> {
    let new = read(edge, body).await?;
    change(edge, actor, Change::Add(new)).await
}

/// `DELETE /v1/exits/{name}`.
pub(crate) async fn remove(
    edge: &Arc<Edge>,
    actor: String,
    name: &str,
    query: &str,
) -> Result<Answer, Fault> {
    let keys = Keys::parse(query, &["drop_backlog"])?;
    let drop_backlog = keys.flag("drop_backlog")?;
    change(edge, actor, Change::Remove { name: name.to_owned(), drop_backlog }).await
}

/// `GET /v1/exits/{name}`.
pub(crate) async fn show(edge: &Arc<Edge>, name: &str, query: &str) -> Result<Answer, Fault> {
    let keys = Keys::parse(query, &["parked"])?;
    let held = if keys.flag("parked")? { WhichHeld::Parked } else { WhichHeld::All };
    let name = name.to_owned();
    look_up(edge, move |exits| exits.show(&name, held)).await
}

/// `PUT /v1/policy`.
pub(crate) async fn change_policy(
    edge: &Arc<Edge>,
    actor: String,
    body: Incoming,
) -> Result<Answer, Fault> {
    let order: PolicyOrder = read(edge, body).await?;
    let changed = managed(edge, move |exits| exits.change_policy(&actor, &order)).await?;
    Ok(json(StatusCode::OK, &changed))
}

/// `POST /v1/reload`.
pub(crate) async fn reload(edge: &Arc<Edge>, actor: String) -> Result<Answer, Fault> {
    change(edge, actor, Change::Reload).await
}

/// `/v1/exits/{name}/{part}`.
pub(crate) async fn part(
    edge: &Arc<Edge>,
    actor: String,
    (name, part): (&str, Part),
    query: &str,
    body: Incoming,
) -> Result<Answer, Fault> {
    let name = name.to_owned();
    match part {
        Part::Enable => change(edge, actor, Change::Switch { name, on: true }).await,
        Part::Disable => change(edge, actor, Change::Switch { name, on: false }).await,
        Part::Retry => {
            let order = read(edge, body).await?;
            change(edge, actor, Change::Retry { name, order }).await
        }
        Part::Drop => {
            let order = read(edge, body).await?;
            change(edge, actor, Change::Drop { name, order }).await
        }
        Part::Replay => {
            let order = read(edge, body).await?;
            change(edge, actor, Change::Replay { name, order }).await
        }
        Part::SetSettings => {
            let settings = read(edge, body).await?;
            change(edge, actor, Change::Set { name, settings }).await
        }
        Part::Settings => look_up(edge, move |exits| exits.settings(&name)).await,
        Part::KnownSettings => {
            let known = managed(edge, move |exits| exits.known_settings(&name)).await?;
            Ok(json(StatusCode::OK, &known))
        }
        Part::StartMaintenance => {
            let order = read(edge, body).await?;
            let maintain = move |exits: &dyn Exits| exits.maintain(&actor, &name, order);
            Ok(json(StatusCode::ACCEPTED, &managed(edge, maintain).await?))
        }
        Part::ShowMaintenance => {
            let after = Keys::parse(query, &["after"])?.number("after")?.unwrap_or(0);
            look_up(edge, move |exits| exits.maintenance(&name, after)).await
        }
        Part::EndMaintenance => {
            let ended = managed(edge, move |exits| exits.end_maintenance(&actor, &name)).await?;
            Ok(json(StatusCode::OK, &ended))
        }
        Part::Deliveries => deliveries(edge, name, query).await,
        Part::Explain => {
            let keys = Keys::parse(query, &["request"])?;
            let request = keys.number("request")?;
            let request = request.ok_or_else(|| Fault::query("request is missing".to_owned()))?;
            let explain = move |exits: &dyn Exits| exits.explain(&name, request);
            let told = within(edge, &edge.rooms.explain, explain).await?;
            Ok(json(StatusCode::OK, &told))
        }
    }
}

/// Waits on the timer and not on a thread: many may follow many modules.
async fn deliveries(edge: &Arc<Edge>, name: String, query: &str) -> Result<Answer, Fault> {
    let keys = Keys::parse(query, &["after", "wait_s"])?;
    let after = keys.number("after")?;
    let wait_s = keys.number("wait_s")?.unwrap_or(0);
    if DELIVERIES_WAIT_S_MAX < wait_s {
        return Err(Fault::query(format!("wait_s is at most {DELIVERIES_WAIT_S_MAX}")));
    }
    let until = Instant::now() + Duration::from_secs(wait_s);
    let mut closing = edge.closing.clone();
    loop {
        let name = name.clone();
        let asked =
            blocking(edge, &edge.rooms.look_up, move |edge| edge.exits.deliveries(&name, after))
                .await?;
        let page = asked.map_err(Fault::refusal)?;
        let is_over = until <= Instant::now() || *closing.borrow();
        if after.is_none() || !page.deliveries.is_empty() || is_over {
            return Ok(json(StatusCode::OK, &page));
        }
        tokio::select! {
            () = tokio::time::sleep_until(until.min(Instant::now() + DELIVERIES_POLL)) => {}
            () = closed(&mut closing) => {}
        }
    }
}

/// The body as JSON.
async fn read<T: DeserializeOwned>(edge: &Arc<Edge>, body: Incoming) -> Result<T, Fault> {
    let octets = body::read(body, edge.limits.read).await?;
    serde_json::from_slice(&octets).map_err(|err| Fault::json(&err))
}

async fn change(edge: &Arc<Edge>, actor: String, change: Change) -> Result<Answer, Fault> {
    let changed = managed(edge, move |exits| exits.change(&actor, change)).await?;
    Ok(match changed {
        Changed::Added(it) => json(StatusCode::CREATED, &it),
        Changed::Removed(it) => json(StatusCode::OK, &it),
        Changed::Done(it) => json(StatusCode::OK, &it),
        Changed::Reloaded(mut it) => {
            let tls = blocking(edge, &edge.rooms.manage, |edge| edge.tls.reload()).await?;
            it.failed.extend(tls.failed);
            json(StatusCode::OK, &it)
        }
    })
}

/// Something that may take as long as a module takes.
async fn managed<T, F>(edge: &Arc<Edge>, act: F) -> Result<T, Fault>
where
    T: Send + 'static,
    F: FnOnce(&dyn Exits) -> Result<T, Refusal> + Send + 'static,
{
    within(edge, &edge.rooms.manage, act).await
}

async fn within<T, F>(edge: &Arc<Edge>, room: &Room, act: F) -> Result<T, Fault>
where
    T: Send + 'static,
    F: FnOnce(&dyn Exits) -> Result<T, Refusal> + Send + 'static,
{
    blocking(edge, room, move |edge| act(&*edge.exits)).await?.map_err(Fault::refusal)
}

pub(crate) async fn look_up<T, F>(edge: &Arc<Edge>, ask: F) -> Result<Answer, Fault>
where
    T: serde::Serialize + Send + 'static,
    F: FnOnce(&dyn Exits) -> Result<T, Refusal> + Send + 'static,
{
    let asked = within(edge, &edge.rooms.look_up, ask).await?;
    Ok(json(StatusCode::OK, &asked))
}
