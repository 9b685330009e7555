//! The binary interface: types, vtables, identifiers and numbers, named as in the Windows SDK.
//!
//! Nothing here behaves; the functions are in the modules beside this one. The layout is that of
//! 64-bit Windows where types are concerned (`LONG` has 32 bits, `OLECHAR` 16), and the platform's own
//! C calling convention. The headers in `include/` say the same to C and C++, and a test compares
//! the two.
#![expect(
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    reason = "names are those of the published interface, so that they can be looked up"
)]

mod certsrv;
mod codes;
mod ids;
mod types;
mod vtable;

pub use certsrv::*;
pub use codes::*;
pub use ids::*;
pub use types::*;
pub use vtable::*;
