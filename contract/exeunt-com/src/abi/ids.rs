//! Identifiers of interfaces and classes, as Rust constants and as symbols for C and C++.

use super::types::GUID;

macro_rules! ids {
    ($($(#[doc = $doc:literal])+ $name:ident = $digits:literal;)+) => {
        $($(#[doc = $doc])+ pub const $name: GUID = GUID::from_u128($digits);)+

        /// The same as symbols of the same names, which the headers declare `extern "C" const`.
        pub mod symbols {
            use super::GUID;
            // SAFETY: the names are those of the published interface; nothing else in a process that
            // speaks COM may bear them.
            $($(#[doc = $doc])+ #[unsafe(no_mangle)] pub static $name: GUID = super::$name;)+

            /// Address of every symbol, so that a linker can be made to keep them.
            pub(crate) static ALL: &[&GUID] = &[$(&$name),+];
        }
    };
}

ids! {
    /// No identifier.
    GUID_NULL = 0;
    /// Every object has it.
    IID_IUnknown = 0x00000000_0000_0000_C000_000000000046;
    /// Makes objects of a class.
    IID_IClassFactory = 0x00000001_0000_0000_C000_000000000046;
    /// Late binding.
    IID_IDispatch = 0x00020400_0000_0000_C000_000000000046;
    /// Description of a type; nobody implements it here.
    IID_ITypeInfo = 0x00020401_0000_0000_C000_000000000046;
    /// Reads what failed.
    IID_IErrorInfo = 0x1CF2B120_547D_101B_8E65_08002B2BD119;
    /// Writes what failed.
    IID_ICreateErrorInfo = 0x22F03340_547D_101B_8E65_08002B2BD119;
    /// Says that an interface leaves error information.
    IID_ISupportErrorInfo = 0xDF0B3D60_548F_101B_8E65_08002B2BD119;

    /// An exit module.
    IID_ICertExit = 0xE19AE1A0_7364_11D0_8816_00A0C903B83C;
    /// An exit module that knows its manage module.
    IID_ICertExit2 = 0x0ABF484B_D049_464D_A7ED_552E7529B0FF;
    /// Settings and description of a module.
    IID_ICertManageModule = 0xE7D7AD42_BD3D_11D1_9A4D_00C04FC297EB;
    /// What an exit module reads from.
    IID_ICertServerExit = 0x4BA9EB90_732C_11D0_8816_00A0C903B83C;
    /// A policy module.
    IID_ICertPolicy = 0x38BB5A00_7636_11D0_B413_00A0C91BBF8C;
    /// A policy module that knows its manage module.
    IID_ICertPolicy2 = 0x3DB4910E_8001_4BF1_AA1B_F43A808317A0;
    /// What a policy module reads from and writes to.
    IID_ICertServerPolicy = 0xAA000922_FFBE_11CF_8800_00A0C903B83C;

    /// The class behind `ICertServerExit`.
    CLSID_CCertServerExit = 0x4C4A5E40_732C_11D0_8816_00A0C903B83C;
    /// The class behind `ICertServerPolicy`.
    CLSID_CCertServerPolicy = 0xAA000926_FFBE_11CF_8800_00A0C903B83C;
}
