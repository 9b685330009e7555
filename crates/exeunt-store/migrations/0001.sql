-- Schema version 1.
--
-- Integers are used wherever a column is hot: dispositions, kinds, status codes and times (milliseconds
-- since 1970) are the numbers that exeunt-types gives them. Short columns stand before long ones, so that
-- a look-up which does not want a blob never reads the pages it spills to. The only index beside the
-- primary keys is "serial": every further one would cost each certificate a page write at a random place.

-- One row about the file itself.
CREATE TABLE meta (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    store_id TEXT    NOT NULL, -- 16 hexadecimal digits, given at creation and never changed
    created  INTEGER NOT NULL
) STRICT;

-- One row per request, never deleted, so ids are never reused. Everything but disposition, status,
-- resolved and message is immutable.
CREATE TABLE request (
    id           INTEGER PRIMARY KEY,
    disposition  INTEGER NOT NULL,
    status       INTEGER NOT NULL, -- HRESULT, unsigned
    resolved     INTEGER,          -- NULL while active or pending
    submitted    INTEGER NOT NULL,
    request_type INTEGER NOT NULL,
    message      TEXT    NOT NULL,
    requester    TEXT    NOT NULL,
    caller       TEXT    NOT NULL,
    template     TEXT    NOT NULL,
    subject      TEXT    NOT NULL,
    attributes   TEXT    NOT NULL, -- a line "name:value" each; colon, newline and backslash escaped
    raw          BLOB    NOT NULL
) STRICT;

-- Every serial number that was ever written into an intent, for ever: what stands here is never given
-- out again, whether it became a certificate, was abandoned, or is being signed at this moment.
CREATE TABLE serial (
    serial  BLOB    PRIMARY KEY,
    request INTEGER NOT NULL REFERENCES request (id)
) STRICT, WITHOUT ROWID;

-- What is being signed. A row lives from step 3 to step 5 of the journey; recovery looks for leftovers.
CREATE TABLE intent (
    request INTEGER PRIMARY KEY REFERENCES request (id),
    serial  BLOB    NOT NULL,
    tbs     BLOB    NOT NULL -- the exact TBSCertificate
) STRICT;

-- One row per certificate, under the number of its request.
CREATE TABLE certificate (
    request    INTEGER PRIMARY KEY REFERENCES request (id),
    event      INTEGER NOT NULL, -- the event that told of it
    issued     INTEGER NOT NULL,
    not_before INTEGER NOT NULL,
    not_after  INTEGER NOT NULL,
    serial     BLOB    NOT NULL, -- unique by way of the table "serial"
    key        TEXT    NOT NULL, -- algorithm of the subject's key, as the command line names it
    subject    TEXT    NOT NULL,
    sans       TEXT    NOT NULL,
    raw        BLOB    NOT NULL
) STRICT;

-- Serial numbers that may have been signed but were never recorded. They count as revoked.
CREATE TABLE abandoned_serial (
    serial  BLOB    PRIMARY KEY,
    request INTEGER NOT NULL REFERENCES request (id),
    at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The log: append-only, gap-free, in commit order. A row keeps the part of the request that can change
-- later (disposition, status, message) as it was; the immutable rest is joined.
CREATE TABLE event (
    seq         INTEGER PRIMARY KEY,
    kind        INTEGER NOT NULL, -- one bit
    at          INTEGER NOT NULL,
    request     INTEGER REFERENCES request (id), -- NULL: about the server
    disposition INTEGER,
    status      INTEGER,
    message     TEXT
) STRICT;

-- The place of each exit module in the log, and who may move it.
CREATE TABLE cursor (
    exit         TEXT    PRIMARY KEY,
    position     INTEGER NOT NULL, -- every event up to here is settled or held
    lease_token  INTEGER NOT NULL, -- grows with every change of holder
    lease_holder TEXT    NOT NULL, -- empty: never leased
    lease_until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The shelf: events up to a cursor that are not settled yet.
CREATE TABLE held (
    exit       TEXT    NOT NULL REFERENCES cursor (exit),
    seq        INTEGER NOT NULL REFERENCES event (seq),
    request    INTEGER,          -- subject; NULL: the server
    attempts   INTEGER NOT NULL,
    state      INTEGER NOT NULL, -- 0 retry at retry_at, 1 wait behind another, 2 parked
    retry_at   INTEGER,
    first_held INTEGER NOT NULL,
    last_error TEXT    NOT NULL,
    PRIMARY KEY (exit, seq)
) STRICT, WITHOUT ROWID;

-- Held rows that could not be read, moved here once, as text.
CREATE TABLE quarantine (
    exit TEXT    NOT NULL,
    seq  INTEGER NOT NULL,
    at   INTEGER NOT NULL,
    why  TEXT    NOT NULL,
    row  TEXT    NOT NULL,
    PRIMARY KEY (exit, seq)
) STRICT, WITHOUT ROWID;

-- How many requests are in which disposition. Kept by the writer once per commit, because counting the
-- rows of a large store takes seconds.
CREATE TABLE tally (
    disposition INTEGER PRIMARY KEY,
    requests    INTEGER NOT NULL
) STRICT;
