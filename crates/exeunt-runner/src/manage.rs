//! The library's manage module: what is known about the exit module and its settings.

use exeunt_com::{
    Bstr, ComPtr, Variant,
    abi::{
        CERTSRV_E_PROPERTY_EMPTY, DISPID, E_NOTIMPL, ICertManageModule, ICertManageModuleVtbl,
        IDispatch, IUnknown, LONG,
    },
};
use exeunt_module::Value;

use crate::{exit::direct, failure::CallFailure, late::Late, value};

/// The object behind a manage module.
#[derive(Debug)]
pub(crate) enum Manage {
    /// Called through its table of functions.
    Direct(ComPtr<ICertManageModule>),
    /// Called by the names of its members.
    Late {
        /// The object.
        object: Late,
        /// Number of `GetProperty`.
        get_property: DISPID,
        /// Number of `SetProperty`, if there is one.
        set_property: Option<DISPID>,
        /// Number of `Configure`, if there is one.
        configure: Option<DISPID>,
    },
}

/// What every call of a manage module begins with.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Host and CA, with a backslash between them.
    pub(crate) config: String,
    /// Where the original would keep the settings.
    pub(crate) storage: String,
}

impl Manage {
    /// Finds out how the object is called; `None` where it is no manage module.
    pub(crate) fn of(object: &ComPtr<IUnknown>) -> Option<Self> {
        if let Ok(direct) = object.query::<ICertManageModule>() {
            return Some(Self::Direct(direct));
        }
        let object = Late::new(object.query::<IDispatch>().ok()?);
        let get_property = object.member("GetProperty").ok()?;
        let set_property = object.member("SetProperty").ok();
        let configure = object.member("Configure").ok();
        Some(Self::Late { object, get_property, set_property, configure })
    }

    /// `GetProperty`; `None` where the module has nothing of that name.
    ///
    /// # Errors
    ///
    /// What the module failed with.
    pub(crate) fn property(
        &self,
        place: &Place,
        name: &str,
        flags: LONG,
    ) -> Result<Option<Value>, CallFailure> {
        const METHOD: &str = "GetProperty";
        let result = match self {
            Self::Direct(object) => {
                let (config, storage) = (Bstr::from(&*place.config), Bstr::from(&*place.storage));
                let name = Bstr::from(name);
                let mut result = Variant::empty();
                direct(METHOD, || {
                    // SAFETY: the object is live; the texts stay ours, the result can be written.
                    unsafe {
                        (table(object).GetProperty)(
                            object.this(),
                            config.as_raw(),
                            storage.as_raw(),
                            name.as_raw(),
                            flags,
                            result.receive(),
                        )
                    }
                })
                .map(|()| result)
            }
            Self::Late { object, get_property, .. } => {
                let name = Variant::from(name);
                object.invoke(METHOD, *get_property, place.with(vec![name, flags.into()]))
            }
        };
        match result {
            Ok(result) => value::value_of(&result)
                .map_err(|hr| CallFailure::new(METHOD, hr, "its result is no property")),
            Err(failure) if matches!(failure.hresult, E_NOTIMPL | CERTSRV_E_PROPERTY_EMPTY) => {
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// `SetProperty`. A module that takes no settings this way is content with any.
    ///
    /// # Errors
    ///
    /// What the module failed with.
    pub(crate) fn set_property(
        &self,
        place: &Place,
        name: &str,
        value: &Variant,
    ) -> Result<(), CallFailure> {
        const METHOD: &str = "SetProperty";
        let result = match self {
            Self::Direct(object) => {
                let (config, storage) = (Bstr::from(&*place.config), Bstr::from(&*place.storage));
                let name = Bstr::from(name);
                direct(METHOD, || {
                    // SAFETY: the object is live; texts and value stay ours.
                    unsafe {
                        (table(object).SetProperty)(
                            object.this(),
                            config.as_raw(),
                            storage.as_raw(),
                            name.as_raw(),
                            0,
                            value.as_ptr(),
                        )
                    }
                })
            }
            Self::Late { object, set_property: Some(member), .. } => {
                let arguments = vec![Variant::from(name), Variant::from(0), value.clone()];
                object.invoke(METHOD, *member, place.with(arguments)).map(drop)
            }
            Self::Late { set_property: None, .. } => Ok(()),
        };
        unless_not_implemented(result)
    }

    /// `Configure`. A module without it is content.
    ///
    /// # Errors
    ///
    /// What the module failed with.
    pub(crate) fn configure(&self, place: &Place, flags: LONG) -> Result<(), CallFailure> {
        const METHOD: &str = "Configure";
        let result = match self {
            Self::Direct(object) => {
                let (config, storage) = (Bstr::from(&*place.config), Bstr::from(&*place.storage));
                direct(METHOD, || {
                    // SAFETY: the object is live; the texts stay ours.
                    unsafe {
                        (table(object).Configure)(
                            object.this(),
                            config.as_raw(),
                            storage.as_raw(),
                            flags,
                        )
                    }
                })
            }
            Self::Late { object, configure: Some(member), .. } => {
                object.invoke(METHOD, *member, place.with(vec![flags.into()])).map(drop)
            }
            Self::Late { configure: None, .. } => Ok(()),
        };
        unless_not_implemented(result)
    }
}

impl Place {
    /// The arguments of a late call: the place, and what follows.
    fn with(&self, more: Vec<Variant>) -> Vec<Variant> {
        let place = [Variant::from(&*self.config), Variant::from(&*self.storage)];
        place.into_iter().chain(more).collect()
    }
}

fn unless_not_implemented(result: Result<(), CallFailure>) -> Result<(), CallFailure> {
    match result {
        Err(failure) if failure.hresult == E_NOTIMPL => Ok(()),
        other => other,
    }
}

fn table(object: &ComPtr<ICertManageModule>) -> &ICertManageModuleVtbl {
    // SAFETY: the object is live, and so is its table.
    unsafe { &*(*object.as_raw()).lpVtbl }
}
