//! Reading a request's body, with a limit on size and time.

use std::time::Duration;

use exeunt_api::REQUEST_BYTES_MAX;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use crate::fault::Fault;
use crate::settings::Limits;

/// The whole body.
///
/// # Errors
///
/// A [`Fault`] when it is empty, too large, too slow or cut short.
pub(crate) async fn read(body: Incoming, patience: Duration) -> Result<Vec<u8>, Fault> {
    let octets = read_any(body, patience).await?;
    if octets.is_empty() { Err(Fault::empty()) } else { Ok(octets) }
}

/// The whole body, which may be empty.
///
/// # Errors
///
/// A [`Fault`] when it is too large, too slow or cut short.
pub(crate) async fn read_any(body: Incoming, patience: Duration) -> Result<Vec<u8>, Fault> {
    read_within(body, patience, REQUEST_BYTES_MAX, Fault::too_large).await
}

/// The whole body, which may be empty and has `most` bytes at most.
///
/// # Errors
///
/// `too_large`, or another [`Fault`] when it is too slow or cut short.
pub(crate) async fn read_within(
    mut body: Incoming,
    patience: Duration,
    most: usize,
    too_large: fn() -> Fault,
) -> Result<Vec<u8>, Fault> {
    // The deadline counts from here and is for the whole body: a byte a second does not extend it.
    let read = async {
        // Bodies that say how long they are are refused before they are read.
        let announced = body.size_hint().lower();
        if u64::try_from(most).is_ok_and(|most| most < announced) {
            drain(&mut body, most).await;
            return Err(too_large());
        }
        let mut octets = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Fault::cut_short())?;
            // Trailers mean nothing here.
            let Ok(data) = frame.into_data() else { continue };
            if most - octets.len() < data.len() {
                drain(&mut body, most - octets.len()).await;
                return Err(too_large());
            }
            octets.extend_from_slice(&data);
        }
        Ok(octets)
    };
    match tokio::time::timeout(patience, read).await {
        Ok(result) => result,
        Err(_) => Err(Fault::too_slow()),
    }
}

/// Throws away what is left of a body that is too large, up to a limit: an answer to a sender that
/// is still sending is lost when the connection is closed under it. `wanted` is what would have been
/// read, had it ended there; the limit is for what comes beyond it.
async fn drain(body: &mut Incoming, wanted: usize) {
    let mut left = wanted + Limits::DRAIN_BYTES_MAX;
    while 0 < left
        && let Some(Ok(frame)) = body.frame().await
    {
        left = left.saturating_sub(frame.data_ref().map_or(1, |data| data.len().max(1)));
    }
}
