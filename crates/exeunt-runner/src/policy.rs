//! The library's policy module: called directly, or by the names of its members.

use exeunt_com::{
    Bstr, ComPtr, Variant,
    abi::{
        DISPID, FAILED, ICertManageModule, ICertPolicy, ICertPolicy2, ICertPolicyVtbl, IDispatch,
        IID_ICertServerPolicy, IUnknown, LONG, VR_INSTANT_BAD,
    },
    error_info,
};

use crate::{
    exit::direct,
    failure::{CallFailure, one_line},
    late::Late,
    library::NotAModule,
    manage::Manage,
    value::long_of,
};

/// The object behind a policy module. Which way it is called is decided once.
#[derive(Debug)]
pub(crate) enum Policy {
    /// Through its table of functions.
    Direct {
        /// What every module has.
        policy: ComPtr<ICertPolicy>,
        /// What one of the second generation has.
        policy2: Option<ComPtr<ICertPolicy2>>,
    },
    /// Through `IDispatch`.
    Late {
        /// The object.
        object: Late,
        /// Number of `Initialize`.
        initialize: DISPID,
        /// Number of `VerifyRequest`.
        verify_request: DISPID,
        /// Number of `GetDescription`, if there is one.
        get_description: Option<DISPID>,
        /// Number of `ShutDown`, if there is one.
        shut_down: Option<DISPID>,
        /// Number of `GetManageModule`, if there is one.
        get_manage_module: Option<DISPID>,
    },
}

/// What `VerifyRequest` gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    /// `*pDisposition` as it came.
    pub(crate) disposition: LONG,
    /// What the module said beside it, in one line; may be empty.
    pub(crate) text: String,
}

impl Policy {
    /// Finds out how the object is called.
    ///
    /// # Errors
    ///
    /// It cannot be called.
    pub(crate) fn of(object: &ComPtr<IUnknown>, automation: bool) -> Result<Self, NotAModule> {
        if !automation {
            if let Ok(policy2) = object.query::<ICertPolicy2>() {
                // An object that denies what its own interface extends is still called by the table
                // that it gave, which begins with the same functions.
                let policy = policy2.query::<ICertPolicy>().ok().or_else(|| {
                    // SAFETY: `ICertPolicy2` extends `ICertPolicy`, so its table begins with that
                    // one's.
                    unsafe { ComPtr::from_raw(policy2.clone().into_raw().cast::<ICertPolicy>()) }
                });
                if let Some(policy) = policy {
                    return Ok(Self::Direct { policy, policy2: Some(policy2) });
                }
            }
            if let Ok(policy) = object.query::<ICertPolicy>() {
                return Ok(Self::Direct { policy, policy2: None });
            }
        }
        let object = Late::new(object.query::<IDispatch>().map_err(|_| NotAModule::Interface)?);
        let needed = |name| object.member(name).map_err(|_| NotAModule::Member(name));
        let (initialize, verify_request) = (needed("Initialize")?, needed("VerifyRequest")?);
        let get_description = object.member("GetDescription").ok();
        let shut_down = object.member("ShutDown").ok();
        let get_manage_module = object.member("GetManageModule").ok();
        Ok(Self::Late {
            object,
            initialize,
            verify_request,
            get_description,
            shut_down,
            get_manage_module,
        })
    }

    /// `Initialize`.
    ///
    /// # Errors
    ///
    /// What the module failed with.
    pub(crate) fn initialize(&self, config: &str) -> Result<(), CallFailure> {
        const METHOD: &str = "Initialize";
        match self {
            Self::Direct { policy, .. } => {
                let config = Bstr::from(config);
                direct(METHOD, || {
                    // SAFETY: the object is live; the text stays ours.
                    unsafe { (table(policy).Initialize)(policy.this(), config.as_raw()) }
                })
            }
            Self::Late { object, initialize, .. } => {
                object.invoke(METHOD, *initialize, vec![Variant::from(config)]).map(drop)
            }
        }
    }

