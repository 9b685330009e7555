//! The library of a token's maker, loaded once in a process and never unloaded.
//!
//! PKCS #11 knows one state of a library in a process. What a restart does to the sessions of
//! other keys in the same library is told to them by a number, the generation.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard},
    time::{Duration, Instant},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
};

use super::TokenError;
use crate::error::Source;

/// How long a library is left alone after a restart, whoever asks for the next one. A restart voids
/// the sessions of everybody, and each login that follows presents a PIN: a token that fails at one
/// thing, and is asked for it often, must not take everything else with it. Our choice: a token that
/// was plugged in again is found by the time a person looks.
pub const RESTART_PAUSE: Duration = Duration::from_secs(15);

/// Every library that was loaded, by its path without links.
static MODULES: Mutex<Vec<Arc<Module>>> = Mutex::new(Vec::new());

/// A loaded library.
pub(super) struct Module {
    path: PathBuf,
    functions: Pkcs11,
    /// How often it was restarted. Held for reading while the library is called, for writing while
    /// it restarts: the standard forbids calls during `C_Finalize`.
    generation: RwLock<u64>,
    /// When the last restart ended.
    restarted: Mutex<Option<Instant>>,
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
        let (generation, restarted) = (RwLock::new(0), Mutex::new(None));
        let module = Arc::new(Self { path: real, functions, generation, restarted });
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
    ///
    /// Says whether the library is another one than `seen`: not so within [`RESTART_PAUSE`].
    pub(super) fn restart(&self, seen: u64) -> Result<bool, TokenError> {
        let mut generation = self.generation.write().unwrap_or_else(PoisonError::into_inner);
        if *generation != seen {
            return Ok(true);
        }
        if self.is_pausing() {
            return Ok(false);
        }
        *generation += 1;
        // If it cannot end, it may still begin; what counts is what follows.
        let _ = self.functions.clone().finalize();
        let initialized = initialize(&self.functions);
        *self.restarted.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        initialized
            .map_err(|err| TokenError::Module { path: self.path.clone(), source: err.into() })?;
        Ok(true)
    }

    /// Whether the last restart is so young that there will be none now.
    pub(super) fn is_pausing(&self) -> bool {
        let restarted = *self.restarted.lock().unwrap_or_else(PoisonError::into_inner);
        restarted.is_some_and(|it| it.elapsed() < RESTART_PAUSE)
    }
}

fn initialize(functions: &Pkcs11) -> Result<(), Error> {
    match functions.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        initialized => initialized,
    }
}
