//! Late binding: an object whose members are known by their names alone.

use std::ptr;

use exeunt_com::{
    Bstr, ComPtr, Variant,
    abi::{
        DISP_E_EXCEPTION, DISPATCH_METHOD, DISPID, DISPPARAMS, EXCEPINFO, FAILED, GUID_NULL,
        HRESULT, IDispatch, IDispatchVtbl, IUnknown, UINT, VT_DISPATCH, VT_UNKNOWN,
    },
    error_info,
};

use crate::{failure::CallFailure, manage::Manage, value::text_of_variant};

/// An object that is called through `IDispatch`.
#[derive(Debug)]
pub(crate) struct Late(ComPtr<IDispatch>);

impl Late {
    pub(crate) fn new(object: ComPtr<IDispatch>) -> Self {
        Self(object)
    }

    /// The number of a member.
    ///
    /// # Errors
    ///
    /// The object's code, usually `DISP_E_UNKNOWNNAME`.
    pub(crate) fn member(&self, name: &str) -> Result<DISPID, HRESULT> {
        let mut units: Vec<u16> = name.encode_utf16().chain([0]).collect();
        let mut names = [units.as_mut_ptr()];
        let mut member = 0;
        // SAFETY: the object is live; one text that ends with a zero, one place for a number.
        let hr = unsafe {
            (self.table().GetIDsOfNames)(
                self.0.this(),
                &GUID_NULL,
                names.as_mut_ptr(),
                1,
                0,
                &raw mut member,
            )
        };
        if FAILED(hr) { Err(hr) } else { Ok(member) }
    }

    /// Calls a member as a method; `method` is its name, for the failure.
    ///
    /// # Errors
    ///
    /// What the member failed with. Its text comes from the exception structure, or from the thread's
    /// error information where there is none.
    pub(crate) fn invoke(
        &self,
        method: &'static str,
        member: DISPID,
        arguments: Vec<Variant>,
    ) -> Result<Variant, CallFailure> {
        // Automation wants the last argument first.
        let mut arguments: Vec<Variant> = arguments.into_iter().rev().collect();
        let mut params = DISPPARAMS {
            rgvarg: arguments.as_mut_ptr().cast(),
            rgdispidNamedArgs: ptr::null_mut(),
            cArgs: UINT::try_from(arguments.len()).expect("BUG: no member takes many arguments"),
            cNamedArgs: 0,
        };
        let mut exception = EXCEPINFO {
            wCode: 0,
            wReserved: 0,
            bstrSource: ptr::null_mut(),
            bstrDescription: ptr::null_mut(),
            bstrHelpFile: ptr::null_mut(),
            dwHelpContext: 0,
            pvReserved: ptr::null_mut(),
            pfnDeferredFillIn: None,
            scode: 0,
        };
        let mut result = Variant::empty();
        let mut bad_argument = 0;
        error_info::clear();
        // SAFETY: the object is live. An owner of a variant has the layout of one, and all arguments
        // and places live during the call.
        let hr = unsafe {
            (self.table().Invoke)(
                self.0.this(),
                member,
                &GUID_NULL,
                0,
                DISPATCH_METHOD,
                &raw mut params,
                result.receive(),
                &raw mut exception,
                &raw mut bad_argument,
            )
        };
        if hr == DISP_E_EXCEPTION {
            return Err(exception_failure(method, exception));
        }
        if FAILED(hr) {
            return Err(failure(method, hr));
        }
        Ok(result)
    }

    /// Calls `GetDescription`, whose number is given; `None` where there is no such member.
    ///
    /// # Errors
    ///
    /// What the module failed with.
    pub(crate) fn description(
        &self,
        member: Option<DISPID>,
    ) -> Result<Option<String>, CallFailure> {
        const METHOD: &str = "GetDescription";
        let Some(member) = member else { return Ok(None) };
        let text = self.invoke(METHOD, member, Vec::new())?;
        let text = text_of_variant(&text)
            .map_err(|hr| CallFailure::new(METHOD, hr, "its result is no text"))?;
        Ok(Some(text.to_text_lossy()))
    }

    /// Calls `GetManageModule`, whose number is given; `None` where there is no such member, or it gives
    /// nothing.
    pub(crate) fn manage_module(&self, member: Option<DISPID>) -> Option<Manage> {
        let result = self.invoke("GetManageModule", member?, Vec::new()).ok()?;
        Manage::of(&object_of(&result)?)
    }

    fn table(&self) -> &IDispatchVtbl {
        // SAFETY: the object is live, and so is its table.
        unsafe { &*(*self.0.as_raw()).lpVtbl }
    }
}

/// The object that a variant holds.
fn object_of(variant: &Variant) -> Option<ComPtr<IUnknown>> {
    if !matches!(variant.vt(), VT_DISPATCH | VT_UNKNOWN) {
        return None;
    }
    // SAFETY: the type says that the variant holds a reference, which stays its own; both kinds of
    // pointers are to objects whose table begins with that of `IUnknown`.
    unsafe { ComPtr::from_borrowed((*variant.as_ptr()).value.punkVal) }
}

/// What a direct call failed with, and what the thread's error information says about it.
pub(crate) fn failure(method: &'static str, hr: HRESULT) -> CallFailure {
    let text = error_info::take().map(|it| it.description).unwrap_or_default();
    CallFailure::new(method, hr, &text)
}

fn exception_failure(method: &'static str, mut exception: EXCEPINFO) -> CallFailure {
    if let Some(fill_in) = exception.pfnDeferredFillIn.take() {
        // SAFETY: the member gave the function for this structure.
        unsafe { fill_in(&raw mut exception) };
    }
    // SAFETY: the strings of an exception belong to the caller.
    let text = unsafe {
        drop((Bstr::from_raw(exception.bstrSource), Bstr::from_raw(exception.bstrHelpFile)));
        Bstr::from_raw(exception.bstrDescription)
    };
    // Either a code of the original's kind, or a number of the application's own.
    let hr = if exception.scode == 0 { DISP_E_EXCEPTION } else { exception.scode };
    CallFailure::new(method, hr, &text.to_text_lossy())
}
