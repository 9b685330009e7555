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

-- The parts of revocation lists. A certificate's part is drawn before it is signed, and stays.
ALTER TABLE intent ADD COLUMN crl_partition INTEGER NOT NULL DEFAULT 0;
ALTER TABLE abandoned_serial ADD COLUMN crl_partition INTEGER NOT NULL DEFAULT 0;
-- Parts that certificates were given, other than 0, and when the last one of them runs out.
CREATE TABLE crl_partition (
    ca_key        INTEGER NOT NULL,
    crl_partition INTEGER NOT NULL,
    not_after     INTEGER NOT NULL,
    PRIMARY KEY (ca_key, crl_partition)
) STRICT, WITHOUT ROWID;
-- A part is a small piece of all revocations. Costs nothing where lists are whole.
CREATE INDEX revocation_partition ON revocation (ca_key, crl_partition, request)
    WHERE crl_partition > 0;
-- 1: the empty delta after deltas were switched off.
ALTER TABLE crl ADD COLUMN shadow INTEGER NOT NULL DEFAULT 0;
-- 1: modules were told that it ran out without a newer one.
ALTER TABLE crl ADD COLUMN overdue INTEGER NOT NULL DEFAULT 0;
