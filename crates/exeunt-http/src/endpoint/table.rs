//! The table of all endpoints. Those of one path stand together, and a path without braces before one
//! with them; what is called most comes first.

use exeunt_api::{
    CERTIFICATE_MEDIA_TYPE, CMS_MEDIA_TYPE, CRL_MEDIA_TYPE, CSV_MEDIA_TYPE, IMPORT_BYTES_MAX,
    JSON_LINES_MEDIA_TYPE, OCSP_REQUEST_BYTES_MAX, OCSP_REQUEST_MEDIA_TYPE,
    OCSP_RESPONSE_MEDIA_TYPE, PEM_MEDIA_TYPE, PKCS10_MEDIA_TYPE, REQUEST_BYTES_MAX,
};
use exeunt_types::Roles;

use super::parameter::{
    AUDIT_QUERY, CERTIFICATE_QUERY, DELIVERIES_QUERY, EXIT_QUERY, EXPLAIN_QUERY, KEPT_HEADERS,
    MAINTENANCE_QUERY, PAGE_QUERY, Parameter, REMOVE_QUERY, REQUEST_QUERY, SUBMIT_HEADERS,
    SUBMIT_QUERY, TRY_QUERY,
};
use super::{AnswerForm, BodyForm, Endpoint, EndpointDoor, EndpointRoom, Operation};

const JSON: &str = "application/json";

/// What those say who do not know better; the octets tell.
const OCTETS: &str = "application/octet-stream";

/// Who decides, revokes, imports.
const OFFICER: Roles = Roles::CERTIFICATE_MANAGER;

/// Who makes lists: also whoever configures where they go.
const LISTS: Roles = OFFICER.or(Roles::ADMINISTRATOR);

/// Who reads rows: the roles of the administration as far as their work is about them. A backup operator's
/// is not.
const READ: Roles = Roles::READER.or(OFFICER).or(Roles::ADMINISTRATOR).or(Roles::AUDITOR);

/// Who sees what is his own.
const OWN: Roles = Roles::ENROLLEE;

const ADMIN: Roles = Roles::ADMINISTRATOR;

