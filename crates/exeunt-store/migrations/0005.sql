-- Schema version 5: who may ask, who decides, who saw it.

-- The audit trail: what was there before and after, the original's numbers of the event, and the chain. A
-- row's hash is SHA-256 over the hash of the row before it and everything that the row says. NULL: the row
-- is older than the chain and is linked into it when the store is opened.
ALTER TABLE audit ADD COLUMN before TEXT;
ALTER TABLE audit ADD COLUMN after TEXT;
ALTER TABLE audit ADD COLUMN event INTEGER NOT NULL DEFAULT 0; -- what became of it
ALTER TABLE audit ADD COLUMN also INTEGER NOT NULL DEFAULT 0;  -- what the row tells of as well; 0: nothing
ALTER TABLE audit ADD COLUMN hash BLOB;
-- Checkpoints: the chain's head at a time, signed with the CA's key.
CREATE TABLE audit_checkpoint (
    number INTEGER PRIMARY KEY, -- of the row that was the head
    at     INTEGER NOT NULL,
    signed BLOB    NOT NULL     -- CMS SignedData, DER
) STRICT;
