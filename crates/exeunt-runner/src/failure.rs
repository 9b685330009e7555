//! A call that failed, and what the host is told of it.

use exeunt_com::abi::{
    CERTSRV_E_PROPERTY_EMPTY, DISP_E_BADPARAMCOUNT, DISP_E_MEMBERNOTFOUND, DISP_E_UNKNOWNNAME,
    E_NOTIMPL, HRESULT, HRESULT_FROM_WIN32,
};
use exeunt_module_kit::Outcome;

/// Longest text of a module in a reason, in characters. The rest is cut.
pub(crate) const TEXT_MAX: usize = 1000;

/// Error numbers of Windows that speak of a target and of no event: nobody answers there, or it is busy
/// or full. The names are those of `winerror.h`.
const TARGET_IS_DOWN: [u32; 15] = [
    39,     // ERROR_HANDLE_DISK_FULL
    53,     // ERROR_BAD_NETPATH
    112,    // ERROR_DISK_FULL
    1225,   // ERROR_CONNECTION_REFUSED
    1231,   // ERROR_NETWORK_UNREACHABLE
    1232,   // ERROR_HOST_UNREACHABLE
    1722,   // RPC_S_SERVER_UNAVAILABLE
    1723,   // RPC_S_SERVER_TOO_BUSY
    8206,   // ERROR_DS_BUSY
    8207,   // ERROR_DS_UNAVAILABLE
    8250,   // ERROR_DS_SERVER_DOWN
    10_060, // WSAETIMEDOUT
    10_061, // WSAECONNREFUSED
    10_065, // WSAEHOSTUNREACH
    11_001, // WSAHOST_NOT_FOUND
];

/// A call into the library that gave a failure code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{method} failed: 0x{hresult:08X}{}{text}", if text.is_empty() { "" } else { " " })]
pub(crate) struct CallFailure {
    /// The method, as the original names it.
    pub(crate) method: &'static str,
    /// The code.
    pub(crate) hresult: HRESULT,
    /// What the module said about it, in one line; may be empty.
    pub(crate) text: String,
}

impl CallFailure {
    /// A failure with the module's words, which are made one line and cut at [`TEXT_MAX`].
    pub(crate) fn new(method: &'static str, hresult: HRESULT, text: &str) -> Self {
        let text = one_line(text);
        Self { method, hresult, text }
    }

    /// What becomes of the event. The table of `docs/manual/library-modules.md` says the same.
    pub(crate) fn into_outcome(self) -> Outcome {
        let reason = self.to_string();
        match self.hresult {
            // The module lacks the code: it will lack it at the next attempt.
            E_NOTIMPL | DISP_E_MEMBERNOTFOUND | DISP_E_UNKNOWNNAME | DISP_E_BADPARAMCOUNT
            // The module wants a value that this event does not have. Events never change.
            | CERTSRV_E_PROPERTY_EMPTY => Outcome::Park { reason },
            hresult if TARGET_IS_DOWN.map(HRESULT_FROM_WIN32).contains(&hresult) => {
                Outcome::TargetDown { after_ms: None, reason }
            }
            // Everything else may be the weather: the host tries again, and parks it in the end.
            _ => Outcome::Retry { after_ms: None, reason },
        }
    }
}

/// Makes one line of a module's words: every run of blanks and control characters a blank, and at most
/// [`TEXT_MAX`] characters.
pub(crate) fn one_line(text: &str) -> String {
    let words = text.split(|it: char| it.is_control() || it.is_whitespace());
    let mut line = String::new();
    for word in words.filter(|it| !it.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    match line.char_indices().nth(TEXT_MAX) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exeunt_com::abi::{E_ACCESSDENIED, E_FAIL, E_INVALIDARG};

    #[test]
    fn a_reason_is_one_line_with_the_code() {
        let reason = |text: &str| CallFailure::new("Notify", E_ACCESSDENIED, text).to_string();
        assert_eq!(reason(""), "Notify failed: 0x80070005");
        assert_eq!(reason(" Access\r\n\tdenied. "), "Notify failed: 0x80070005 Access denied.");
        assert_eq!(reason(&"x".repeat(5000)).chars().count(), 26 + TEXT_MAX + 1);
    }

    #[test]
    fn a_server_that_does_not_answer_and_a_full_disk_are_no_fault_of_the_event() {
        // As the original's documents write them.
        for hresult in [0x8007_06BA_u32, 0x8007_203A, 0x8007_200E, 0x8007_0070, 0x8007_274D] {
            let outcome = CallFailure::new("Notify", hresult.cast_signed(), "").into_outcome();
            assert!(matches!(outcome, Outcome::TargetDown { .. }), "{hresult:x}");
        }
    }

    #[test]
    fn what_cannot_become_better_is_parked_and_the_rest_is_tried_again() {
        for (hresult, parked) in [
            (E_FAIL, false),
            (E_ACCESSDENIED, false),
            (E_INVALIDARG, false),
            (E_NOTIMPL, true),
            (DISP_E_UNKNOWNNAME, true),
            (CERTSRV_E_PROPERTY_EMPTY, true),
        ] {
            let outcome = CallFailure::new("Notify", hresult, "").into_outcome();
            assert_eq!(matches!(outcome, Outcome::Park { .. }), parked, "{hresult:x}");
            assert_eq!(matches!(outcome, Outcome::Retry { .. }), !parked, "{hresult:x}");
        }
    }
}
