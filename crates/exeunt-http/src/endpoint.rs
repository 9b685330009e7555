//! What the server answers: every endpoint, as one table.
//!
//! The handler finds an endpoint here, checks its method and whether the caller may, and then does what
//! [`Operation`] says. The `OpenAPI` document and the table of who may do what are made from the same rows.
//! To add an endpoint: a row in `table.rs`, an [`Operation`], and what it does in `handler.rs`; its wire
//! types go to `exeunt-api` and its list of schemas. Then `cargo xtask tidy --write`.

mod parameter;
mod table;

use exeunt_engine::Caller;
use exeunt_types::Roles;

pub use parameter::{Kind, Parameter};
pub use table::ENDPOINTS;

pub(crate) use parameter::{AUDIT_QUERY, CERTIFICATE_QUERY, REQUEST_QUERY};

use crate::fault::Fault;
use crate::own::CertificateName;
use crate::relying::ListName;

/// One method at one path.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// The method; `GET` goes with `HEAD`.
    pub method: &'static str,
    /// The path. `{name}` is a part of it, and `{+name}` all that is left.
    pub path: &'static str,
    /// What it does.
    pub operation: Operation,
    /// What it does, one clause for people.
    pub summary: &'static str,
    /// Who comes in at all.
    pub door: EndpointDoor,
    /// Who may: whoever has one of these rights. Nothing where the door is public.
    pub needs: Roles,
    /// Who may where it is about the caller's own requests and their certificates: whoever has one of
    /// these.
    pub own: Roles,
    /// Parameters of the query; any other one is refused.
    pub query: &'static [Parameter],
    /// Headers that mean something.
    pub headers: &'static [Parameter],
    /// The body, where there may be one.
    pub body: Option<BodyForm>,
    /// What it answers when nothing is wrong.
    pub answers: &'static [AnswerForm],
    /// Statuses of problems that are its own, beside those that all have.
    pub problems: &'static [u16],
    /// Where it waits when many do.
    pub room: EndpointRoom,
}

/// Who comes in at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointDoor {
    /// Anybody.
    Public,
    /// Whoever says who he is, by whatever door.
    Authenticated,
    /// Whoever comes by the Unix socket: what he orders is about programs and files of this machine.
    Local,
}

/// The body of a request.
#[derive(Clone, Copy, Debug)]
pub struct BodyForm {
    /// Media types; any other one is taken as well, where the octets are what they should be.
    pub media_types: &'static [&'static str],
    /// Name of the schema of a body in JSON.
    pub schema: Option<&'static str>,
    /// Whether it may not be left out.
    pub required: bool,
    /// Most bytes.
    pub bytes_max: usize,
}

/// An answer.
#[derive(Clone, Copy, Debug)]
pub struct AnswerForm {
    /// The HTTP status.
    pub status: u16,
    /// Media type of the body; none where there is no body.
    pub media_type: Option<&'static str>,
    /// Name of the schema of a body in JSON.
    pub schema: Option<&'static str>,
    /// When it is that.
    pub means: &'static str,
}

/// Where a request waits when many do. How many a room takes is in `rooms.rs` and `settings.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointRoom {
    /// Nowhere: the answer is at hand.
    None,
    /// The workers that carry out submissions; the next one that does not fit is turned away.
    Workers,
    /// Look-ups; lists that go out row by row have places of their own.
    LookUp,
    /// Explanations, one at a time.
    Explain,
    /// What relying parties fetch.
    Relying,
    /// The exchange certificate, which may have to be made first.
    Exchange,
    /// OCSP; the next one that does not fit is told to try later.
    Ocsp,
    /// Managing modules.
    Manage,
    /// Officers' orders that need no key.
    Order,
    /// Officers' orders that need the CA's key.
    Key,
}

