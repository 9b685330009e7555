-- Schema version 5: who may ask, who decides, who saw it.

-- The audit trail: what was there before and after, the original's numbers of the event, and the chain. A
-- row's hash is SHA-256 over the hash of the row before it and everything that the row says. NULL: the row
-- is older than the chain and is linked into it when the store is opened.
ALTER TABLE audit ADD COLUMN before TEXT;
ALTER TABLE audit ADD COLUMN after TEXT;
ALTER TABLE audit ADD COLUMN event INTEGER NOT NULL DEFAULT 0; -- what became of it
ALTER TABLE audit ADD COLUMN also INTEGER NOT NULL DEFAULT 0;  -- what the row tells of as well; 0: nothing
ALTER TABLE audit ADD COLUMN hash BLOB;
-- What operators did to one thing, and what is written at all. Both are without the rows of requests, which
-- are many.
CREATE INDEX audit_object ON audit (object, id) WHERE event >= 10000;
CREATE INDEX audit_filter ON audit (id) WHERE event IN (4880, 4885);
-- Checkpoints: the chain's head at a time, signed with the CA's key.
CREATE TABLE audit_checkpoint (
    number INTEGER PRIMARY KEY, -- of the row that was the head
    at     INTEGER NOT NULL,
    signed BLOB    NOT NULL     -- CMS SignedData, DER
) STRICT;

-- Templates: approvals, limits of issuance, and who asked. Each row is one that few requests have.
-- A certificate manager's approval of a request that waits. Gone when the request is amended or refused.
CREATE TABLE approval (
    request INTEGER NOT NULL REFERENCES request (id),
    manager TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (request, manager)
) STRICT, WITHOUT ROWID;
-- Who asked for what waits or was refused, so that it is judged by that when it is taken up again.
CREATE TABLE asker (
    request INTEGER PRIMARY KEY REFERENCES request (id),
    door    TEXT    NOT NULL,
    roles   INTEGER NOT NULL, -- the original's access rights
    groups  TEXT    NOT NULL  -- a line each
) STRICT;
-- Certificates that count against a limit of issuance, until their window has passed.
CREATE TABLE rate_use (
    scope   TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    request INTEGER NOT NULL REFERENCES request (id),
    PRIMARY KEY (scope, at, request)
) STRICT, WITHOUT ROWID;
-- Flags of the template that a certificate was issued from, where it has any.
CREATE TABLE template_flags (
    request     INTEGER PRIMARY KEY REFERENCES request (id),
    enrollment  INTEGER NOT NULL,
    general     INTEGER NOT NULL,
    private_key INTEGER NOT NULL
) STRICT;

-- Key archival. Subscribers' private keys, encrypted to recovery agents: not even the CA can read them.
CREATE TABLE archived_key (
    request INTEGER PRIMARY KEY REFERENCES request (id),
    at      INTEGER NOT NULL,
    agents  TEXT    NOT NULL, -- SHA-1 of the agents' certificates in hexadecimal, a line each
    blob    BLOB    NOT NULL  -- CMS EnvelopedData around a PKCS #8, DER
) STRICT;
-- Who wants a key back, and who agrees.
CREATE TABLE key_recovery (
    id          INTEGER PRIMARY KEY,
    request     INTEGER NOT NULL REFERENCES request (id),
    reason      TEXT    NOT NULL,
    asked_by    TEXT    NOT NULL,
    asked       INTEGER NOT NULL,
    expires     INTEGER NOT NULL,
    approved_by TEXT,             -- NULL: nobody has agreed yet
    approved    INTEGER,
    fetched     INTEGER           -- when it was last
) STRICT;

-- Keys by which clients repeat a submission without making it twice. Few requests have one.
CREATE TABLE idempotency (
    request INTEGER PRIMARY KEY REFERENCES request (id),
    caller  TEXT    NOT NULL,
    key     TEXT    NOT NULL,
    asked   BLOB    NOT NULL, -- SHA-256 of what was asked for
    denied  TEXT,             -- why it was denied, a code
    at      INTEGER NOT NULL,
    UNIQUE (caller, key)
) STRICT;
