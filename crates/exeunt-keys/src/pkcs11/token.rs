//! Finding a token, logging in, and finding a private key: what every new session begins with.

use cryptoki::{
    context::Pkcs11,
    error::{Error, RvError},
    mechanism::MechanismType,
    object::{Attribute, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::{Slot, TokenInfo},
};

use super::{KeyName, TokenError, TokenName, TriesLeft, settings::Pin};

/// Most objects of one name that are counted; whether there are two or hundreds makes no difference.
const OBJECTS_MAX: usize = 10;

/// The slot of the one token of that name.
pub(super) fn find(functions: &Pkcs11, name: &TokenName) -> Result<(Slot, TokenInfo), TokenError> {
    let failed = |err| TokenError::of(name, "looking for tokens", err);
    let mut found = Vec::new();
    for slot in functions.get_slots_with_token().map_err(failed)? {
        // A token that went away in between, or a broken one in another slot.
        let Ok(info) = functions.get_token_info(slot) else { continue };
        let is_it = match name {
            TokenName::Label(label) => info.label() == label,
            TokenName::Serial(serial) => info.serial_number() == serial,
        };
        if is_it && info.token_initialized() {
            found.push((slot, info));
        }
    }
    match found.len() {
        0 => Err(TokenError::Missing { token: name.clone() }),
        1 => Ok(found.remove(0)),
        count => Err(TokenError::Ambiguous { token: name.clone(), count }),
    }
}

/// Opens a session that is logged in. It does not close by itself: after a restart of the module
/// its number may be another's.
pub(super) fn log_in(
    functions: &Pkcs11,
    name: &TokenName,
    pin: &Pin,
    to_write: bool,
) -> Result<(Slot, Session), TokenError> {
    let (slot, info) = find(functions, name)?;
    let opened = if to_write {
        functions.open_rw_session_no_drop(slot)
    } else {
        functions.open_ro_session_no_drop(slot)
    };
    let session = opened.map_err(|err| TokenError::of(name, "opening a session", err))?;
    match log_in_session(functions, (&session, slot), &info, name, pin) {
        Ok(()) => Ok((slot, session)),
        Err(err) => {
            // The first failure is the one to tell.
            let _ = session.close();
            Err(err)
        }
    }
}

fn log_in_session(
    functions: &Pkcs11,
    (session, slot): (&Session, Slot),
    info: &TokenInfo,
    name: &TokenName,
    pin: &Pin,
) -> Result<(), TokenError> {
    let locked = |reason| TokenError::PinLocked { token: name.clone(), reason };
    if !info.login_required() {
        return Ok(());
    }
    // The login is the application's, not the session's: a PIN is not tried where none is needed.
    let state = session.get_session_info().map(|it| it.session_state());
    if matches!(
        state,
        Ok(cryptoki::session::SessionState::RoUser | cryptoki::session::SessionState::RwUser)
    ) {
        return Ok(());
    }
    if info.user_pin_locked() {
        return Err(locked("it is locked"));
    }
    if info.user_pin_final_try() {
        return Err(TokenError::PinLastTry { token: name.clone() });
    }
    session.login(UserType::User, Some(&pin.for_module())).or_else(|err| match err {
        // Another thread was faster.
        Error::Pkcs11(RvError::UserAlreadyLoggedIn, _) => Ok(()),
        Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _) => {
            Err(TokenError::PinWrong { token: name.clone(), tries: tries_left(functions, slot) })
        }
        Error::Pkcs11(RvError::PinLocked, _) => Err(locked("it is locked")),
        Error::Pkcs11(RvError::PinExpired, _) => Err(locked("the PIN has expired")),
        Error::Pkcs11(RvError::UserPinNotInitialized, _) => Err(locked("no PIN was ever set")),
        err => Err(TokenError::of(name, "logging in", err)),
    })
}

/// What the token says after a wrong PIN.
fn tries_left(functions: &Pkcs11, slot: Slot) -> TriesLeft {
    match functions.get_token_info(slot) {
        Ok(info) if info.user_pin_locked() => TriesLeft::None,
        Ok(info) if info.user_pin_final_try() => TriesLeft::One,
        _ => TriesLeft::Untold,
    }
}

/// The one private key of that name.
pub(super) fn find_key(
    session: &Session,
    token: &TokenName,
    name: &KeyName,
) -> Result<ObjectHandle, TokenError> {
    let mut found = objects(session, token, ObjectClass::PRIVATE_KEY, &attribute(name))?;
    match found.len() {
        0 => Err(TokenError::KeyMissing { token: token.clone(), key: name.clone() }),
        1 => Ok(found.remove(0)),
        count => Err(TokenError::KeyAmbiguous { token: token.clone(), key: name.clone(), count }),
    }
}

/// The objects of a class that have one attribute.
pub(super) fn objects(
    session: &Session,
    token: &TokenName,
    class: ObjectClass,
    attribute: &Attribute,
) -> Result<Vec<ObjectHandle>, TokenError> {
    let template = [Attribute::Class(class), attribute.clone()];
    session
        .iter_objects(&template)
        .and_then(|found| found.take(OBJECTS_MAX).collect())
        .map_err(|err| TokenError::of(token, "looking for the key", err))
}

/// The attribute that a key is found by.
pub(super) fn attribute(name: &KeyName) -> Attribute {
    match name {
        KeyName::Label(label) => Attribute::Label(label.as_bytes().to_vec()),
        KeyName::Id(id) => Attribute::Id(id.clone()),
    }
}

/// Refuses a token without that mechanism.
pub(super) fn check_mechanism(
    functions: &Pkcs11,
    slot: Slot,
    token: &TokenName,
    (mechanism, name): (MechanismType, &'static str),
) -> Result<(), TokenError> {
    let known = functions
        .get_mechanism_list(slot)
        .map_err(|err| TokenError::of(token, "asking for the mechanisms", err))?;
    if known.contains(&mechanism) {
        Ok(())
    } else {
        Err(TokenError::Mechanism { token: token.clone(), mechanism: name })
    }
}
