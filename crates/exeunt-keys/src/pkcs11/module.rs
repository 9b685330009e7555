//! The library of a token's maker, loaded once in a process and never unloaded.
//!
//! PKCS #11 knows one state of a library in a process. What a restart does to the sessions of
//! other keys in the same library is told to them by a number, the generation.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
};

use super::TokenError;
use crate::error::Source;

/// Every library that was loaded, by its path without links.
static MODULES: Mutex<Vec<Arc<Module>>> = Mutex::new(Vec::new());

/// A loaded library.
pub(super) struct Module {
    path: PathBuf,
    functions: Pkcs11,
    /// How often it was restarted. Held for reading while the library is called, for writing while
    /// it restarts: the standard forbids calls during `C_Finalize`.
    generation: RwLock<u64>,
}

impl Module {
    /// Loads and initializes the library at `path`, or gives the one that is loaded; says whether
    /// it is new.
    pub(super) fn load(path: &Path) -> Result<(Arc<Self>, bool), TokenError> {
        let unusable = |source: Source| TokenError::Module { path: path.to_owned(), source };
        // A path, always: a bare name would be searched for.
        let real = path.canonicalize().map_err(|err| unusable(err.into()))?;
        let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = modules.iter().find(|it| it.path == real) {
            return Ok((Arc::clone(module), false));
        }
        let functions = Pkcs11::new(&real).map_err(|err| unusable(err.into()))?;
        initialize(&functions).map_err(|err| unusable(err.into()))?;
        let module = Arc::new(Self { path: real, functions, generation: RwLock::new(0) });
        modules.push(Arc::clone(&module));
        Ok((module, true))
    }

    pub(super) fn functions(&self) -> &Pkcs11 {
        &self.functions
    }

    /// Keeps the library from restarting for as long as the guard lives. Not to be nested.
    pub(super) fn enter(&self) -> RwLockReadGuard<'_, u64> {
        self.generation.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends and initializes the library, unless somebody did since `seen`. It then looks for its
    /// tokens anew; every session and handle from before is void.
    pub(super) fn restart(&self, seen: u64) -> Result<(), TokenError> {
        let mut generation = self.generation.write().unwrap_or_else(PoisonError::into_inner);
        if *generation != seen {
            return Ok(());
        }
        *generation += 1;
        // If it cannot end, it may still begin; what counts is what follows.
        let _ = self.functions.clone().finalize();
        initialize(&self.functions)
            .map_err(|err| TokenError::Module { path: self.path.clone(), source: err.into() })
    }
}

fn initialize(functions: &Pkcs11) -> Result<(), Error> {
    match functions.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        initialized => initialized,
    }
}
