//! The COM face of Exeunt's contract, for exit modules that are shared libraries.
//!
//! - [`abi`]: the binary interface, named as in the Windows SDK. No behaviour.
//! - The functions that code written for that interface expects, exported by their published names:
//!   [`bstr`], [`variant`], [`safearray`], [`memory`], [`guid`], [`class`], [`error_info`], [`date`].
//!   The same modules hold safe owners of these things for Rust.
//! - [`ComPtr`]: a counted reference.
//!
//! The headers in `include/` declare all of it for C and C++.

pub mod abi;
pub mod bstr;
pub mod class;
pub mod date;
pub mod error_info;
pub mod exports;
pub mod guid;
mod host;
pub mod memory;
mod pointer;
pub mod safearray;
pub mod variant;

pub use bstr::Bstr;
pub use pointer::ComPtr;
pub use variant::Variant;
