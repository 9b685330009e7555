//! The shared library: loading it, finding the class, making the object.

use std::{
    ffi::c_void,
    path::{Path, PathBuf, absolute},
    ptr,
};

use exeunt_com::{
    ComPtr,
    abi::{
        CLASS_E_CLASSNOTAVAILABLE, DllGetClassObjectFn, ExeuntClassFn, FAILED, GUID, HRESULT,
        IClassFactory, IID_IClassFactory, IID_IUnknown, IUnknown, S_OK,
    },
    bstr::text_of,
    class, error_info,
};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use crate::{exit::Exit, failure::CallFailure, manage::Manage, policy::Policy};

/// Most classes that a library is asked for. Real ones have one or two.
const CLASSES_MAX: u32 = 256;

/// What kind of module is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An exit module.
    Exit,
    /// A policy module.
    Policy,
}

impl Kind {
    /// What operators call it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Policy => "policy",
        }
    }
}

/// The library's module.
#[derive(Debug)]
pub(crate) enum Module {
    /// It is told.
    Exit(Exit),
    /// It is asked.
    Policy(Policy),
}

/// The object is no module of the kind: in neither way it can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAModule {
    /// It has neither the interface nor `IDispatch`.
    Interface,
    /// It has `IDispatch`, and not this member.
    Member(&'static str),
}

impl Module {
    /// Finds out how the object is called: as what is wanted, or as what it is.
    fn of(
        object: &ComPtr<IUnknown>,
        kind: Option<Kind>,
        automation: bool,
    ) -> Result<Self, NotAModule> {
        let exit = || Exit::of(object, automation).map(Self::Exit);
        let policy = || Policy::of(object, automation).map(Self::Policy);
        match kind {
            Some(Kind::Exit) => exit(),
            Some(Kind::Policy) => policy(),
            None => exit().or_else(|err| policy().map_err(|_| err)),
        }
    }

    /// What it is.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Exit(_) => Kind::Exit,
            Self::Policy(_) => Kind::Policy,
        }
    }

    /// `GetDescription`; `None` where there is no such member.
    ///
    /// # Errors
    ///
    /// What the module failed with.
    pub(crate) fn description(&self) -> Result<Option<String>, CallFailure> {
        match self {
            Self::Exit(exit) => exit.description(),
            Self::Policy(policy) => policy.description(),
        }
    }

    fn manage_module(&self) -> Option<Manage> {
        match self {
            Self::Exit(exit) => exit.manage_module(),
            Self::Policy(policy) => policy.manage_module(),
        }
    }
}

/// A library with its module.
#[derive(Debug)]
pub(crate) struct Loaded {
    // Fields are dropped in this order.
    /// The manage module, if there is one.
    pub(crate) manage: Option<Manage>,
    /// The module.
    pub(crate) module: Module,
    /// `ProgID` of its class; the CLSID in braces where the library tells no `ProgID`.
    pub(crate) class: String,
}

/// Why there is no module. The texts are for the operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LoadError {
    /// The dynamic linker refused it.
    #[error("the library {} cannot be loaded: {reason}", path.display())]
    Open {
        /// Where it should be.
        path: PathBuf,
        /// What the dynamic linker says.
        reason: String,
    },
    /// It is a library of another kind.
    #[error("the library {} has no {export}", path.display())]
    Export {
        /// The library.
        path: PathBuf,
        /// What it lacks.
        export: &'static str,
    },
    /// It does not have the class.
    #[error("the library has no class {class}; it has {}", if known.is_empty() {
        "told none, so name it by its CLSID in braces".to_owned()
    } else {
        known.join(", ")
    })]
    Class {
        /// The class that was asked for.
        class: String,
        /// The classes that it tells.
        known: Vec<String>,
    },
    /// The object could not be made.
    #[error("creating {class} failed: 0x{hresult:08X}{}{text}", if text.is_empty() { "" } else { " " })]
    Create {
        /// The class.
        class: String,
        /// The library's code.
        hresult: HRESULT,
        /// The library's words.
        text: String,
    },
    /// The object is something else.
    #[error("{class} is no {} module: {reason}", kind.word())]
    NotAModule {
        /// The class.
        class: String,
        /// What it should be.
        kind: Kind,
        /// What it lacks.
        reason: String,
    },
}

/// A class that a library tells.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Class {
    progid: String,
    clsid: GUID,
}

