-- Schema version 2: events that say more, replay, the audit trail.

-- What an event says beyond its request and certificate: a line "name:value" each, escaped as
-- request.attributes is. NULL for almost all.
ALTER TABLE event ADD COLUMN detail TEXT;

-- Where the cursor was made; 0 for those of version 1, which did not note it.
ALTER TABLE cursor ADD COLUMN started INTEGER NOT NULL DEFAULT 0;
-- A replay: the last event that is told again, and where the cursor goes on after it. Both NULL: none runs.
ALTER TABLE cursor ADD COLUMN replay_to INTEGER;
ALTER TABLE cursor ADD COLUMN resume_at INTEGER;

-- The newest lease token of all cursors that were removed. A new cursor's tokens begin after it, so that a
-- worker which still holds a lease of a removed cursor is recognised when a cursor of that name is made anew.
ALTER TABLE meta ADD COLUMN lease_floor INTEGER NOT NULL DEFAULT 0;

-- What people did to the server: append-only.
CREATE TABLE audit (
    id     INTEGER PRIMARY KEY,
    at     INTEGER NOT NULL,
    actor  TEXT    NOT NULL, -- who
    action TEXT    NOT NULL, -- did what
    object TEXT    NOT NULL, -- to what
    detail TEXT    NOT NULL
) STRICT;