/// Every endpoint.
pub static ENDPOINTS: &[Endpoint] = &[
    // For clients and relying parties.
    post("/v1/requests", Operation::SubmitRequest, "submits a request")
        .fails(&[409, 422])
        .needs(Roles::ENROLLEE)
        .asked(TRY_QUERY)
        .heads(SUBMIT_HEADERS)
        .takes(BodyForm {
            media_types: &[PKCS10_MEDIA_TYPE, PEM_MEDIA_TYPE, CMS_MEDIA_TYPE, OCTETS],
            schema: None,
            required: true,
            bytes_max: REQUEST_BYTES_MAX,
        })
        .says(DECIDED_OR_TRIED)
        .room(EndpointRoom::Workers),
    get("/v1/requests", Operation::ListRequests, "lists requests")
        .needs(READ)
        .own(OWN)
        .asked(REQUEST_QUERY)
        .says(&[json("RequestPage"), octets(CSV_MEDIA_TYPE), octets(JSON_LINES_MEDIA_TYPE)])
        .room(EndpointRoom::LookUp),
    post("/ocsp", Operation::AskOcsp, "answers an OCSP request")
        .takes(BodyForm {
            media_types: &[OCSP_REQUEST_MEDIA_TYPE, OCTETS],
            schema: None,
            required: true,
            bytes_max: OCSP_REQUEST_BYTES_MAX,
        })
        .says(&[octets(OCSP_RESPONSE_MEDIA_TYPE)])
        .room(EndpointRoom::Ocsp),
    get("/ocsp/{+request}", Operation::AskOcspInPath, "answers an OCSP request in base64")
        .heads(KEPT_HEADERS)
        .says(&[octets(OCSP_RESPONSE_MEDIA_TYPE), NOT_MODIFIED])
        .room(EndpointRoom::Ocsp),
    get("/crl/{name}", Operation::FetchNewestList, "the newest revocation list of a name")
        .heads(KEPT_HEADERS)
        .says(&[octets(CRL_MEDIA_TYPE), NOT_MODIFIED])
        .room(EndpointRoom::Relying),
    get("/ca/exchange.crt", Operation::FetchExchangeCertificate, "the CA's exchange certificate")
        .says(&[octets(CERTIFICATE_MEDIA_TYPE)])
        .fails(&[404])
        .room(EndpointRoom::Exchange),
    get("/v1/ca/exchange", Operation::DescribeExchange, "the CA's exchange certificate")
        .says(&[json("ExchangeCertificate")])
        .fails(&[404])
        .room(EndpointRoom::Exchange),
    get("/ca/{name}", Operation::FetchCaCertificate, "a certificate of the CA")
        .heads(KEPT_HEADERS)
        .says(&[octets(CERTIFICATE_MEDIA_TYPE), NOT_MODIFIED]),
    post("/cmc", Operation::SubmitCmc, "submits a request of CMC, answered in CMS")
        .needs(Roles::ENROLLEE)
        .asked(SUBMIT_QUERY)
        .heads(SUBMIT_HEADERS)
        .takes(BodyForm {
            media_types: &[CMS_MEDIA_TYPE, PKCS10_MEDIA_TYPE, OCTETS],
            schema: None,
            required: true,
            bytes_max: REQUEST_BYTES_MAX,
        })
        .says(&[octets(CMS_MEDIA_TYPE)])
        .fails(&[409])
        .room(EndpointRoom::Workers),
    get("/v1/health", Operation::Health, "whether the server lives and writes")
        .says(&[json("Health")]),
    get("/v1/openapi.json", Operation::OpenApi, "this document")
        .needs(Roles::ALL)
        .says(&[octets(JSON)]),
    get("/v1/ca", Operation::DescribeCa, "the CA and its certificates")
        .needs(Roles::ALL)
        .says(&[json("CaDescription")]),
    // Requests.
    get("/v1/requests/{id}", Operation::ShowRequest, "one request")
        .needs(READ)
        .own(OWN)
        .says(&[json("RequestDetail")])
        .room(EndpointRoom::LookUp),
    post("/v1/requests/{id}/retrieve", Operation::RetrieveRequest, "what became of a request")
        .needs(READ)
        .own(OWN)
        .says(DECIDED)
        .room(EndpointRoom::LookUp),
    post("/v1/requests/{id}/approve", Operation::ApproveRequest, "has a pending request decided")
        .needs(OFFICER)
        .says(DECIDED)
        .fails(&[409])
        .room(EndpointRoom::Key),
    post("/v1/requests/{id}/resubmit", Operation::ResubmitRequest, "has a request decided again")
        .needs(OFFICER)
        .says(DECIDED)
        .fails(&[409])
        .room(EndpointRoom::Key),
    post("/v1/requests/{id}/deny", Operation::DenyRequest, "refuses a pending request")
        .needs(OFFICER)
        .takes(may_be("DenyOrder"))
        .says(&[json("Denied")])
        .fails(&[409])
        .room(EndpointRoom::Order),
    put("/v1/requests/{id}/attributes", Operation::SetAttributes, "sets request attributes")
        .needs(OFFICER)
        .takes(order("AttributesOrder"))
        .says(&[json("RequestDetail")])
        .fails(&[409])
        .room(EndpointRoom::Order),
    put("/v1/requests/{id}/extensions/{oid}", Operation::SetExtension, "sets an extension")
        .needs(OFFICER)
        .takes(order("ExtensionOrder"))
        .says(&[json("RequestDetail")])
        .fails(&[409])
        .room(EndpointRoom::Order),
    // Templates. Who may submit has to know them.
    get("/v1/templates", Operation::ListTemplates, "the templates")
        .needs(Roles::ALL)
        .says(&[json("TemplateList")]),
    get("/v1/templates/{name}", Operation::ShowTemplate, "one template")
        .needs(Roles::ALL)
        .says(&[json("TemplateDetail")])
        .fails(&[404]),
    // Certificates.
    get("/v1/certificates", Operation::ListCertificates, "lists certificates")
        .needs(READ)
        .asked(CERTIFICATE_QUERY)
        .says(&[json("CertificatePage"), octets(CSV_MEDIA_TYPE), octets(JSON_LINES_MEDIA_TYPE)])
        .room(EndpointRoom::LookUp),
    post("/v1/certificates", Operation::ImportCertificates, "imports certificates")
        .needs(OFFICER)
        .takes(BodyForm { bytes_max: IMPORT_BYTES_MAX, ..order("ImportOrder") })
        .says(&[json("ImportAnswer")])
        .room(EndpointRoom::Order),
    post("/v1/certificates/revoke", Operation::RevokeMany, "revokes many certificates")
        .needs(OFFICER)
        .takes(order("BulkRevokeOrder"))
        .says(&[json("BulkAnswer")])
        .room(EndpointRoom::Order),
    post("/v1/certificates/unrevoke", Operation::ReleaseMany, "ends the hold of many certificates")
        .needs(OFFICER)
        .takes(order("BulkReleaseOrder"))
        .says(&[json("BulkAnswer")])
        .room(EndpointRoom::Order),
    get("/v1/certificates/{serial}", Operation::ShowCertificate, "one certificate")
        .needs(READ)
        .own(OWN)
        .says(&[json("CertificateDetail")])
        .room(EndpointRoom::LookUp),
    post("/v1/certificates/{serial}/revoke", Operation::RevokeCertificate, "revokes a certificate")
        .needs(OFFICER)
        .takes(may_be("RevokeOrder"))
        .says(&[json("Revoked")])
        .fails(&[409])
        .room(EndpointRoom::Order),
    post("/v1/certificates/{serial}/unrevoke", Operation::ReleaseCertificate, "ends a hold")
        .needs(OFFICER)
        .says(&[json("Revoked")])
        .fails(&[409])
        .room(EndpointRoom::Order),
    post(
        "/v1/certificates/{serial}/publish-expired",
        Operation::PublishExpired,
        "keeps a certificate in lists after its validity",
    )
    .needs(OFFICER)
    .takes(order("PublishExpiredOrder"))
    .says(&[json("Revoked")])
    .fails(&[409])
    .room(EndpointRoom::Order),
    // Archived keys. One manager asks, another agrees, and either of them fetches.
    get("/v1/key-recoveries", Operation::ListKeyRecoveries, "recoveries of archived keys")
        .needs(OFFICER.or(Roles::AUDITOR))
        .says(&[json("KeyRecoveryList")])
        .room(EndpointRoom::Order),
    post("/v1/key-recoveries", Operation::AskKeyRecovery, "asks for an archived key")
        .needs(OFFICER)
        .takes(order("KeyRecoveryOrder"))
        .says(&[AnswerForm { status: 201, ..json("KeyRecovery") }])
        .fails(&[404, 409])
        .room(EndpointRoom::Order),
    post(
        "/v1/key-recoveries/{id}/approve",
        Operation::ApproveKeyRecovery,
        "agrees to a recovery that somebody else asked for",
    )
    .needs(OFFICER)
    .says(&[json("KeyRecovery")])
    .fails(&[404, 409])
    .room(EndpointRoom::Order),
    post(
        "/v1/key-recoveries/{id}/fetch",
        Operation::FetchRecoveredKey,
        "hands out the encrypted key of an approved recovery",
    )
    .needs(OFFICER)
    .says(&[json("RecoveredKey")])
    .fails(&[404, 409])
    .room(EndpointRoom::Order),
    post("/v1/key-imports", Operation::ImportKey, "archives the key of a certificate")
        .needs(OFFICER)
        .takes(order("KeyImportOrder"))
        .says(&[json("KeyImported")])
        .fails(&[404, 409])
        .room(EndpointRoom::Order),
    // Revocation lists.
    get("/v1/crls", Operation::ListLists, "lists revocation lists, newest first")
        .needs(READ)
        .asked(PAGE_QUERY)
        .says(&[json("CrlPage")])
        .room(EndpointRoom::LookUp),
    post("/v1/crls", Operation::PublishLists, "makes revocation lists")
        .needs(LISTS)
        .takes(may_be("PublishOrder"))
        .says(&[json("CrlPage")])
        .fails(&[409])
        .room(EndpointRoom::Key),
    get("/v1/crls/{number}", Operation::ListsOfNumber, "the revocation lists with one number")
        .needs(READ)
        .says(&[json("CrlPage")])
        .room(EndpointRoom::LookUp),
    get(
        "/v1/crls/{number}/{list}",
        Operation::FetchList,
        "one of them: base or delta, or with key and part before it: 0-1-base",
    )
    .needs(READ)
    .says(&[octets(CRL_MEDIA_TYPE)])
    .room(EndpointRoom::LookUp),
    // The policy module, of which the same is true as of exit modules.
    get("/v1/policy", Operation::ShowPolicy, "the active policy")
        .needs(READ)
        .says(&[json("PolicyStatus")])
        .room(EndpointRoom::LookUp),
    put("/v1/policy", Operation::ChangePolicy, "changes the policy module")
        .local(ADMIN)
        .takes(order("PolicyOrder"))
        .says(&[json("PolicyStatus")])
        .fails(&[404, 409])
        .room(EndpointRoom::Manage),
    get("/v1/policy/settings", Operation::PolicySettings, "settings of the policy module")
        .local(ADMIN)
        .says(&[json("PolicySettings")])
        .fails(&[404])
        .room(EndpointRoom::LookUp),
    // Exit modules. Whoever adds or sets one may run any program as the server's user.
    get("/v1/exits", Operation::ListExits, "exit modules and how they stand")
        .needs(READ)
        .says(&[json("ExitList")])
        .room(EndpointRoom::LookUp),
    post("/v1/exits", Operation::AddExit, "adds an exit module")
        .local(ADMIN)
        .takes(order("NewExit"))
        .says(&[AnswerForm { status: 201, ..json("ExitChanged") }])
        .fails(&[409])
        .room(EndpointRoom::Manage),
    get("/v1/exits/{name}", Operation::ShowExit, "an exit module and its shelf")
        .needs(READ)
        .asked(EXIT_QUERY)
        .says(&[json("ExitDetail")])
        .room(EndpointRoom::LookUp),
    delete("/v1/exits/{name}", Operation::RemoveExit, "removes an exit module")
        .local(ADMIN)
        .asked(REMOVE_QUERY)
        .says(&[json("ExitRemoved")])
        .fails(&[409])
        .room(EndpointRoom::Manage),
    post("/v1/exits/{name}/enable", Operation::EnableExit, "switches an exit module on")
        .local(ADMIN)
        .says(&[json("ExitChanged")])
        .fails(&[409])
        .room(EndpointRoom::Manage),
    post("/v1/exits/{name}/disable", Operation::DisableExit, "switches an exit module off")
        .local(ADMIN)
        .says(&[json("ExitChanged")])
        .fails(&[409])
        .room(EndpointRoom::Manage),
    post("/v1/exits/{name}/retry", Operation::RetryEvents, "has held events told again now")
        .needs(ADMIN)
        .takes(order("ShelfOrder"))
        .says(&[json("ExitChanged")])
        .fails(&[409])
        .room(EndpointRoom::Manage),
    post("/v1/exits/{name}/drop", Operation::DropEvents, "drops parked events")
        .needs(ADMIN)
        .takes(order("ShelfOrder"))
        .says(&[json("ExitChanged")])
        .fails(&[409])
        .room(EndpointRoom::Manage),
    post("/v1/exits/{name}/replay", Operation::ReplayEvents, "has old events told again")
        .needs(ADMIN)
        .takes(order("ReplayOrder"))
        .says(&[json("ExitChanged")])
        .fails(&[409])
        .room(EndpointRoom::Manage),
    get("/v1/exits/{name}/settings", Operation::ExitSettings, "settings of an exit module")
        .local(ADMIN)
        .says(&[json("ExitSettings")])
        .room(EndpointRoom::LookUp),
    put("/v1/exits/{name}/settings", Operation::SetExitSettings, "replaces the settings")
        .local(ADMIN)
        .takes(order("ExitSettings"))
        .says(&[json("ExitChanged")])
        .fails(&[409])
        .room(EndpointRoom::Manage),
    get(
        "/v1/exits/{name}/settings/known",
        Operation::KnownExitSettings,
        "what an exit module says of its settings",
    )
    .local(ADMIN)
    .says(&[json("KnownSettings")])
    .fails(&[409])
    .room(EndpointRoom::Manage),
    get("/v1/exits/{name}/maintenance", Operation::ShowMaintenance, "how far the maintenance is")
        .local(ADMIN)
        .asked(MAINTENANCE_QUERY)
        .says(&[json("MaintenanceRun")])
        .room(EndpointRoom::LookUp),
    post(
        "/v1/exits/{name}/maintenance",
        Operation::StartMaintenance,
        "tries, prepares or compares the target of an exit module",
    )
    .local(ADMIN)
    .takes(order("MaintenanceOrder"))
    .says(&[AnswerForm { status: 202, ..json("MaintenanceRun") }])
    .fails(&[409])
    .room(EndpointRoom::Manage),
    delete("/v1/exits/{name}/maintenance", Operation::EndMaintenance, "ends the maintenance")
        .local(ADMIN)
        .says(&[json("MaintenanceRun")])
        .room(EndpointRoom::Manage),
    get("/v1/exits/{name}/deliveries", Operation::Deliveries, "what an exit module was told")
        .needs(ADMIN)
        .asked(DELIVERIES_QUERY)
        .says(&[json("Deliveries")])
        .room(EndpointRoom::LookUp),
    get(
        "/v1/exits/{name}/explain",
        Operation::ExplainExit,
        "why an exit module is told of a request, or not",
    )
    .needs(ADMIN)
    .asked(EXPLAIN_QUERY)
    .says(&[json("Explanation")])
    .room(EndpointRoom::Explain),
    // Principals. Who gives roles away is watched by who reads the audit trail.
    get("/v1/principals", Operation::ListPrincipals, "who is known, with roles and tokens")
        .needs(ADMIN.or(Roles::AUDITOR))
        .says(&[json("PrincipalList")])
        .room(EndpointRoom::LookUp),
    post("/v1/principals/{name}/tokens", Operation::AddToken, "gives a principal a token")
        .needs(ADMIN)
        .takes(order("NewToken"))
        .says(&[AnswerForm { status: 201, ..json("TokenChanged") }])
        .fails(&[409])
        .room(EndpointRoom::Manage),
    delete("/v1/principals/{name}/tokens/{token}", Operation::RemoveToken, "takes a token away")
        .needs(ADMIN)
        .says(&[json("TokenChanged")])
        .fails(&[409])
        .room(EndpointRoom::Manage),
    // The server. These are about files of this machine.
    get("/v1/audit", Operation::ShowAudit, "rows of the audit trail, the newest first")
        .needs(Roles::AUDITOR)
        .asked(AUDIT_QUERY)
        .says(&[json("AuditPage")])
        .room(EndpointRoom::LookUp),
    post("/v1/backups", Operation::NoteBackup, "notes that a backup begins or ends")
        .local(Roles::BACKUP_OPERATOR)
        .takes(order("BackupOrder"))
        .says(&[json("BackupNoted")])
        .room(EndpointRoom::Order),
    post("/v1/reload", Operation::Reload, "reads the configuration again")
        .local(ADMIN)
        .says(&[json("Reloaded")])
        .fails(&[409])
        .room(EndpointRoom::Manage),
];

