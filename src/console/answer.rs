//! Answers, with the headers that every one of them has.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

/// What a browser may do with the page: load its own script and style, show pictures and clips that the script fetched.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; \
    media-src blob:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

const TEXT: &str = "text/plain; charset=utf-8";

pub(super) type Answer = Response<Full<Bytes>>;

/// A body of this kind.
pub(super) fn body(status: StatusCode, kind: &'static str, bytes: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(bytes.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// A line of text.
pub(super) fn text(status: StatusCode, words: impl Into<String>) -> Answer {
    body(status, TEXT, format!("{}\n", words.into()))
}

/// A value.
pub(super) fn json(value: &serde_json::Value) -> Answer {
    body(StatusCode::OK, "application/json", value.to_string())
}

/// What went wrong, for the page to show.
pub(super) fn problem(status: StatusCode, words: impl Into<String>) -> Answer {
    body(status, "application/json", serde_json::json!({ "error": words.into() }).to_string())
}

/// What went wrong, on its way to be an answer.
pub(super) struct Problem {
    status: StatusCode,
    words: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, words: impl Into<String>) -> Self {
        Self { status, words: words.into() }
    }

    pub(super) fn answer(self) -> Answer {
        problem(self.status, self.words)
    }
}

/// To another place of the console.
pub(super) fn see_other(place: &'static str) -> Answer {
    let mut answer = text(StatusCode::SEE_OTHER, place);
    answer.headers_mut().insert(header::LOCATION, HeaderValue::from_static(place));
    answer
}

/// With one header more; one that is none is left out.
pub(super) fn with(mut answer: Answer, name: &'static str, value: &str) -> Answer {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(HeaderName::from_static(name), value);
    }
    answer
}
