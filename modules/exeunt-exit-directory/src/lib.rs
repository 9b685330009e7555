//! The exit module that publishes certificates and revocation lists in an LDAP directory.
