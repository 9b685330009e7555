//! Bad and good configurations, as files with their expected error.
