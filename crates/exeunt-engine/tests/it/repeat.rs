//! Submissions that are repeated with a key.

use std::time::Duration;

use exeunt_engine::{Outcome, Submission, SubmitError};
use exeunt_policy::{RatePer, RateRule, Template};
use exeunt_types::{IdempotencyKey, RequestId};

use crate::support::{HOUR_S, House, plain_request, submission, template};

fn keyed(key: &str, asked: u8) -> Submission {
    let key = IdempotencyKey { key: key.to_owned(), asked: [asked; 32] };
    Submission { key: Some(key), ..submission(plain_request()) }
}

#[test]
fn of_several_with_one_key_in_a_batch_one_is_made() {
    let ca = House::new().open();
    let batch = vec![keyed("a", 1), keyed("b", 1), keyed("a", 1), keyed("a", 2)];
    let results = ca.engine.submit_all(batch);
    let ids = [RequestId(1), RequestId(2)];
    assert_eq!([0, 1].map(|it: usize| results[it].as_ref().unwrap().request), ids);
    let again = |request| SubmitError::Repeated { request, denied: None }.to_string();
    assert_eq!(results[2].as_ref().unwrap_err().to_string(), again(ids[0]));
    assert_eq!(results[3].as_ref().unwrap_err().code(), "idempotency-key-reused");
    let alone = ca.engine.submit(keyed("b", 1)).unwrap_err();
    assert_eq!(alone.to_string(), again(ids[1]));
    assert_eq!(ca.counts().0, 2);
}

#[test]
fn who_is_told_to_come_again_may_come_again_with_the_same_key() {
    let window = Duration::from_hours(1);
    let rule = RateRule { certificates: 1, window, per: RatePer::Template };
    let limited = Template { rates: vec![rule], ..template("tls") };
    let house = House { templates: vec![limited], ..House::new() };
    let ca = house.open();
    ca.issued(ca.engine.submit(keyed("a", 1)));
    let refused = ca.engine.submit(keyed("b", 1)).unwrap();
    let Outcome::Denied { code, .. } = refused.outcome else { panic!("{refused:?}") };
    assert_eq!(code, "rate-limited");
    // Within the day in which any other denial would be what it was.
    house.clock.set(house.clock.seconds() + HOUR_S);
    ca.issued(ca.engine.submit(keyed("b", 1)));
    let Err(SubmitError::Repeated { request, .. }) = ca.engine.submit(keyed("b", 1)) else {
        panic!("it was made twice");
    };
    assert_eq!(request, RequestId(3));
}
