//! The files of the page: what lies in `page/`, built into the program. They hold nothing that is secret.

/// A file: path, kind, bytes.
type File = (&'static str, &'static str, &'static [u8]);

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The page of who has given the token, and of who has not.
pub(super) const INDEX: &[u8] = include_bytes!("page/index.html");
pub(super) const LOGIN: &[u8] = include_bytes!("page/login.html");
pub(super) const HTML: &str = "text/html; charset=utf-8";

const FILES: [File; 5] = [
    ("/console.css", "text/css; charset=utf-8", include_bytes!("page/console.css")),
    ("/console.js", SCRIPT, include_bytes!("page/console.js")),
    ("/picture.js", SCRIPT, include_bytes!("page/picture.js")),
    ("/reads.js", SCRIPT, include_bytes!("page/reads.js")),
    ("/favicon.svg", "image/svg+xml", include_bytes!("page/favicon.svg")),
];

/// The file of this path.
pub(super) fn file(path: &str) -> Option<(&'static str, &'static [u8])> {
    FILES.iter().find(|(known, ..)| *known == path).map(|(_, kind, bytes)| (*kind, *bytes))
}
