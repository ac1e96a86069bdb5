//! Which request gets which answer: first the Host, then who asks, then what is asked.
//!
//! | path | asks for | answers |
//! |---|---|---|
//! | `/healthz` | nothing | 200 or 503 and a few words |
//! | `/metrics` | the token, unless `open_metrics` | what is counted |
//! | `/`, `/*.css`, `/*.js` | nothing | the page, or the form for the token |
//! | `/login`, `/logout` | the token | a cookie, or its end |
//! | `/api/fixed`, `/api/state` | token or cookie | how the box is |
//! | `/api/look`, `/api/picture/<camera>` | the same, and a purpose | what a camera sees now |
//! | `/api/reads`, `/api/evidence` | the same, purpose, case, a key of the keyring | reads, crops, clips |

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap};
use hyper::{Method, Request, StatusCode};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use super::answer::{self, Answer, Problem};
use super::door::Door;
use super::guard::{Denied, Guard};
use super::{Parts, live, metrics, page, reads, told};
use crate::clock::Clock;
use crate::command::Refusal;
use crate::config::Config;
use crate::domain::Reason;
use crate::health::Health;

/// Longest body, bytes.
const BODY: usize = 4 * 1024;
/// How long it may take.
const BODY_WITHIN: Duration = Duration::from_secs(5);
/// Most that is worked at or waits for a thread.
pub(super) const AT_ONCE: usize = 32;
/// Pictures that are waited for at a time: there are threads left for everything else.
const PICTURES: usize = 2;
/// How long somebody waits for a turn.
const TURN_WITHIN: Duration = Duration::from_secs(5);

/// What all connections share.
pub(super) struct Shared {
    pub(super) config: Arc<Config>,
    pub(super) section: crate::config::Console,
    pub(super) health: Arc<Health>,
    pub(super) door: Arc<dyn Door>,
    pub(super) guard: Guard,
    pub(super) min_plate_width: f32,
    /// What is worked at: all of it back when nobody holds the door any more.
    pub(super) work: Arc<Semaphore>,
    /// Reads, crops and clips are asked for one after the other, and nothing else asks through the door: the place is given back
    /// when its answer is there, not when whoever asked goes away.
    questions: Arc<Semaphore>,
    pictures: Arc<Semaphore>,
    /// Room for what browsers still have to take, MiB.
    pub(super) on_the_way: Arc<Semaphore>,
}

impl Shared {
    pub(super) fn new(parts: Parts) -> Self {
        let clock: Clock = parts.clock;
        let guard = Guard::new(&parts.token, &parts.section.hosts, clock);
        Self {
            config: parts.config,
            section: parts.section,
            health: parts.health,
            door: parts.door,
            guard,
            min_plate_width: parts.min_plate_width,
            work: Arc::new(Semaphore::new(AT_ONCE)),
            questions: Arc::new(Semaphore::new(1)),
            pictures: Arc::new(Semaphore::new(PICTURES)),
            on_the_way: Arc::new(Semaphore::new(reads::ON_THE_WAY_MIB)),
        }
    }
}

/// Answers one request.
pub(super) async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Answer {
    let (head, body) = request.into_parts();
    if !shared.guard.knows_host(&head.headers) {
        let words = "this name is none of the console's: ask by localhost, or name it in [console] hosts";
        return answer::text(StatusCode::MISDIRECTED_REQUEST, words);
    }
    let path = head.uri.path().to_owned();
    if head.method == Method::GET || head.method == Method::HEAD {
        return get(path, head.headers, shared).await;
    }
    if head.method != Method::POST {
        return answer::text(StatusCode::METHOD_NOT_ALLOWED, "GET or POST");
    }
    if !Guard::is_own(&head.headers) {
        return answer::text(StatusCode::FORBIDDEN, "asked for by another page");
    }
    match collected(body).await {
        Ok(body) => post(path, head.headers, body, shared).await,
        Err(answer) => answer,
    }
}