/// What a request became.
const DECIDED: &[AnswerForm] = &[
    AnswerForm { means: "issued", ..json("SubmitAnswer") },
    AnswerForm { status: 202, means: "pending", ..json("SubmitAnswer") },
    AnswerForm { status: 403, means: "denied", ..json("SubmitAnswer") },
];

const DECIDED_OR_TRIED: &[AnswerForm] = &[
    DECIDED[0],
    AnswerForm { means: "tried, with dry_run", ..json("TrialAnswer") },
    octets(CMS_MEDIA_TYPE),
    DECIDED[1],
    DECIDED[2],
];

const NOT_MODIFIED: AnswerForm =
    AnswerForm { status: 304, media_type: None, schema: None, means: "as one has it" };

const fn json(schema: &'static str) -> AnswerForm {
    AnswerForm { schema: Some(schema), ..octets(JSON) }
}

const fn octets(media_type: &'static str) -> AnswerForm {
    AnswerForm { status: 200, media_type: Some(media_type), schema: None, means: "done" }
}

/// A body in JSON.
const fn order(schema: &'static str) -> BodyForm {
    BodyForm {
        media_types: &[JSON],
        schema: Some(schema),
        required: true,
        bytes_max: REQUEST_BYTES_MAX,
    }
}

/// A body in JSON that may be left out.
const fn may_be(schema: &'static str) -> BodyForm {
    BodyForm { required: false, ..order(schema) }
}

