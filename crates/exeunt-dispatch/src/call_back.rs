//! What a module is answered that asks back while it has an event in hand: the same view, read for
//! it here.

use exeunt_host::CallBacks;
use exeunt_module::{
    CallError, Event, Value,
    call_back::{Query, Refusal},
    view::View,
};
use exeunt_store::{LoggedEvent, Store};
use exeunt_types::{ArchivedKey, ArchivedKeyRecord, EventSeq, RequestId, UnixMillis};

use crate::snapshot::Snapshots;

/// The key that came with a request, encrypted, by its name among the properties.
const RAW_ARCHIVED_KEY: &str = "RawArchivedKey";
/// To whom it is encrypted.
const KEY_RECOVERY_HASHES: &str = "KeyRecoveryHashes";

/// Answers from the event log. That a module asks only about events in its hands is the host's to
/// see to.
#[derive(Debug)]
pub(crate) struct Answers<'a> {
    store: &'a Store,
    snapshots: &'a Snapshots,
    now: UnixMillis,
}

impl<'a> Answers<'a> {
    /// For the module that `snapshots` is of. The CA is described as it was when it began: see
    /// [`Self::at`].
    pub(crate) fn new(store: &'a Store, snapshots: &'a Snapshots) -> Self {
        Self { store, snapshots, now: UnixMillis::default() }
    }

    /// The same with the CA described as it is at that time.
    #[must_use]
    pub(crate) fn at(self, now: UnixMillis) -> Self {
        Self { now, ..self }
    }

    /// What the CA holds now, with everything in it that the question is about.
    pub(crate) fn of_now(&self, held: &LoggedEvent, query: &Query) -> Event {
        let mut event = self.snapshots.of_now(held, false, self.now);
        self.add_archived_key(&mut event, query);
        event
    }

    /// The event with everything in it.
    fn event(&self, seq: u64) -> Result<Event, CallError> {
        match self.store.event(EventSeq(seq)) {
            Ok(Some(logged)) => Ok(self.snapshots.event(&logged, 1, false, self.now)),
            Ok(None) => Err(Refusal::Invalid.into_error(format!("there is no event {seq}"))),
            Err(err) => {
                tracing::warn!(event = seq, %err, "event of a call-back cannot be read");
                let text = format!("event {seq} cannot be read");
                Err(CallError::new(CallError::INTERNAL, text))
            }
        }
    }
}

impl Answers<'_> {
    /// What no event carries: the encrypted key that came with its request. Its clear text is nobody's.
    fn add_archived_key(&self, event: &mut Event, query: &Query) {
        let asked = &query.asked().name;
        let is = |name: &&str| name.eq_ignore_ascii_case(asked);
        let Query::GetRequestProperty(_) = query else { return };
        if ![RAW_ARCHIVED_KEY, KEY_RECOVERY_HASHES].iter().any(is) || event.context == 0 {
            return;
        }
        match self.store.archived_key(RequestId(event.context)) {
            Ok(None) => {}
            Ok(Some(ArchivedKeyRecord { key: ArchivedKey { agents, blob }, .. })) => {
                event.request.push(RAW_ARCHIVED_KEY, Value::Binary(blob));
                event.request.push(KEY_RECOVERY_HASHES, Value::String(agents.join("\n")));
            }
            Err(err) => tracing::warn!(event = event.seq, %err, "an archived key cannot be read"),
        }
    }
}

