//! A server, a way to it on which things go wrong, and people of a test's own.

use std::collections::BTreeSet;

use exeunt_module_kit::{Event, Outcome};
use exeunt_testbed::proxy::Proxy;

use crate::{
    fixture::{Holdings, for_people},
    minted::TestCa,
    target::Target,
};

/// Tests against one server.
macro_rules! on {
    ($server:ident, $start:expr, [$($test:ident),* $(,)?]) => {
        mod $server {
            use super::*;
            $(#[test] fn $test() { if let Some(it) = $start { super::$test(&mut Bed::new(it, stringify!($test))); } })*
        }
    };
}

/// The same tests against `OpenLDAP` and against Samba.
macro_rules! suite {
    ([$($test:ident),* $(,)?]) => {
        on!(openldap, Some(Open::start()), [$($test),*]);
        on!(samba, Domain::start(), [$($test),*]);
    };
}

/// A directory with people, behind a proxy, and what it held before.
pub struct Bed<T> {
    pub target: T,
    pub proxy: Proxy,
    pub ca: TestCa,
    pub names: Vec<String>,
    pub before: Vec<String>,
}

impl<T: Target> Bed<T> {
    /// People of their own for a test: the server may be everybody's.
    pub fn new(target: T, test: &str) -> Self {
        let initials: String = test.split('_').filter_map(|it| it.chars().next()).collect();
        let names: Vec<String> = (0..50).map(|it| format!("{initials}{it}")).collect();
        target.add_persons(&names);
        let proxy = Proxy::to_port(target.tls_port());
        let before = target.rest(&names);
        Self { target, proxy, ca: TestCa::new("Ours"), names, before }
    }

    pub fn url(&self) -> String {
        format!("ldaps://localhost:{}", self.proxy.port())
    }

    pub fn settings(&self) -> serde_json::Value {
        self.target.settings(&self.url())
    }

    pub fn events(&self, from: u32, count: u32) -> (Vec<Event>, Holdings) {
        for_people(&self.ca, &self.names, from..from + count)
    }

    pub fn held(&self) -> usize {
        self.target.holdings(&self.names).values().map(BTreeSet::len).sum()
    }

    /// What people hold is what was told, and nothing else was touched.
    #[track_caller]
    pub fn assert_end(&self, expected: &Holdings) {
        let found = self.target.holdings(&self.names);
        let accounts = found.keys().chain(expected.keys());
        let differing: BTreeSet<&String> =
            accounts.filter(|it| found.get(*it) != expected.get(*it)).collect();
        assert!(differing.is_empty(), "not as told: {differing:?}");
        let after = self.target.rest(&self.names);
        let changed: Vec<_> = after.iter().filter(|it| !self.before.contains(it)).collect();
        assert!(changed.is_empty(), "touched: {changed:#?}");
        assert_eq!(after.len(), self.before.len(), "something has left");
    }
}

/// No attempt of any event was counted.
pub fn all_down(outcomes: &[Outcome]) {
    for outcome in outcomes {
        assert!(matches!(outcome, Outcome::TargetDown { .. }), "{outcome:?}");
    }
}

pub fn all_accept(outcomes: &[Outcome]) {
    for outcome in outcomes {
        assert_eq!(*outcome, Outcome::Accept);
    }
}