/// What is done. The names, in camel case, are the `operationId`s of the `OpenAPI` document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each row of the table says what it does")]
pub enum Operation {
    SubmitRequest,
    SubmitCmc,
    AskOcsp,
    AskOcspInPath,
    FetchNewestList,
    FetchCaCertificate,
    Health,
    OpenApi,
    DescribeCa,
    DescribeExchange,
    FetchExchangeCertificate,
    ListKeyRecoveries,
    AskKeyRecovery,
    ApproveKeyRecovery,
    FetchRecoveredKey,
    ImportKey,
    ListRequests,
    ShowRequest,
    RetrieveRequest,
    ApproveRequest,
    ResubmitRequest,
    DenyRequest,
    SetAttributes,
    SetExtension,
    ListTemplates,
    ShowTemplate,
    ListCertificates,
    ImportCertificates,
    RevokeMany,
    ReleaseMany,
    ShowCertificate,
    RevokeCertificate,
    ReleaseCertificate,
    PublishExpired,
    ListLists,
    PublishLists,
    ListsOfNumber,
    FetchList,
    ListExits,
    AddExit,
    ShowExit,
    RemoveExit,
    EnableExit,
    DisableExit,
    RetryEvents,
    DropEvents,
    ReplayEvents,
    ExitSettings,
    SetExitSettings,
    KnownExitSettings,
    StartMaintenance,
    ShowMaintenance,
    EndMaintenance,
    Deliveries,
    ExplainExit,
    ShowPolicy,
    ChangePolicy,
    PolicySettings,
    ListPrincipals,
    AddToken,
    RemoveToken,
    ShowAudit,
    NoteBackup,
    Reload,
}

impl Operation {
    /// The `operationId`.
    #[must_use]
    pub fn id(self) -> String {
        let name = format!("{self:?}");
        let mut letters = name.chars();
        let first = letters.next().map(|it| it.to_ascii_lowercase());
        first.into_iter().chain(letters).collect()
    }
}

/// Whether the caller may. The only place that says no for want of a right.
///
/// # Errors
///
/// A [`Fault`] that says what is missing.
pub(crate) fn allow(endpoint: &Endpoint, caller: &Caller) -> Result<(), Fault> {
    let is_here = caller.door == exeunt_engine::Door::Local;
    if endpoint.door == EndpointDoor::Local && !is_here {
        return Err(Fault::manage_local_only());
    }
    let may = endpoint.needs.or(endpoint.own);
    if may.intersects(caller.roles) { Ok(()) } else { Err(Fault::role_missing(may)) }
}

/// Whether the caller is shown only what is his own.
pub(crate) fn is_own_only(endpoint: &Endpoint, caller: &Caller) -> bool {
    endpoint.own != Roles::NONE && !endpoint.needs.intersects(caller.roles)
}

/// What is at a path: its endpoints, one for each method, and what stands in the path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    endpoints: &'static [Endpoint],
    /// What stands where the path has a part in braces, in its order.
    pub(crate) parts: [&'a str; PARTS_MAX],
}

/// Most parts in braces that a path has.
const PARTS_MAX: usize = 2;

impl<'a> Place<'a> {
    /// The first in the table that fits: a path without braces stands before one with them.
    pub(crate) fn find(path: &'a str) -> Option<Self> {
        // The address of OCSP in a certificate may end in a slash.
        let path = path.strip_suffix('/').filter(|it| *it == exeunt_api::OCSP_PATH).unwrap_or(path);
        let fits = |(at, it): (usize, &Endpoint)| Some((at, parts(it.path, path)?));
        let (at, parts) = ENDPOINTS.iter().enumerate().find_map(fits)?;
        // What is no name of a file is no public path.
        let is_there = match ENDPOINTS[at].operation {
            Operation::FetchNewestList => ListName::parse(parts[0]).is_some(),
            Operation::FetchCaCertificate => CertificateName::parse(parts[0]).is_some(),
            _ => true,
        };
        if !is_there {
            return None;
        }
        let from_here = &ENDPOINTS[at..];
        let same = |it: &&Endpoint| it.path == from_here[0].path;
        Some(Self { endpoints: &from_here[..from_here.iter().take_while(same).count()], parts })
    }

    /// Whether one may be here without saying who one is.
    pub(crate) fn is_public(&self) -> bool {
        self.endpoints.iter().any(|it| it.door == EndpointDoor::Public)
    }

    /// The endpoint of a method, told apart by its name.
    ///
    /// # Errors
    ///
    /// A [`Fault`] that says which there are.
    pub(crate) fn endpoint(&self, method: &str) -> Result<&'static Endpoint, Fault> {
        let method = if method == "HEAD" { "GET" } else { method };
        let found = self.endpoints.iter().find(|it| it.method == method);
        found.ok_or_else(|| Fault::method(self.allowed()))
    }

    /// The methods, as the header `Allow` lists them.
    fn allowed(&self) -> String {
        let mut methods: Vec<&str> = self.endpoints.iter().map(|it| it.method).collect();
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.sort_unstable();
        methods.join(", ")
    }
}

