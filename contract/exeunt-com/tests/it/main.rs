//! The COM face from the other side: C and C++ are compiled with the system's compilers and run.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod build;
mod headers;
mod layout;
mod programs;
