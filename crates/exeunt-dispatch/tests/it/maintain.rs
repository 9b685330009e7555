//! Comparing a target with what the CA holds: everything once, in portions, while the module goes on.

use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use exeunt_dispatch::{
    Filter, FollowMaintenance, Maintained, Maintainer, Maintenance, MaintenanceError,
};
use exeunt_module::maintain::{Compared, EVENTS_MAX};
use exeunt_types::{EventKind, KeyAlgorithm, NewCertificate, NewIntent, Serial, UnixMillis};

use crate::{PATIENCE, Stage, all_told, named, until};

/// Answers what concerns the target, and keeps the lines and their lengths in the file `calls`.
const MAINTAINER: &str = r#"
def initialize(call):
    answer(call, {"protocol": 1, "features": [], "event_mask": MASK, "window": WINDOW})
    if call["params"].get("role") != "maintain":
        return
    for line in sys.stdin:
        call = json.loads(line)
        method = call["method"]
        if method == "GetDescription":
            answer(call, "it looks after its target")
        elif method == "Shutdown":
            answer(call, None)
            sys.exit(0)
        else:
            params = call["params"]
            events = params.get("events", params.get("samples", []))
            told = [[it["seq"], it["event"], it["context"], it["id"]] for it in events]
            with open(os.path.join(FOLDER, "calls"), "a") as out:
                out.write(json.dumps({"method": method, "bytes": len(line), "told": told}) + "\n")
            while there_is("hold"):
                time.sleep(0.01)
            answer(call, {"good": len(told), "checks": []})
"#;

#[derive(Debug, serde::Deserialize)]
struct Called {
    method: String,
    bytes: usize,
    /// Number, kind, request and id of each event.
    told: Vec<(u64, u32, u64, String)>,
}

/// Sums up, and can be given up.
#[derive(Default)]
struct Sum {
    cancelled: AtomicBool,
    total: Mutex<u64>,
    compared: Mutex<(u64, Compared)>,
}

impl FollowMaintenance for Sum {
    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    fn expects(&self, total: u64) {
        *self.total.lock().unwrap() = total;
    }

    fn compared(&self, looked_at: u64, compared: Compared) {
        let mut sum = self.compared.lock().unwrap();
        sum.0 += looked_at;
        sum.1.good += compared.good;
        sum.1.findings.extend(compared.findings);
    }
}

fn certify(stage: &Stage, number: u16, octets: usize) -> u64 {
    let [high, low] = number.to_be_bytes();
    let serial = Serial::from_be_bytes(&[0x4a, high, low]).unwrap();
    let not_after = UnixMillis(1_743_465_599_000);
    let intent =
        NewIntent { serial, tbs: vec![0x30, 0x00], not_after, ca_key: 0, crl_partition: 0 };
    let request = stage.store.admit_intend(stage.request(), intent).unwrap();
    let certificate = NewCertificate {
        serial,
        raw: vec![0x30; octets],
        subject: format!("CN={number}"),
        subject_alternative_names: String::new(),
        not_before: UnixMillis(1_735_689_600_000),
        not_after,
        ca_key: 0,
        crl_partition: 0,
        key: KeyAlgorithm::EcdsaP256,
    };
    stage.store.record(request, certificate, stage.now()).unwrap();
    request.0
}

fn calls(stage: &Stage) -> Vec<Called> {
    let text = fs::read_to_string(stage.path("calls")).unwrap_or_default();
    let _ = fs::remove_file(stage.path("calls"));
    text.lines().map(|it| serde_json::from_str(it).unwrap()).collect()
}

fn reconcile(
    maintainer: &Maintainer,
    mend: bool,
    sum: &Sum,
) -> Result<Maintained, MaintenanceError> {
    maintainer.run(Maintenance::Reconcile { mend }, PATIENCE, sum)
}

#[test]
fn everything_that_the_ca_holds_is_told_once_in_portions_that_fit_a_line() {
    let stage = Stage::new();
    stage.deny(3);
    let mut issued: BTreeSet<u64> = (0..600).map(|it| certify(&stage, it, 5)).collect();
    // Ten of these fit a portion; one alone is more than a portion may be, and fits a line.
    issued.extend((600..640).map(|it| certify(&stage, it, 150_000)));
    issued.insert(certify(&stage, 640, 2_500_000));
    let too_long = certify(&stage, 641, 3_500_000);
    let dispatcher = stage.start(vec![stage.module("m", MAINTAINER)]);
    let maintainer = dispatcher.maintainer(&named("m")).unwrap();
    let sum = Sum::default();
    assert_eq!(reconcile(&maintainer, false, &sum).unwrap(), Maintained::Reconciled);

    let mut calls = calls(&stage);
    let end = calls.pop().unwrap();
    assert_eq!((end.method.as_str(), end.told.len()), ("ReconcileEnd", 0));
    assert!(calls.iter().all(|it| it.method == "Reconcile"));
    assert!(calls.iter().all(|it| it.told.len() <= EVENTS_MAX));
    assert!(calls.iter().all(|it| it.bytes <= exeunt_module::LINE_BYTES_MAX));
    assert!(calls.len() < 15, "{} calls", calls.len());
    let told: Vec<_> = calls.iter().flat_map(|it| &it.told).collect();
    let seqs: BTreeSet<u64> = told.iter().map(|it| it.0).collect();
    let requests: Vec<u64> =
        told.iter().filter(|it| it.1 == EventKind::CERT_ISSUED.bit()).map(|it| it.2).collect();
    assert_eq!(seqs.len(), told.len());
    assert!(told.iter().all(|it| it.3 == format!("reconcile-{}", it.0)));
    assert_eq!(requests, issued.iter().copied().collect::<Vec<_>>());
    let (looked_at, compared) = sum.compared.into_inner().unwrap();
    assert_eq!(looked_at, sum.total.into_inner().unwrap());
    assert_eq!(looked_at, 642);
    let [finding] = &compared.findings[..] else { panic!("{:?}", compared.findings) };
    assert_eq!(finding.place, format!("request:{too_long}"));
    assert!(finding.error.as_ref().unwrap().contains("more than fits a line"));
}

