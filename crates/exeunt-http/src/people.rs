//! `/v1/principals`: who is known, and their tokens. And the seam to whoever keeps them.

use std::sync::Arc;

use exeunt_api::{NewToken, PrincipalList, TokenChanged};
use exeunt_engine::Caller;
use hyper::StatusCode;
use hyper::body::Incoming;

use crate::answer::{Answer, json};
use crate::exits::{Refusal, RefusalKind};
use crate::fault::Fault;
use crate::handler::{Edge, blocking};
use crate::officer::read;

/// Whoever keeps the principals. The edge asks it in the API's own words.
///
/// Every call may block, and is made on a thread that may. `principal` and `token` are what stood in
/// the path, unchecked; `actor` is who came in.
pub trait People: Send + Sync {
    /// Who is known.
    ///
    /// # Errors
    ///
    /// [`Refusal`], as for all of these.
    fn list(&self) -> Result<PrincipalList, Refusal>;

    /// Gives a principal another token, which counts when this returns.
    fn add_token(
        &self,
        actor: &str,
        principal: &str,
        new: &NewToken,
    ) -> Result<TokenChanged, Refusal>;

    /// Takes a token away, which counts no more when this returns.
    fn remove_token(
        &self,
        actor: &str,
        principal: &str,
        token: &str,
    ) -> Result<TokenChanged, Refusal>;
}

/// For a server whose principals nobody keeps.
#[derive(Clone, Copy, Debug)]
pub struct NoPeople;

impl NoPeople {
    fn refusal<T>() -> Result<T, Refusal> {
        Err(Refusal {
            kind: RefusalKind::Missing,
            code: "principal-not-found",
            detail: "this server has no principals".to_owned(),
            hint: "see who there is: exeunt principal list".to_owned(),
        })
    }
}

impl People for NoPeople {
    fn list(&self) -> Result<PrincipalList, Refusal> {
        Self::refusal()
    }

    fn add_token(&self, _: &str, _: &str, _: &NewToken) -> Result<TokenChanged, Refusal> {
        Self::refusal()
    }

    fn remove_token(&self, _: &str, _: &str, _: &str) -> Result<TokenChanged, Refusal> {
        Self::refusal()
    }
}

/// `GET /v1/principals`.
pub(crate) async fn list(edge: &Arc<Edge>) -> Result<Answer, Fault> {
    let list = blocking(edge, &edge.rooms.look_up, |edge| edge.people.list()).await?;
    Ok(json(StatusCode::OK, &list.map_err(Fault::refusal)?))
}

/// `POST /v1/principals/{name}/tokens`.
pub(crate) async fn add_token(
    edge: &Arc<Edge>,
    caller: &Caller,
    principal: &str,
    body: Incoming,
) -> Result<Answer, Fault> {
    let new: NewToken = read(edge, body).await?;
    let (actor, principal) = (caller.actor(), principal.to_owned());
    let add = move |edge: &Edge| edge.people.add_token(&actor, &principal, &new);
    let added = blocking(edge, &edge.rooms.manage, add).await?;
    Ok(json(StatusCode::CREATED, &added.map_err(Fault::refusal)?))
}

/// `DELETE /v1/principals/{name}/tokens/{token}`.
pub(crate) async fn remove_token(
    edge: &Arc<Edge>,
    caller: &Caller,
    [principal, token]: [&str; 2],
) -> Result<Answer, Fault> {
    let (actor, principal, token) = (caller.actor(), principal.to_owned(), token.to_owned());
    let remove = move |edge: &Edge| edge.people.remove_token(&actor, &principal, &token);
    let removed = blocking(edge, &edge.rooms.manage, remove).await?;
    Ok(json(StatusCode::OK, &removed.map_err(Fault::refusal)?))
}
