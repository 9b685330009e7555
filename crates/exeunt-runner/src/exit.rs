//! The library's exit module: called directly, or by the names of its members.

use exeunt_com::{
    Bstr, ComPtr, Variant,
    abi::{
        DISPID, FAILED, HRESULT, ICertExit, ICertExit2, ICertExitVtbl, ICertManageModule,
        IDispatch, IUnknown, LONG,
    },
    error_info,
};

use crate::{
    failure::CallFailure,
    late::{Late, failure},
    library::NotAModule,
    manage::Manage,
    value::long_of,
};

/// The object behind an exit module. Which way it is called is decided once.
#[derive(Debug)]
pub(crate) enum Exit {
    /// Through its table of functions.
    Direct {
        /// What every module has.
        exit: ComPtr<ICertExit>,
        /// What one of the second generation has.
        exit2: Option<ComPtr<ICertExit2>>,
    },
    /// Through `IDispatch`.
    Late {
        /// The object.
        object: Late,
        /// Number of `Initialize`.
        initialize: DISPID,
        /// Number of `Notify`.
        notify: DISPID,
        /// Number of `GetDescription`, if there is one.
        get_description: Option<DISPID>,
        /// Number of `GetManageModule`, if there is one.
        get_manage_module: Option<DISPID>,
    },
}

impl Exit {
    /// Finds out how the object is called.
    ///
    /// # Errors
    ///
    /// It cannot be called.
    pub(crate) fn of(object: &ComPtr<IUnknown>, automation: bool) -> Result<Self, NotAModule> {
        if !automation {
            if let Ok(exit2) = object.query::<ICertExit2>() {
                // An object that denies what its own interface extends is still called by the table
                // that it gave, which begins with the same functions.
                let exit = exit2.query::<ICertExit>().ok().or_else(|| {
                    // SAFETY: `ICertExit2` extends `ICertExit`, so its table begins with that one's.
                    unsafe { ComPtr::from_raw(exit2.clone().into_raw().cast::<ICertExit>()) }
                });
                if let Some(exit) = exit {
                    return Ok(Self::Direct { exit, exit2: Some(exit2) });
                }
            }
            if let Ok(exit) = object.query::<ICertExit>() {
                return Ok(Self::Direct { exit, exit2: None });
            }
        }
        let object = Late::new(object.query::<IDispatch>().map_err(|_| NotAModule::Interface)?);
        let needed = |name| object.member(name).map_err(|_| NotAModule::Member(name));
        let (initialize, notify) = (needed("Initialize")?, needed("Notify")?);
        let get_description = object.member("GetDescription").ok();
        let get_manage_module = object.member("GetManageModule").ok();
        Ok(Self::Late { object, initialize, notify, get_description, get_manage_module })
    }

    /// `Initialize`: the mask of wanted events.
    ///
    /// # Errors
    ///
    /// What the module failed with.
    pub(crate) fn initialize(&self, config: &str) -> Result<LONG, CallFailure> {
        const METHOD: &str = "Initialize";
        match self {
            Self::Direct { exit, .. } => {
                let config = Bstr::from(config);
                let mut mask = 0;
                direct(METHOD, || {
                    // SAFETY: the object is live; the text stays ours, the mask can be written.
                    unsafe { (table(exit).Initialize)(exit.this(), config.as_raw(), &raw mut mask) }
                })?;
                Ok(mask)
            }
            Self::Late { object, initialize, .. } => {
                let mask = object.invoke(METHOD, *initialize, vec![Variant::from(config)])?;
                long_of(&mask)
                    .map_err(|hr| CallFailure::new(METHOD, hr, "its result is no mask of events"))
            }
        }
    }

    /// `Notify`.
    ///
    /// # Errors
    ///
    /// What the module failed with.
    pub(crate) fn notify(&self, event: LONG, context: LONG) -> Result<(), CallFailure> {
        const METHOD: &str = "Notify";
        match self {
            Self::Direct { exit, .. } => direct(METHOD, || {
                // SAFETY: the object is live.
                unsafe { (table(exit).Notify)(exit.this(), event, context) }
            }),
            Self::Late { object, notify, .. } => {
                let arguments = vec![Variant::from(event), Variant::from(context)];
                object.invoke(METHOD, *notify, arguments).map(drop)
            }
        }
    }

    /// `GetDescription`; `None` where there is no such member.
    ///
    /// # Errors
    ///
    /// What the module failed with.
    pub(crate) fn description(&self) -> Result<Option<String>, CallFailure> {
        const METHOD: &str = "GetDescription";
        match self {
            Self::Direct { exit, .. } => {
                let mut text = Bstr::empty();
                direct(METHOD, || {
                    // SAFETY: the object is live, and the text it gives is ours.
                    unsafe { (table(exit).GetDescription)(exit.this(), text.receive()) }
                })?;
                Ok(Some(text.to_text_lossy()))
            }
            Self::Late { object, get_description, .. } => object.description(*get_description),
        }
    }

    /// `GetManageModule`; `None` where there is no such member, or it gives nothing.
    pub(crate) fn manage_module(&self) -> Option<Manage> {
        match self {
            Self::Direct { exit2: Some(exit2), .. } => {
                let mut raw: *mut ICertManageModule = std::ptr::null_mut();
                direct("GetManageModule", || {
                    // SAFETY: the object and its table are live; the pointer can be written.
                    unsafe {
                        ((*(*exit2.as_raw()).lpVtbl).GetManageModule)(exit2.this(), &raw mut raw)
                    }
                })
                .ok()?;
                // SAFETY: a success is a new reference.
                unsafe { ComPtr::from_raw(raw) }.map(Manage::Direct)
            }
            Self::Direct { exit2: None, .. } => None,
            Self::Late { object, get_manage_module, .. } => {
                object.manage_module(*get_manage_module)
            }
        }
    }
}

/// Makes a direct call, whose failure is told with the thread's error information.
pub(crate) fn direct(
    method: &'static str,
    call: impl FnOnce() -> HRESULT,
) -> Result<(), CallFailure> {
    error_info::clear();
    let hr = call();
    if FAILED(hr) { Err(failure(method, hr)) } else { Ok(()) }
}

fn table(exit: &ComPtr<ICertExit>) -> &ICertExitVtbl {
    // SAFETY: the object is live, and so is its table.
    unsafe { &*(*exit.as_raw()).lpVtbl }
}