/// Loads a library and makes the object of its module; of either kind where none is wanted. The library stays loaded for as long as
/// the process lives, because threads of its own may still run in it.
///
/// # Errors
///
/// As the variants say.
pub(crate) fn load(
    path: &Path,
    class: &str,
    automation: bool,
    kind: Option<Kind>,
) -> Result<Loaded, LoadError> {
    // A bare file name would be looked for in the system's folders.
    let path = absolute(path).unwrap_or_else(|_| path.to_owned());
    // SAFETY: loading runs the library's initialisers; that the operator named it is our warrant.
    let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_LOCAL) };
    let library =
        library.map_err(|err| LoadError::Open { path: path.clone(), reason: reason_of(&err) })?;
    let library: &'static Library = Box::leak(Box::new(library));
    // SAFETY: a function of this name has this published type.
    let get_class_object = *unsafe { library.get::<DllGetClassObjectFn>("DllGetClassObject") }
        .map_err(|_| LoadError::Export { path: path.clone(), export: "DllGetClassObject" })?;
    let classes = classes(library);
    for Class { progid, clsid } in &classes {
        class::register_progid(progid, *clsid);
        if let Ok(factory) = factory(get_class_object, clsid)
            && let Ok(factory) = factory.query()
        {
            class::register_class(*clsid, factory);
        }
    }
    let (clsid, progid) = find(&classes, class)?;
    let class = progid.clone().unwrap_or_else(|| clsid.to_string());
    let object = create(get_class_object, &clsid, &class)?;
    let module = Module::of(&object, kind, automation).map_err(|err| {
        let kind = kind.unwrap_or(Kind::Exit);
        let reason = match err {
            NotAModule::Interface if automation => "it has no IDispatch".to_owned(),
            NotAModule::Interface => match kind {
                Kind::Exit => "it has neither ICertExit nor IDispatch".to_owned(),
                Kind::Policy => "it has neither ICertPolicy nor IDispatch".to_owned(),
            },
            NotAModule::Member(name) => format!("it has no member {name}"),
        };
        LoadError::NotAModule { class: class.clone(), kind, reason }
    })?;
    let manage = module.manage_module().or_else(|| {
        // The older way: a class of the same name with an ending.
        let progid = format!("{}Manage", progid?);
        let class = classes.iter().find(|it| it.progid.eq_ignore_ascii_case(&progid))?;
        Manage::of(&create(get_class_object, &class.clsid, &progid).ok()?)
    });
    Ok(Loaded { manage, module, class })
}

/// What the dynamic linker says, without our words around it.
fn reason_of(err: &libloading::Error) -> String {
    match err {
        libloading::Error::DlOpen { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

/// The classes that the library tells, none where it tells nothing.
fn classes(library: &Library) -> Vec<Class> {
    // SAFETY: a function of this name has this type of ours.
    let Ok(tell) = (unsafe { library.get::<ExeuntClassFn>("ExeuntClass") }) else {
        return Vec::new();
    };
    let mut classes = Vec::new();
    for index in 0..CLASSES_MAX {
        let (mut progid, mut clsid) = (ptr::null(), GUID::default());
        // SAFETY: both places can be written.
        if unsafe { tell(index, &raw mut progid, &raw mut clsid) } != S_OK {
            break;
        }
        // SAFETY: a success gives a text that ends with a zero and stays the library's.
        let progid = unsafe { text_of(progid) };
        classes.push(Class { progid, clsid });
    }
    classes
}

/// The class that is meant, and its `ProgID` if the library tells one.
fn find(classes: &[Class], class: &str) -> Result<(GUID, Option<String>), LoadError> {
    if let Some(it) = classes.iter().find(|it| it.progid.eq_ignore_ascii_case(class)) {
        return Ok((it.clsid, Some(it.progid.clone())));
    }
    match class.parse::<GUID>() {
        Ok(clsid) if class.starts_with('{') => {
            let progid = classes.iter().find(|it| it.clsid == clsid).map(|it| it.progid.clone());
            Ok((clsid, progid))
        }
        _ => Err(LoadError::Class {
            class: class.to_owned(),
            known: classes.iter().map(|it| it.progid.clone()).collect(),
        }),
    }
}

fn factory(
    get_class_object: DllGetClassObjectFn,
    clsid: &GUID,
) -> Result<ComPtr<IClassFactory>, HRESULT> {
    let mut raw: *mut c_void = ptr::null_mut();
    error_info::clear();
    // SAFETY: the identifiers can be read, and the pointer written.
    let hr = unsafe { get_class_object(clsid, &IID_IClassFactory, &raw mut raw) };
    if FAILED(hr) {
        return Err(hr);
    }
    // SAFETY: a success is a new reference to what was asked for.
    unsafe { ComPtr::from_raw(raw.cast()) }.ok_or(CLASS_E_CLASSNOTAVAILABLE)
}

fn create(
    get_class_object: DllGetClassObjectFn,
    clsid: &GUID,
    class: &str,
) -> Result<ComPtr<IUnknown>, LoadError> {
    let failed = |hresult| {
        let text = match hresult {
            CLASS_E_CLASSNOTAVAILABLE => "the library does not have that class".to_owned(),
            _ => error_info::take().map(|it| it.description).unwrap_or_default(),
        };
        LoadError::Create { class: class.to_owned(), hresult, text }
    };
    let factory = factory(get_class_object, clsid).map_err(failed)?;
    let mut raw: *mut c_void = ptr::null_mut();
    // SAFETY: the factory is live, so its table is; the pointer can be written.
    let hr = unsafe {
        let table = (*factory.as_raw()).lpVtbl;
        ((*table).CreateInstance)(factory.this(), ptr::null_mut(), &IID_IUnknown, &raw mut raw)
    };
    if FAILED(hr) {
        return Err(failed(hr));
    }
    // SAFETY: a success is a new reference to what was asked for.
    unsafe { ComPtr::from_raw(raw.cast()) }.ok_or_else(|| failed(CLASS_E_CLASSNOTAVAILABLE))
}
