-- Schema version 3: the life of a certificate after its issuance, and officers' decisions before it.

-- Whether the request has ever waited for an officer. Until now a request that waited still does.
ALTER TABLE request ADD COLUMN pended INTEGER NOT NULL DEFAULT 0;
UPDATE request SET pended = 1 WHERE disposition = 9;

-- What few requests have; no row: nothing of it.
CREATE TABLE request_extra (
    request         INTEGER PRIMARY KEY REFERENCES request (id),
    flags           INTEGER NOT NULL DEFAULT 0, -- the original's CR_FLG_*
    publish_expired INTEGER NOT NULL DEFAULT 0, -- 1: stays in revocation lists after its validity
    old_certificate BLOB                        -- the certificate that is renewed
) STRICT;

-- A request's attributes, extensions and template after an officer changed them, whole each time. "after"
-- is the last event of the log at that moment: an event reads the newest amendment whose "after" is less
-- than its own number, so that what is told late is what was true then. The request itself reads the newest.
-- One with "after" 0 is what the request came with: there is one where the template became another.
CREATE TABLE amendment (
    request    INTEGER NOT NULL REFERENCES request (id),
    after      INTEGER NOT NULL,
    attributes TEXT    NOT NULL, -- as request.attributes
    extensions TEXT    NOT NULL, -- a line "oid flags hexadecimal" each
    template   TEXT    NOT NULL, -- as request.template
    PRIMARY KEY (request, after)
) STRICT, WITHOUT ROWID;

-- Certificates that are or were revoked. A row stays after a release from hold: reason 0xFFFFFFFF, revoked 0.
-- What a maker of lists needs of the certificate is repeated, so that it reads this table alone.
CREATE TABLE revocation (
    request       INTEGER PRIMARY KEY REFERENCES request (id),
    ran           INTEGER NOT NULL, -- when the command ran
    effective     INTEGER NOT NULL, -- from when on it counts
    reason        INTEGER NOT NULL,
    revoked       INTEGER NOT NULL, -- 1: it is revoked now
    event         INTEGER NOT NULL, -- the last event that told of it
    not_after     INTEGER NOT NULL,
    ca_key        INTEGER NOT NULL,
    crl_partition INTEGER NOT NULL,
    serial        BLOB    NOT NULL
) STRICT;
-- For what changed since a time, commands that ran and revocations that began to count; and since an
-- event, where the clock was put back in between.
CREATE INDEX revocation_ran ON revocation (ran);
CREATE INDEX revocation_effective ON revocation (effective);
CREATE INDEX revocation_event ON revocation (event);

-- The revocation as it was when the event was committed; all NULL: there was none.
ALTER TABLE event ADD COLUMN revoked_reason INTEGER;
ALTER TABLE event ADD COLUMN revoked_ran INTEGER;
ALTER TABLE event ADD COLUMN revoked_effective INTEGER;

ALTER TABLE certificate ADD COLUMN ca_key INTEGER NOT NULL DEFAULT 0;
ALTER TABLE certificate ADD COLUMN crl_partition INTEGER NOT NULL DEFAULT 0;

-- NULL: it was given up before this version.
ALTER TABLE abandoned_serial ADD COLUMN not_after INTEGER;
ALTER TABLE abandoned_serial ADD COLUMN ca_key INTEGER NOT NULL DEFAULT 0;
-- The last event of the log when it was given up.
ALTER TABLE abandoned_serial ADD COLUMN after INTEGER NOT NULL DEFAULT 0;

ALTER TABLE intent ADD COLUMN not_after INTEGER; -- NULL: written before this version
ALTER TABLE intent ADD COLUMN ca_key INTEGER NOT NULL DEFAULT 0;
-- Of a request that is processed again: its disposition and template before. NULL: it is new.
ALTER TABLE intent ADD COLUMN was INTEGER;
ALTER TABLE intent ADD COLUMN was_template TEXT;

-- The last number that was given to a revocation list.
ALTER TABLE meta ADD COLUMN crl_number INTEGER NOT NULL DEFAULT 0;
-- The last event of the log when that was.
ALTER TABLE meta ADD COLUMN crl_after INTEGER NOT NULL DEFAULT 0;
-- The largest number that was skipped because a list with it, which is not on record, was found.
ALTER TABLE meta ADD COLUMN crl_skipped INTEGER;

-- A row for each revocation list that was made; its octets are a file.
CREATE TABLE crl (
    kind          INTEGER NOT NULL, -- 0 base, 1 delta
    key_index     INTEGER NOT NULL,
    crl_partition INTEGER NOT NULL,
    number        INTEGER NOT NULL,
    newest        INTEGER NOT NULL, -- 1: of its kind, key and part
    after         INTEGER NOT NULL, -- it knows every revocation up to this event
    min_base      INTEGER,          -- of a delta: the base that it builds on
    this_update   INTEGER NOT NULL,
    next_update   INTEGER NOT NULL,
    this_publish  INTEGER NOT NULL,
    next_publish  INTEGER NOT NULL,
    entries       INTEGER NOT NULL,
    length        INTEGER NOT NULL,
    sha256        BLOB    NOT NULL,
    PRIMARY KEY (kind, key_index, crl_partition, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX crl_number ON crl (number);
CREATE INDEX crl_newest ON crl (kind, key_index, crl_partition) WHERE newest = 1;
