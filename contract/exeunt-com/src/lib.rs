//! The COM face of Exeunt's contract, for exit modules that are shared libraries.
//!
//! - [`abi`]: the binary interface, named as in the Windows SDK. No behaviour.

pub mod abi;