    /// `VerifyRequest`. A new request is told as 1, an old one as 0, also by name.
    ///
    /// # Errors
    ///
    /// What the module failed with.
    pub(crate) fn verify_request(
        &self,
        config: &str,
        context: LONG,
        is_new: bool,
        flags: LONG,
    ) -> Result<Verified, CallFailure> {
        const METHOD: &str = "VerifyRequest";
        let is_new = LONG::from(is_new);
        let disposition = match self {
            Self::Direct { policy, .. } => {
                let config = Bstr::from(config);
                // What a module that forgets to answer leaves there must not issue.
                let mut disposition = 0;
                direct(METHOD, || {
                    // SAFETY: the object is live; the text stays ours, the disposition can be written.
                    unsafe {
                        (table(policy).VerifyRequest)(
                            policy.this(),
                            config.as_raw(),
                            context,
                            is_new,
                            flags,
                            &raw mut disposition,
                        )
                    }
                })?;
                disposition
            }
            Self::Late { object, verify_request, .. } => {
                let arguments = vec![config.into(), context.into(), is_new.into(), flags.into()];
                let result = object.invoke(METHOD, *verify_request, arguments)?;
                long_of(&result)
                    .map_err(|hr| CallFailure::new(METHOD, hr, "its result is no disposition"))?
            }
        };
        Ok(Verified { disposition, text: words(disposition) })
    }

    /// `GetDescription`; `None` where there is no such member.
    ///
    /// # Errors
    ///
    /// What the module failed with.
    pub(crate) fn description(&self) -> Result<Option<String>, CallFailure> {
        const METHOD: &str = "GetDescription";
        match self {
            Self::Direct { policy, .. } => {
                let mut text = Bstr::empty();
                direct(METHOD, || {
                    // SAFETY: the object is live, and the text it gives is ours.
                    unsafe { (table(policy).GetDescription)(policy.this(), text.receive()) }
                })?;
                Ok(Some(text.to_text_lossy()))
            }
            Self::Late { object, get_description, .. } => object.description(*get_description),
        }
    }

    /// `ShutDown`, the last call.
    ///
    /// # Errors
    ///
    /// What the module failed with.
    pub(crate) fn shut_down(&self) -> Result<(), CallFailure> {
        const METHOD: &str = "ShutDown";
        match self {
            Self::Direct { policy, .. } => direct(METHOD, || {
                // SAFETY: the object is live.
                unsafe { (table(policy).ShutDown)(policy.this()) }
            }),
            Self::Late { object, shut_down: Some(member), .. } => {
                object.invoke(METHOD, *member, Vec::new()).map(drop)
            }
            Self::Late { shut_down: None, .. } => Ok(()),
        }
    }

    /// `GetManageModule`; `None` where there is no such member, or it gives nothing.
    pub(crate) fn manage_module(&self) -> Option<Manage> {
        match self {
            Self::Direct { policy2: Some(policy2), .. } => {
                let mut raw: *mut ICertManageModule = std::ptr::null_mut();
                direct("GetManageModule", || {
                    // SAFETY: the object and its table are live; the pointer can be written.
                    unsafe {
                        ((*(*policy2.as_raw()).lpVtbl).GetManageModule)(
                            policy2.this(),
                            &raw mut raw,
                        )
                    }
                })
                .ok()?;
                // SAFETY: a success is a new reference.
                unsafe { ComPtr::from_raw(raw) }.map(Manage::Direct)
            }
            Self::Direct { policy2: None, .. } => None,
            Self::Late { object, get_manage_module, .. } => {
                object.manage_module(*get_manage_module)
            }
        }
    }
}

/// What a module that refuses has left on its thread. What the server itself left there is about some
/// value that was not to be had, and no reason of the module's.
fn words(disposition: LONG) -> String {
    let Some(error) = error_info::take() else { return String::new() };
    let refuses = FAILED(disposition) || disposition == VR_INSTANT_BAD;
    if refuses && error.interface != IID_ICertServerPolicy {
        one_line(&error.description)
    } else {
        String::new()
    }
}

fn table(policy: &ComPtr<ICertPolicy>) -> &ICertPolicyVtbl {
    // SAFETY: the object is live, and so is its table.
    unsafe { &*(*policy.as_raw()).lpVtbl }
}
