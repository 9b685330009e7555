-- Schema version 4: the CA's own certificates, look-ups, imports, the parts of revocation lists.

-- Imported certificates of other CAs, by SHA-256 of their DER: whether one is on record already. Their
-- serial numbers do not stand in "serial", because they are not ours.
CREATE TABLE foreign_certificate (
    hash    BLOB    PRIMARY KEY,
    request INTEGER NOT NULL REFERENCES request (id)
) STRICT, WITHOUT ROWID;

-- The CA's own certificates, by index. A start with others, with fewer or in another order is refused.
CREATE TABLE ca_certificate (
    ca_index INTEGER PRIMARY KEY,
    sha256   BLOB    NOT NULL, -- of its DER
    since    INTEGER NOT NULL  -- when a start saw it first
) STRICT;

-- The cross certificates between keys of the CA, by the indexes of the certificates with these keys.
CREATE TABLE ca_cross (
    signer  INTEGER NOT NULL,
    subject INTEGER NOT NULL,
    request INTEGER NOT NULL REFERENCES request (id),
    PRIMARY KEY (signer, subject)
) STRICT, WITHOUT ROWID;

-- Look-ups: certificates in the order in which they run out, for lists and for what is told before. The
-- values nearly ascend, so that a new one goes where the last one went: as many places as templates
-- have validities, and not as many as there are certificates.
CREATE INDEX certificate_not_after ON certificate (not_after);

-- How far modules were told which certificates run out soon: for each distance the last certificate, by
-- notAfter and request, that the events of that distance have passed. One that comes before is not told.
CREATE TABLE expiry (
    days      INTEGER PRIMARY KEY,
    not_after INTEGER NOT NULL,
    request   INTEGER NOT NULL
) STRICT;