impl CallBacks for Answers<'_> {
    fn answer(&self, query: &Query) -> Result<serde_json::Value, CallError> {
        let found = match query.asked().seq {
            0 => {
                let system = self.snapshots.system_for(&query.asked().name, self.now);
                View::of_system(&system).answer(query)
            }
            seq => {
                let mut event = self.event(seq)?;
                self.add_archived_key(&mut event, query);
                View::of(&event).answer(query)
            }
        }?;
        serde_json::to_value(&found)
            .map_err(|err| CallError::new(CallError::INTERNAL, err.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use exeunt_module::call_back::{Asked, Found};
    use exeunt_store::Along;
    use exeunt_types::{NewRequest, RequestType, Resolution, StatusCode};
    use serde_json::json;

    use super::*;
    use crate::settings::{CaCertificateFacts, CaFacts};

    /// A store with one event: a refused request.
    fn store(folder: &tempfile::TempDir) -> Store {
        let path = folder.path().join("ca.db");
        Store::create(&path, [0x5a; 8], UnixMillis(1)).unwrap();
        let store = Store::open(&path).unwrap();
        let request = NewRequest {
            raw: vec![0x30, 0],
            request_type: RequestType::Pkcs10,
            requester: "alice".to_owned(),
            caller: "ra".to_owned(),
            template: "tls".to_owned(),
            attributes: vec![("cdc".to_owned(), "dc1".to_owned())],
            subject: "CN=host".to_owned(),
            flags: exeunt_types::RequestFlags::default(),
            old_certificate: None,
            submitted: UnixMillis(5),
        };
        let why = Resolution::Deny { status: StatusCode::ENROLL_DENIED, message: "no".to_owned() };
        store.admit_resolve(request, why).unwrap();
        store
    }

    fn snapshots(store: &Store) -> Snapshots {
        let facts = CaFacts {
            name: "CA".to_owned(),
            machine_dns_name: "ca.example.org".to_owned(),
            root: true,
            certificates: vec![CaCertificateFacts { der: vec![0x30, 0], key_index: 0 }],
            lists: None,
        };
        Snapshots::new(store.store_id().to_owned(), &facts).of_module("census")
    }

    fn asked(seq: u64, name: &str, value_type: &str) -> Asked {
        let value_type = (!value_type.is_empty()).then(|| value_type.to_owned());
        Asked { seq, name: name.to_owned(), value_type }
    }

    #[test]
    fn a_call_back_reads_what_the_event_was_told_without() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        let snapshots = snapshots(&store);
        let answers = Answers::new(&store, &snapshots).at(UnixMillis(9));
        let logged = store.event(EventSeq(1)).unwrap().unwrap();
        assert!(
            snapshots.event(&logged, 1, true, UnixMillis(9)).request.binary("RawRequest").is_err()
        );
        for (query, expected) in [
            (
                Query::GetRequestProperty(asked(1, "rawrequest", "binary")),
                json!({"binary": "MAA="}),
            ),
            (Query::GetRequestProperty(asked(1, "CN", "")), json!({"string": "host"})),
            (Query::GetRequestAttribute(asked(1, "CDC", "string")), json!({"string": "dc1"})),
            (Query::GetCertificateProperty(asked(0, "CertCount", "")), json!({"long": 1})),
            (Query::GetCertificateProperty(asked(0, "CertState.0", "long")), json!({"long": 3})),
        ] {
            assert_eq!(answers.answer(&query).unwrap(), expected, "{query:?}");
        }
        let location = asked(0, "ModuleRegistryLocation", "");
        let location = answers.answer(&Query::GetCertificateProperty(location)).unwrap();
        assert!(location["string"].as_str().unwrap().ends_with(r"\ExitModules\census"));
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_the_originals_code() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        let snapshots = snapshots(&store);
        let answers = Answers::new(&store, &snapshots);
        for (query, refusal) in [
            (Query::GetRequestProperty(asked(1, "RevokedReason", "")), Refusal::Empty),
            (Query::GetCertificateProperty(asked(1, "SerialNumber", "string")), Refusal::Empty),
            (Query::GetCertificateExtension(asked(1, "2.5.29.17", "")), Refusal::Empty),
            (Query::GetRequestAttribute(asked(1, "CertFile", "")), Refusal::Empty),
            (Query::GetRequestAttribute(asked(1, "cdc", "long")), Refusal::Invalid),
            (Query::GetRequestProperty(asked(1, "RequestID", "string")), Refusal::Invalid),
            (Query::GetRequestProperty(asked(1, "RequestID", "ansi")), Refusal::Invalid),
            (Query::GetRequestProperty(asked(1, "Nothing", "")), Refusal::Invalid),
            (Query::GetRequestProperty(asked(0, "RequestID", "")), Refusal::Invalid),
            (Query::GetRequestProperty(asked(2, "RequestID", "")), Refusal::Invalid),
            (Query::GetCertificateExtension(asked(1, "san", "")), Refusal::Invalid),
            (Query::GetCertificateProperty(asked(0, "RawCRL.1", "")), Refusal::NotFound),
        ] {
            let err = answers.answer(&query).unwrap_err();
            assert_eq!(Refusal::from_error(&err), Some(refusal), "{query:?}: {err:?}");
            assert_eq!(err.data.unwrap()["hresult"], refusal.hresult());
        }
    }

    #[test]
    fn an_archived_key_is_fetched_as_it_is_kept_and_never_in_the_clear() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        let request = store.request(RequestId(1)).unwrap().unwrap().request;
        let agents = vec!["0a".repeat(20), "0b".repeat(20)];
        let key = ArchivedKey { agents, blob: vec![0x30, 0] };
        let along = Along { archived_key: Some((key, UnixMillis(3))), ..Along::default() };
        let pend = Resolution::Pend { message: String::new() };
        store.start_admit_resolve_along(request, pend, along).unwrap().wait().unwrap();
        let snapshots = snapshots(&store);
        let answers = Answers::new(&store, &snapshots);
        let ask = |seq, name| answers.answer(&Query::GetRequestProperty(asked(seq, name, "")));
        assert_eq!(ask(2, "rawarchivedkey").unwrap(), json!({"binary": "MAA="}));
        let hashes = format!("{}\n{}", "0a".repeat(20), "0b".repeat(20));
        assert_eq!(ask(2, "KeyRecoveryHashes").unwrap(), json!({ "string": hashes }));
        for (seq, name) in [(1, "RawArchivedKey"), (1, "KeyRecoveryHashes"), (2, "ArchivedKey")] {
            let err = ask(seq, name).unwrap_err();
            assert_eq!(Refusal::from_error(&err), Some(Refusal::Empty), "{name}");
        }
    }

    #[test]
    fn an_extension_comes_as_der_and_its_type_only_has_to_fit() {
        let mut event = Event { context: 9, ..Event::default() };
        let number = exeunt_module::Extension { flags: 0x1_0001, value: vec![2, 1, 7] };
        event.extensions.push("1.2.3", number.clone());
        let view = View::of(&event);
        for kind in ["", "binary", "long"] {
            let found = view.answer(&Query::GetCertificateExtension(asked(1, "1.2.3", kind)));
            assert_eq!(found.unwrap(), Found::Extension(number.clone()));
        }
        let wrong = view.answer(&Query::GetCertificateExtension(asked(1, "1.2.3", "date")));
        assert_eq!(Refusal::from_error(&wrong.unwrap_err()), Some(Refusal::Invalid));
    }
}