async fn collected(body: Incoming) -> Result<Bytes, Answer> {
    let whole = tokio::time::timeout(BODY_WITHIN, Limited::new(body, BODY).collect()).await;
    match whole {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(_)) => Err(answer::text(StatusCode::PAYLOAD_TOO_LARGE, format!("a body has at most {BODY} bytes"))),
        Err(_) => Err(answer::text(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
    }
}

/// What may wait, on a thread where it may.
async fn waiting(shared: &Shared, work: impl FnOnce() -> Answer + Send + 'static) -> Answer {
    let Ok(place) = Arc::clone(&shared.work).try_acquire_owned() else {
        return answer::problem(StatusCode::SERVICE_UNAVAILABLE, "too much is asked at once: ask again");
    };
    let work = move || {
        let answer = work();
        drop(place);
        answer
    };
    let failed = |_| answer::problem(StatusCode::INTERNAL_SERVER_ERROR, "this failed; the log says more");
    tokio::task::spawn_blocking(work).await.unwrap_or_else(failed)
}

/// The same, a few at a time: whoever goes away before it is their turn asks nothing.
async fn in_turn(shared: &Shared, lane: &Arc<Semaphore>, work: impl FnOnce() -> Answer + Send + 'static) -> Answer {
    let Ok(Ok(turn)) = tokio::time::timeout(TURN_WITHIN, Arc::clone(lane).acquire_owned()).await else {
        return answer::problem(StatusCode::TOO_MANY_REQUESTS, "others wait before you: ask again");
    };
    let work = move || {
        let answer = work();
        drop(turn);
        answer
    };
    waiting(shared, work).await
}

async fn get(path: String, headers: HeaderMap, shared: Arc<Shared>) -> Answer {
    if path == "/healthz" {
        return match told::healthz(&shared) {
            Ok(words) => answer::text(StatusCode::OK, words),
            Err(words) => answer::text(StatusCode::SERVICE_UNAVAILABLE, words),
        };
    }
    if let Some((kind, bytes)) = page::file(&path) {
        return answer::body(StatusCode::OK, kind, bytes);
    }
    if path == "/metrics" && shared.section.metrics && shared.section.open_metrics {
        return metrics_page(shared).await;
    }
    let who = match shared.guard.who(&headers) {
        Ok(who) => who,
        Err(Denied::Nobody) if path == "/" => return answer::body(StatusCode::OK, page::HTML, page::LOGIN),
        Err(denied) => return denied_answer(denied),
    };
    match path.as_str() {
        "/" => {
            shared.guard.used(&who);
            answer::body(StatusCode::OK, page::HTML, page::INDEX)
        }
        "/metrics" if shared.section.metrics => metrics_page(shared).await,
        "/api/fixed" => {
            let asked = Arc::clone(&shared);
            waiting(&shared, move || answer::json(&told::fixed(&asked))).await
        }
        "/api/state" => {
            let asked = Arc::clone(&shared);
            waiting(&shared, move || answer::json(&told::state(&asked))).await
        }
        _ => match path.strip_prefix("/api/picture/").map(str::to_owned) {
            Some(camera) => {
                let of = Arc::clone(&shared);
                in_turn(&shared, &shared.pictures, move || live::picture(&of, &who, &camera)).await
            }
            None => answer::text(StatusCode::NOT_FOUND, "there is nothing here"),
        },
    }
}

async fn metrics_page(shared: Arc<Shared>) -> Answer {
    let asked = Arc::clone(&shared);
    waiting(&shared, move || counted(&asked)).await
}

fn counted(shared: &Shared) -> Answer {
    let (report, waiting) = (shared.door.report(), shared.door.waiting());
    answer::body(StatusCode::OK, metrics::KIND, metrics::page(&report, waiting, &shared.health))
}

async fn post(path: String, headers: HeaderMap, body: Bytes, shared: Arc<Shared>) -> Answer {
    if path == "/login" {
        return login(&shared, &body);
    }
    let who = match shared.guard.who(&headers) {
        Ok(who) => who,
        Err(denied) => return denied_answer(denied),
    };
    match path.as_str() {
        "/logout" => {
            let cookie = shared.guard.close(&who);
            answer::with(answer::see_other("/"), "set-cookie", &cookie)
        }
        "/api/look" => {
            let asked = match asked::<live::Look>(&headers, &body) {
                Ok(asked) => asked,
                Err(problem) => return problem.answer(),
            };
            let at = Arc::clone(&shared);
            waiting(&shared, move || live::look(&at, &who, &asked)).await
        }
        "/api/reads" => match asked::<reads::Reads>(&headers, &body) {
            Ok(asked) => {
                let at = Arc::clone(&shared);
                let work = move || reads::last(&at, &asked).unwrap_or_else(Problem::answer);
                in_turn(&shared, &shared.questions, work).await
            }
            Err(problem) => problem.answer(),
        },
        "/api/evidence" => match asked::<reads::Evidence>(&headers, &body) {
            Ok(asked) => {
                let at = Arc::clone(&shared);
                let work = move || reads::evidence(&at, &asked).unwrap_or_else(Problem::answer);
                in_turn(&shared, &shared.questions, work).await
            }
            Err(problem) => problem.answer(),
        },
        _ => answer::text(StatusCode::NOT_FOUND, "there is nothing here"),
    }
}

/// A body in JSON, which no form of another page can send.
fn asked<T: DeserializeOwned>(headers: &HeaderMap, body: &Bytes) -> Result<T, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().map(str::trim) != Some("application/json") {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "wanted application/json"));
    }
    serde_json::from_slice(body).map_err(|e| Problem::new(StatusCode::BAD_REQUEST, format!("no question: {e}")))
}

/// The form's token for a cookie.
fn login(shared: &Shared, body: &Bytes) -> Answer {
    let text = std::str::from_utf8(body).unwrap_or_default();
    let token = text.split('&').find_map(|pair| pair.strip_prefix("token=")).map(unescaped).unwrap_or_default();
    match shared.guard.token(token.trim()) {
        Ok(()) => match shared.guard.open() {
            Some(cookie) => answer::with(answer::see_other("/"), "set-cookie", &cookie),
            None => answer::text(StatusCode::INTERNAL_SERVER_ERROR, "the system gives no random bytes"),
        },
        Err(denied) => denied_answer(denied),
    }
}

/// A value of a form.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = [rest.next(), rest.next()].map(|d| d.and_then(|d| char::from(d).to_digit(16)));
                if let [Some(high), Some(low)] = digits {
                    bytes.extend(u8::try_from(16 * high + low));
                }
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn denied_answer(denied: Denied) -> Answer {
    match denied {
        Denied::Nobody => answer::text(StatusCode::UNAUTHORIZED, "give the token"),
        Denied::Wrong => answer::text(StatusCode::UNAUTHORIZED, "the token is wrong"),
        Denied::TooMany => answer::with(
            answer::text(StatusCode::TOO_MANY_REQUESTS, "too many wrong tokens: wait a minute"),
            "retry-after",
            "60",
        ),
    }
}

/// Why something is not shown.
pub(super) fn refused(why: &Refusal) -> Answer {
    let status = match why.reason {
        Reason::NotFound => StatusCode::NOT_FOUND,
        Reason::Purpose => StatusCode::BAD_REQUEST,
        Reason::Conflict => StatusCode::CONFLICT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    answer::problem(status, why.text.clone())
}