const fn get(path: &'static str, operation: Operation, summary: &'static str) -> Endpoint {
    Endpoint::public("GET", path, operation, summary)
}

const fn post(path: &'static str, operation: Operation, summary: &'static str) -> Endpoint {
    Endpoint::public("POST", path, operation, summary)
}

const fn put(path: &'static str, operation: Operation, summary: &'static str) -> Endpoint {
    Endpoint::public("PUT", path, operation, summary)
}

const fn delete(path: &'static str, operation: Operation, summary: &'static str) -> Endpoint {
    Endpoint::public("DELETE", path, operation, summary)
}

impl Endpoint {
    /// For anybody, until something else is said.
    const fn public(
        method: &'static str,
        path: &'static str,
        operation: Operation,
        summary: &'static str,
    ) -> Self {
        Self {
            method,
            path,
            operation,
            summary,
            door: EndpointDoor::Public,
            needs: Roles::NONE,
            own: Roles::NONE,
            query: &[],
            headers: &[],
            body: None,
            answers: &[],
            problems: &[],
            room: EndpointRoom::None,
        }
    }

    /// For whoever has one of these rights.
    const fn needs(self, needs: Roles) -> Self {
        Self { door: EndpointDoor::Authenticated, needs, ..self }
    }

    /// Also whoever has one of these rights, for what is the caller's own.
    const fn own(self, own: Roles) -> Self {
        Self { own, ..self }
    }

    /// For whoever has one of these rights and comes by the Unix socket.
    const fn local(self, needs: Roles) -> Self {
        Self { door: EndpointDoor::Local, needs, ..self }
    }

    const fn asked(self, query: &'static [Parameter]) -> Self {
        Self { query, ..self }
    }

    const fn heads(self, headers: &'static [Parameter]) -> Self {
        Self { headers, ..self }
    }

    const fn takes(self, body: BodyForm) -> Self {
        Self { body: Some(body), ..self }
    }

    const fn says(self, answers: &'static [AnswerForm]) -> Self {
        Self { answers, ..self }
    }

    const fn fails(self, problems: &'static [u16]) -> Self {
        Self { problems, ..self }
    }

    const fn room(self, room: EndpointRoom) -> Self {
        Self { room, ..self }
    }
}
