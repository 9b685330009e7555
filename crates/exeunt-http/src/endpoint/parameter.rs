//! Parameters of queries and headers, as the table names them.

use exeunt_api::{DELIVERIES_WAIT_S_MAX, PAGE_ROWS_MAX};

/// A parameter of a query, or a header.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// Whether it may not be left out.
    pub required: bool,
    /// What it means, one clause.
    pub means: &'static str,
}

/// What the text of a parameter may be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Anything.
    Text,
    /// Anything, and more than once.
    Texts,
    /// Printable characters of ASCII without blanks, quotation marks and backslashes, perhaps in
    /// quotation marks.
    Key,
    /// A whole number from 0 to the greatest of 64 bits.
    Number,
    /// A whole number within these bounds.
    Within(u64, u64),
    /// `true`, `false`, or nothing, which means `true`.
    Flag,
    /// One of these words.
    OneOf(&'static [&'static str]),
}

const fn it(name: &'static str, kind: Kind, means: &'static str) -> Parameter {
    Parameter { name, kind, required: false, means }
}

const fn text(name: &'static str, means: &'static str) -> Parameter {
    it(name, Kind::Text, means)
}

const fn number(name: &'static str, means: &'static str) -> Parameter {
    it(name, Kind::Number, means)
}

const MOMENT: &str = "a moment in RFC 3339, or a time from now such as 30d";

const LIMIT: Parameter =
    it("limit", Kind::Within(1, PAGE_ROWS_MAX as u64), "most rows; an export takes more");

const ORDER: Parameter = it("order", Kind::OneOf(&["asc", "desc"]), "upwards or downwards");

const FORMAT: Parameter =
    it("format", Kind::OneOf(&["json", "csv", "jsonl"]), "a page, or all rows one after the other");

/// Of a submission.
pub(super) const SUBMIT_QUERY: &[Parameter] = &[
    text("template", "name of the template"),
    it("attribute", Kind::Texts, "a request attribute, Name:Value"),
];

/// Of a submission that may be a trial.
pub(super) const TRY_QUERY: &[Parameter] = &[
    SUBMIT_QUERY[0],
    SUBMIT_QUERY[1],
    it("dry_run", Kind::Flag, "says what would become of the request, and writes nothing"),
];

/// Of the list of requests.
pub(crate) const REQUEST_QUERY: &[Parameter; 22] = &[
    number("after", "`next` of the page before"),
    number("before", "only rows of requests before this one, newest first"),
    text("caller", "part of the caller's name"),
    text("caller_is", "the caller's name"),
    FORMAT,
    number("id_from", "first row"),
    number("id_to", "last row"),
    LIMIT,
    ORDER,
    text("requester", "part of the requester's name"),
    text("requester_is", "the requester's name"),
    text("resolved_from", MOMENT),
    text("resolved_to", MOMENT),
    text("serial", "first digits of the certificate's serial number"),
    it("sort", Kind::OneOf(&["id"]), "by what it is sorted"),
    text("state", "one or more states, with commas"),
    text("status_code", "an HRESULT such as 0x80094011"),
    text("subject", "part of the subject"),
    text("subject_is", "the subject"),
    text("submitted_from", MOMENT),
    text("submitted_to", MOMENT),
    text("template", "name of the template"),
];

/// Of the list of certificates.
pub(crate) const CERTIFICATE_QUERY: &[Parameter; 27] = &[
    text("after", "`next` of the page before"),
    number("before", "only certificates of requests before this one, newest first"),
    it("ca_key", Kind::Within(0, u16::MAX as u64), "index of the CA's key"),
    text("expiring_within", "a time such as 30d"),
    FORMAT,
    number("id_from", "first row"),
    number("id_to", "last row"),
    text("issued_from", MOMENT),
    text("issued_to", MOMENT),
    text("key", "algorithm of the key, such as rsa or ecdsa-p256"),
    LIMIT,
    text("not_after_from", MOMENT),
    text("not_after_to", MOMENT),
    text("not_before_from", MOMENT),
    text("not_before_to", MOMENT),
    ORDER,
    text("reason", "reason of the revocation"),
    text("requester", "part of the requester's name"),
    text("requester_is", "the requester's name"),
    text("san", "part of a subject alternative name"),
    text("san_is", "a subject alternative name"),
    text("serial", "first digits of the serial number"),
    it("sort", Kind::OneOf(&["id", "not-after"]), "by what it is sorted"),
    text("state", "one or more states, with commas"),
    text("subject", "part of the subject"),
    text("subject_is", "the subject"),
    text("template", "name of the template"),
];

/// Of the list of revocation lists.
pub(super) const PAGE_QUERY: &[Parameter] =
    &[number("before", "`next_before` of the page before"), LIMIT];

/// Of the audit trail.
pub(crate) const AUDIT_QUERY: &[Parameter; 9] = &[
    text("action", "the action, as a word"),
    text("actor", "part of the actor's name"),
    number("after", "`next` of the page before"),
    number("event", "number of the event, such as 4887"),
    LIMIT,
    text("object", "the object, such as request:7"),
    ORDER,
    text("since", MOMENT),
    text("until", MOMENT),
];

pub(super) const EXIT_QUERY: &[Parameter] =
    &[it("parked", Kind::Flag, "only what is parked, of the shelf")];

pub(super) const REMOVE_QUERY: &[Parameter] =
    &[it("drop_backlog", Kind::Flag, "drops its place in the log and its shelf")];

pub(super) const DELIVERIES_QUERY: &[Parameter] = &[
    number("after", "`next_after` of the answer before"),
    it("wait_s", Kind::Within(0, DELIVERIES_WAIT_S_MAX), "how long to wait for one, in seconds"),
];

pub(super) const MAINTENANCE_QUERY: &[Parameter] =
    &[number("after", "`next_after` of the answer before")];

pub(super) const EXPLAIN_QUERY: &[Parameter] =
    &[Parameter { required: true, ..number("request", "number of the request") }];

/// Of a submission.
pub(super) const SUBMIT_HEADERS: &[Parameter] = &[
    it(exeunt_api::ATTRIBUTE_HEADER, Kind::Texts, "a request attribute, Name:Value"),
    it(
        exeunt_api::IDEMPOTENCY_KEY_HEADER,
        Kind::Key,
        "sent again by the same caller within a day, what became of the first one is answered",
    ),
];

/// Of what others may keep.
pub(super) const KEPT_HEADERS: &[Parameter] = &[
    text("if-none-match", "the tag of what one has"),
    text("if-modified-since", "the date of what one has"),
];