#[test]
fn a_module_is_told_of_what_it_hears_of_alone() {
    let stage = Stage::new();
    let issued: Vec<u64> = (0..5).map(|it| certify(&stage, it, 5)).collect();
    let of = |name: &str, own: &str| stage.module(name, &format!("{MAINTAINER}\n{own}"));
    let deaf = of("deaf", "MASK = 0x20");
    let narrow = exeunt_dispatch::ExitSettings { events: Some(0x8), ..of("narrow", "") };
    let filter = Some(Filter::parse("event.context <= 2").unwrap());
    let choosy = exeunt_dispatch::ExitSettings { filter, ..of("choosy", "") };
    let dispatcher = stage.start(vec![deaf, narrow, choosy]);
    for (name, expected) in [("deaf", &issued[..0]), ("narrow", &[]), ("choosy", &issued[..2])] {
        let mask = |it: exeunt_dispatch::ExitStatus| it.name == named(name) && it.mask.is_some();
        until(|| dispatcher.status().into_iter().any(mask));
        let maintainer = dispatcher.maintainer(&named(name)).unwrap();
        let sum = Sum::default();
        reconcile(&maintainer, false, &sum).unwrap();
        let told: Vec<u64> = calls(&stage).iter().flat_map(|it| &it.told).map(|it| it.2).collect();
        assert_eq!(told, expected, "{name}");
        // What is not told is looked at all the same.
        assert_eq!(sum.compared.into_inner().unwrap().0, 5, "{name}");
    }
}

#[test]
fn the_other_process_rests_while_something_is_mended_and_not_otherwise() {
    let stage = Stage::new();
    certify(&stage, 0, 5);
    let dispatcher = stage.start(vec![stage.module("m", MAINTAINER)]);
    all_told(&dispatcher);
    let maintainer = dispatcher.maintainer(&named("m")).unwrap();
    for mend in [false, true] {
        stage.touch("hold");
        let sum = Sum::default();
        std::thread::scope(|scope| {
            let run = scope.spawn(|| reconcile(&maintainer, mend, &sum));
            until(|| stage.path("calls").exists());
            let before = stage.heard("m").len();
            assert_eq!(dispatcher.status()[0].pid.is_none(), mend);
            stage.serve(1);
            if mend {
                // As long as an idle worker sleeps at the most, and that twice.
                let end = Instant::now() + Duration::from_millis(500);
                until(|| end <= Instant::now());
                assert_eq!(stage.heard("m").len(), before);
            } else {
                until(|| stage.heard("m").len() == before + 1);
            }
            fs::remove_file(stage.path("hold")).unwrap();
            run.join().unwrap().unwrap();
            all_told(&dispatcher);
            assert_eq!(stage.heard("m").len(), before + 1);
        });
        calls(&stage);
    }
}

#[test]
fn one_that_is_given_up_or_falls_over_lets_the_other_process_go_on() {
    let stage = Stage::new();
    certify(&stage, 0, 5);
    let dies = format!(
        "{MAINTAINER}\ndef there_is(name):\n    os.path.exists(FOLDER + '/die') and die()\n    return os.path.exists(FOLDER + '/' + name)"
    );
    let dispatcher = stage.start(vec![stage.module("m", &dies)]);
    all_told(&dispatcher);
    let maintainer = dispatcher.maintainer(&named("m")).unwrap();

    stage.touch("hold");
    let sum = Sum::default();
    std::thread::scope(|scope| {
        let run = scope.spawn(|| reconcile(&maintainer, true, &sum));
        until(|| stage.path("calls").exists());
        sum.cancelled.store(true, Ordering::SeqCst);
        assert_eq!(run.join().unwrap().unwrap_err().code(), "maintain-cancelled");
    });
    fs::remove_file(stage.path("hold")).unwrap();
    stage.serve(1);
    all_told(&dispatcher);

    stage.touch("die");
    let err = reconcile(&maintainer, true, &Sum::default()).unwrap_err();
    assert_eq!(err.code(), "module-exited", "{err}");
    fs::remove_file(stage.path("die")).unwrap();
    stage.serve(1);
    all_told(&dispatcher);

    // Its settings may be changed at any time: whoever comes next rests and goes on as well.
    stage.touch("hold");
    let sum = Sum::default();
    std::thread::scope(|scope| {
        let run = scope.spawn(|| reconcile(&maintainer, true, &sum));
        until(|| fs::read_to_string(stage.path("calls")).is_ok_and(|it| it.lines().count() == 3));
        dispatcher.replace(stage.module("m", &dies)).unwrap();
        let before = stage.heard("m").len();
        stage.serve(1);
        let end = Instant::now() + Duration::from_millis(500);
        until(|| end <= Instant::now());
        assert_eq!(stage.heard("m").len(), before);
        fs::remove_file(stage.path("hold")).unwrap();
        run.join().unwrap().unwrap();
    });
    all_told(&dispatcher);
}