/// What stands in a path where its pattern has braces; none where it is another path.
fn parts<'a>(pattern: &str, path: &'a str) -> Option<[&'a str; PARTS_MAX]> {
    let (mut pattern, mut path, mut parts, mut next) = (pattern, path, [""; PARTS_MAX], 0);
    while let Some((before, after)) = pattern.split_once('{') {
        let (name, behind) = after.split_once('}')?;
        path = path.strip_prefix(before)?;
        let takes_all = name.starts_with('+');
        let end = if takes_all { None } else { path.find('/') }.unwrap_or(path.len());
        // Nothing is not a name.
        *parts.get_mut(next)? = Some(&path[..end]).filter(|it| !it.is_empty())?;
        (path, pattern, next) = (&path[end..], behind, next + 1);
    }
    (pattern == path).then_some(parts)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_endpoint_is_found_at_its_path() {
        let (mut seen, mut ids) = (HashSet::new(), HashSet::new());
        for endpoint in ENDPOINTS {
            let Endpoint { method, path, operation, .. } = endpoint;
            assert!(seen.insert((method, path)), "{method} {path} is there twice");
            assert!(ids.insert(operation.id()), "{operation:?} is there twice");
            let name = if path.starts_with("/crl") { "ca.crl" } else { "ca.crt" };
            let typed = path.replace("{name}", name).replace("{+", "{").replace(['{', '}'], "");
            let place = Place::find(&typed).unwrap();
            assert_eq!(place.endpoint(method).unwrap().operation, *operation, "{typed}");
        }
    }

    #[test]
    fn whoever_must_not_say_who_he_is_needs_no_right_and_others_do() {
        for it in ENDPOINTS {
            let is_public = it.door == EndpointDoor::Public;
            assert_eq!(is_public, it.needs == Roles::NONE, "{}", it.path);
        }
    }

    #[test]
    fn a_path_is_found_with_its_parts() {
        let check = |path: &str, expected: Option<(&str, [&str; PARTS_MAX])>| {
            let found = Place::find(path).map(|it| (it.endpoints[0].path, it.parts));
            assert_eq!(found, expected, "{path}");
        };
        check("/v1/requests", Some(("/v1/requests", ["", ""])));
        check("/v1/requests/7", Some(("/v1/requests/{id}", ["7", ""])));
        check("/v1/requests/7/deny", Some(("/v1/requests/{id}/deny", ["7", ""])));
        let extension = "/v1/requests/{id}/extensions/{oid}";
        check("/v1/requests/7/extensions/1.2.3", Some((extension, ["7", "1.2.3"])));
        check("/v1/certificates/revoke", Some(("/v1/certificates/revoke", ["", ""])));
        check("/v1/exits/a/settings/known", Some(("/v1/exits/{name}/settings/known", ["a", ""])));
        check("/ocsp", Some(("/ocsp", ["", ""])));
        check("/ocsp/", Some(("/ocsp", ["", ""])));
        check("/ocsp//MEI/x==", Some(("/ocsp/{+request}", ["/MEI/x==", ""])));
        for none in [
            "",
            "/",
            "/v1",
            "/v1/",
            "/v1/requests/",
            "/v1/requests//deny",
            "/v1/requests/7/",
            "/v1/requests/7/extensions/",
            "/v1/requests/7/extensions/1/2",
            "/v1/requests/7/Deny",
            "/v2/requests",
            "/crl/",
            "/crl",
            "/crl/nothing",
            "/ca/ca.crl",
            "/ocspx",
        ] {
            check(none, None);
        }
    }

    #[test]
    fn a_method_that_is_not_taken_is_told_which_are() {
        let refused = |path, method: &str| {
            let fault = Place::find(path).unwrap().endpoint(method).unwrap_err();
            fault.header.unwrap().1.into_string()
        };
        assert_eq!(refused("/v1/requests", "PUT"), "GET, HEAD, POST");
        assert_eq!(refused("/v1/exits/a", "POST"), "DELETE, GET, HEAD");
        assert_eq!(refused("/v1/exits/a/settings", "get"), "GET, HEAD, PUT");
        assert_eq!(refused("/v1/certificates/revoke", "GET"), "POST");
    }
}
