//! Answers in CMS, for clients that want certificates in PKCS #7 or speak CMC (RFC 5273).

use exeunt_api::{
    CERTS_ONLY_MEDIA_TYPE, CMC_RESPONSE_MEDIA_TYPE, CMS_MEDIA_TYPE, DISPOSITION_HEADER,
    Disposition, REQUEST_HEADER,
};
use exeunt_engine::{Blame, CmsResponse, Engine, Outcome, ResponseError, SubmitError, Submitted};
use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use crate::answer::Answer;
use crate::fault::Fault;
use crate::reply::Reply;
use crate::submit::chain;

/// The form of the answer to a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// JSON, or a problem document.
    Json,
    /// A certificate in PKCS #7; where there is none, as [`Self::Json`].
    CertsOnly,
    /// A full PKI response, whatever became of the request.
    Full,
    /// One of the two, as CMC has it for what was sent.
    ByKind,
}

impl Wanted {
    /// The first form that the header `Accept` names and that there is.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(ACCEPT).iter().filter_map(|it| it.to_str().ok());
        let mut types = values.flat_map(|it| it.split(','));
        types.find_map(Self::parse).unwrap_or(Self::Json)
    }

    fn parse(media_type: &str) -> Option<Self> {
        let mut parts = media_type.split(';').map(str::trim);
        let essence = parts.next()?;
        if essence.eq_ignore_ascii_case("application/json") {
            return Some(Self::Json);
        }
        // The older name is what older clients say.
        let is_cms = [CMS_MEDIA_TYPE, "application/x-pkcs7-mime"];
        if !is_cms.iter().any(|it| it.eq_ignore_ascii_case(essence)) {
            return None;
        }
        let kind = parts.find_map(|it| {
            let (name, value) = it.split_once('=')?;
            name.trim().eq_ignore_ascii_case("smime-type").then(|| value.trim().trim_matches('"'))
        });
        match kind {
            None => Some(Self::ByKind),
            Some(kind) if kind.eq_ignore_ascii_case("certs-only") => Some(Self::CertsOnly),
            Some(kind) if kind.eq_ignore_ascii_case("cmc-response") => Some(Self::Full),
            Some(_) => None,
        }
    }

    pub(crate) fn is_cms(self) -> bool {
        self != Self::Json
    }
}

/// The answer in CMS; none where JSON is wanted or nothing else is there.
pub(crate) fn answer(
    engine: &Engine,
    wanted: Wanted,
    sent: &[u8],
    result: &Result<Submitted, SubmitError>,
) -> Option<Result<Answer, Fault>> {
    let response = match wanted {
        Wanted::Json => return None,
        Wanted::CertsOnly => Ok(CmsResponse::CertsOnly(engine.certs_only(result)?)),
        Wanted::Full => engine.full_response(sent, result).map(CmsResponse::Full),
        Wanted::ByKind => engine.cms_response(sent, result),
    };
    Some(response.map(|it| wrap(it, result)).map_err(|err| {
        log(&err, result);
        Fault::cms(&err, request(result))
    }))
}

fn wrap(response: CmsResponse, result: &Result<Submitted, SubmitError>) -> Answer {
    let (media_type, der) = match response {
        CmsResponse::CertsOnly(der) => (CERTS_ONLY_MEDIA_TYPE, der),
        CmsResponse::Full(der) => (CMC_RESPONSE_MEDIA_TYPE, der),
    };
    let disposition = match result.as_ref().map(|it| &it.outcome) {
        Ok(Outcome::Issued { .. }) => Disposition::Issued,
        Ok(Outcome::Pending { .. }) => Disposition::Pending,
        Ok(Outcome::Denied { .. }) => Disposition::Denied,
        Err(_) => Disposition::Failed,
    };
    let mut answer = Response::new(Reply::whole(Bytes::from(der)));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let name = HeaderName::from_static(DISPOSITION_HEADER);
    headers.insert(name, HeaderValue::from_static(disposition.word()));
    if let Some(request) = request(result) {
        headers.insert(HeaderName::from_static(REQUEST_HEADER), HeaderValue::from(request.0));
    }
    answer
}

fn request(result: &Result<Submitted, SubmitError>) -> Option<exeunt_types::RequestId> {
    match result {
        Ok(submitted) => Some(submitted.request),
        Err(err) => err.request(),
    }
}

fn log(err: &ResponseError, result: &Result<Submitted, SubmitError>) {
    let (code, request, chain) = (err.code(), request(result).map(|it| it.0), chain(err));
    match err.blame() {
        Blame::Requester => tracing::debug!(code, request, "no response in CMC: {chain}"),
        Blame::Operator | Blame::Us => {
            tracing::error!(code, request, "no response in CMC: {chain}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_form_that_is_accepted_and_known_is_wanted() {
        for (accept, wanted) in [
            ("*/*", Wanted::Json),
            ("application/json", Wanted::Json),
            ("text/html, application/pkcs7-mime", Wanted::ByKind),
            ("application/json, application/pkcs7-mime", Wanted::Json),
            ("application/x-pkcs7-mime; smime-type=CMC-response", Wanted::Full),
            ("Application/PKCS7-mime;name=a.p7m;SMIME-type=\"cmc-Response\"", Wanted::Full),
            ("application/pkcs7-mime; smime-type=certs-only; q=0.5", Wanted::CertsOnly),
            ("application/pkcs7-mime; smime-type=signed-data", Wanted::Json),
            ("", Wanted::Json),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(Wanted::of(&headers), wanted, "{accept}");
        }
        assert_eq!(Wanted::of(&HeaderMap::new()), Wanted::Json);
    }
}
