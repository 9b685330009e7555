#!/bin/sh
# Writes a line to the system log about an event of the CA. Run for each event by the module `command`.
#
# Standard input has the whole event; what is needed here stands in the environment. The words of
# requesters come as arguments, behind `--`, and `logger` makes one line of them.

case "$EXEUNT_EVENT" in
    issued) priority=auth.info ;;
    revoked | unrevoked | denied | pending) priority=auth.notice ;;
    request-failed | crl-publication-failed | delivery-parked) priority=auth.warning ;;
    *) priority=auth.info ;;
esac

# EX_TEMPFAIL: the log is not there; try again later.
logger --tag exeunt --priority "$priority" ${SYSLOG_SOCKET:+--socket "$SYSLOG_SOCKET"} --socket-errors=on -- \
    "$EXEUNT_EVENT $EXEUNT_EVENT_ID ${EXEUNT_SUBJECT:-} serial=${EXEUNT_SERIAL:-} name=${EXEUNT_COMMON_NAME:-}" \
    "requester=${EXEUNT_REQUESTER:-} until=${EXEUNT_NOT_AFTER:-}" || exit 75
