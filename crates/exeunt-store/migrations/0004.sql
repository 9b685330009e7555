-- Schema version 4: the CA's own certificates, look-ups, imports, the parts of revocation lists.

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
