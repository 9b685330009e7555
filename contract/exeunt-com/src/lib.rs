//! The COM face of Exeunt's contract, for modules that are shared libraries.
//!
//! - [`abi`]: the binary interface, named as in the Windows SDK. No behaviour.
//! - The functions that code written for that interface expects, exported by their published names:
//!   [`bstr`], [`variant`], [`safearray`], [`memory`], [`guid`], [`class`], [`error_info`], [`date`].
//!   The same modules hold safe owners of these things for Rust.
//! - [`ComPtr`]: a counted reference.
//! - [`ExitClass`] and [`export_exit_module!`]: an exit module in Rust as a shared library.
//!   [`ServerExit`] is what it reads from.
//! - [`PolicyClass`] and [`export_policy_module!`]: the same for a policy module. [`ServerPolicy`] is
//!   what it reads from and writes to.
//!
//! The headers in `include/` declare all of it for C and C++.

pub mod abi;
pub mod bstr;
pub mod class;
pub mod date;
pub mod dispatch;
pub mod error_info;
pub mod exports;
pub mod guid;
mod host;
pub mod memory;
pub mod module;
pub mod object;
mod pointer;
pub mod safearray;
mod server_exit;
mod server_policy;
pub mod variant;

pub use bstr::Bstr;
pub use exeunt_module::manage::{SettingInfo, SettingType};
pub use module::{Decision, ExitClass, ModuleError, PolicyClass};
pub use pointer::ComPtr;
pub use server_exit::{Extension, Names, ServerExit};
pub use server_policy::ServerPolicy;
pub use variant::Variant;
