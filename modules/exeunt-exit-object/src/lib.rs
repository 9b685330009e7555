//! The exit module that publishes certificates and revocation lists in an S3-compatible bucket.
