#!/usr/bin/env python3
"""An exit module that keeps an inventory of all certificates in an SQLite database."""

import datetime
import sqlite3

from exeunt_module import ExitEvent, ExitModule, Park, PropertyEmpty, Retry, Setting

TABLE = """
    CREATE TABLE IF NOT EXISTS certificate (
        serial TEXT PRIMARY KEY, common_name TEXT, template TEXT, requester TEXT,
        not_before TEXT, not_after TEXT, state TEXT NOT NULL, reason INTEGER,
        seq INTEGER NOT NULL, der BLOB
    ) STRICT
"""

# An event that comes again, or late, changes nothing: what is known from a later one stays.
ROW = """
    INSERT INTO certificate VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (serial) DO UPDATE SET state = excluded.state, reason = excluded.reason, seq = excluded.seq
    WHERE seq < excluded.seq
"""

STATES = {
    ExitEvent.CERT_ISSUED: "valid",
    ExitEvent.CERT_IMPORTED: "valid",
    ExitEvent.CERT_REVOKED: "revoked",
    ExitEvent.CERT_UNREVOKED: "valid",
}


class Inventory(ExitModule):
    name = "inventory"
    version = "1.0"
    description = "keeps an inventory of all certificates"
    settings = [Setting("database", "string", "the SQLite file", required=True)]

    def initialize(self, hello):
        self.db = sqlite3.connect(hello.settings["database"], timeout=10)
        self.db.execute("PRAGMA journal_mode = WAL")
        with self.db:
            self.db.execute(TABLE)
        return (
            ExitEvent.CERT_ISSUED | ExitEvent.CERT_IMPORTED | ExitEvent.CERT_REVOKED | ExitEvent.CERT_UNREVOKED
        )

    def notify(self, event):
        state = STATES.get(event.event)
        if state is None:
            return None

        def of(name):
            value = event.certificate_property(name, default=None)
            return value.isoformat() if isinstance(value, datetime.datetime) else value

        try:
            serial = event.certificate_property("SerialNumber")
        except PropertyEmpty:
            return Park("a certificate without a serial number")
        reason = event.request_property("RevokedReason", default=None)
        row = (
            serial,
            of("CommonName"),
            of("CertificateTemplate"),
            event.request_property("RequesterName", default=None),
            of("NotBefore"),
            of("NotAfter"),
            state,
            reason if state == "revoked" else None,
            event.seq,
            of("RawCertificate"),
        )
        try:
            with self.db:
                self.db.execute(ROW, row)
        except sqlite3.OperationalError as err:
            # Locked, full, read-only: another time.
            return Retry(after=5, reason=str(err))
        return None

    def shutdown(self):
        self.db.close()


if __name__ == "__main__":
    Inventory().serve()
