//! Where a camera's pictures come from, and the credential that opens it.
//!
//! A credential never stays in the address: user and password of an `rtsp://user:password@host/` address are taken out
//! when it is parsed, and what is printed of an address (logs, errors, status) has no query and no password in it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use zeroize::Zeroizing;

use super::wish::Wish;

/// Patterns of `test://`: those of GStreamer's `videotestsrc` that are of use in front of a camera's place.
pub const PATTERNS: [&str; 8] = ["smpte", "ball", "snow", "black", "white", "checkers-8", "pinwheel", "gradient"];

/// The text names no source of pictures.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address:?} is no address of a camera: {why}")]
pub struct AddressError {
    /// The text, without credentials.
    pub address: String,
    /// What is wrong with it.
    pub why: String,
}

/// What an address may hold a secret under, in small letters: nothing after one of them is printed.
pub const SECRET_KEYS: [&str; 10] =
    ["password=", "passwd=", "passwort=", "pwd=", "pass=", "psw=", "token=", "auth=", "secret=", "key="];

/// User and password of a camera. Prints as the user alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The user's name.
    pub user: String,
    /// The password; wiped when dropped.
    pub password: Zeroizing<String>,
}

impl Credential {
    /// From plain text.
    #[must_use]
    pub fn new(user: &str, password: &str) -> Self {
        Self { user: user.to_owned(), password: Zeroizing::new(password.to_owned()) }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({}, …)", self.user)
    }
}

/// The address of a source of frames.
#[derive(Clone, PartialEq, Eq)]
pub enum SourceUri {
    /// A network camera.
    Rtsp {
        /// The address without user and password.
        url: String,
        /// What stood before the `@`, if anything did.
        credential: Option<Credential>,
    },
    /// A video file, played from its beginning to its end; a folder of pictures when that is what the path names.
    File(PathBuf),
    /// A folder of pictures, given by name once each.
    Folder {
        /// The folder.
        path: PathBuf,
        /// Pictures a second.
        wish: Wish,
    },
    /// A capture device of this machine.
    V4l2 {
        /// Its file, as `/dev/video0`.
        path: PathBuf,
        /// Size, rate and coding.
        wish: Wish,
    },
    /// A made picture that moves or stands still, for trying things out.
    Test {
        /// One of [`PATTERNS`].
        pattern: &'static str,
        /// Size and rate.
        wish: Wish,
    },
}

impl SourceUri {
    /// Whether pictures come at the camera's pace and cannot be asked for again.
    #[must_use]
    pub fn is_live(&self) -> bool {
        match self {
            Self::Rtsp { .. } | Self::V4l2 { .. } | Self::Test { .. } => true,
            Self::File(_) | Self::Folder { .. } => false,
        }
    }

    /// Whether it is a camera on the network, which may have a second stream.
    #[must_use]
    pub fn is_network(&self) -> bool {
        matches!(self, Self::Rtsp { .. })
    }

    /// Whether the stream is encrypted on its way.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        matches!(self, Self::Rtsp { url, .. } if url.starts_with("rtsps:"))
    }

    /// What its query asks for.
    #[must_use]
    pub fn wish(&self) -> Wish {
        match self {
            Self::Folder { wish, .. } | Self::V4l2 { wish, .. } | Self::Test { wish, .. } => *wish,
            Self::Rtsp { .. } | Self::File(_) => Wish::default(),
        }
    }
}

impl FromStr for SourceUri {
    type Err = AddressError;

    /// Reads `rtsp://`, `rtsps://`, `file://`, `folder://`, `v4l2://` and `test://` addresses and plain paths. Looks at
    /// the text alone: whether a path is there, and what it names, shows when it is opened.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let bad = |why: &str| AddressError { address: redact(text), why: why.to_owned() };
        if text.is_empty() {
            return Err(bad("it is empty"));
        }
        if text.chars().any(char::is_control) {
            return Err(bad("it has control characters"));
        }
        let Some((scheme, rest)) = split_scheme(text) else {
            return Ok(Self::File(PathBuf::from(text)));
        };
        match scheme.to_ascii_lowercase().as_str() {
            scheme @ ("rtsp" | "rtsps") => parse_rtsp(scheme, rest).map_err(|why| bad(&why)),
            "file" => {
                let path = local_path(rest).map_err(|why| bad(&why))?;
                Ok(Self::File(path))
            }
            scheme @ ("folder" | "v4l2" | "test") => parse_local(scheme, rest).map_err(|why| bad(&why)),
            other => Err(bad(&format!(
                "{other}:// is not supported; rtsp://, rtsps://, v4l2://, test://, folder://, file:// or a path are"
            ))),
        }
    }
}

/// Scheme and rest of `scheme:rest`; `None` for what is a path.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let is_scheme = scheme.len() > 1
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let known = ["rtsp", "rtsps", "file", "v4l2", "test", "folder"].iter().any(|s| s.eq_ignore_ascii_case(scheme));
    (is_scheme && (known || rest.starts_with("//"))).then_some((scheme, rest))
}

/// The path of `//path` or `//localhost/path`, with its escapes resolved.
fn local_path(rest: &str) -> Result<PathBuf, String> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let path = path.strip_prefix("localhost").filter(|p| p.starts_with('/')).unwrap_or(path);
    let path = percent_decode(path).ok_or("a % escape in it is broken")?;
    if path.is_empty() { Err("it names no file".to_owned()) } else { Ok(PathBuf::from(path)) }
}

/// A source of this machine that may be asked for something after a `?`.
fn parse_local(scheme: &str, rest: &str) -> Result<SourceUri, String> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    match scheme {
        "folder" => Ok(SourceUri::Folder { path: local_path(rest)?, wish: Wish::parse(query, &["fps"])? }),
        "v4l2" => {
            let path = local_path(rest)?;
            if path.is_relative() {
                return Err("it names no device; wanted v4l2:///dev/video0, with three /".to_owned());
            }
            Ok(SourceUri::V4l2 { path, wish: Wish::parse(query, &["width", "height", "fps", "format"])? })
        }
        _ => {
            let name = rest.trim_start_matches('/');
            let known = PATTERNS.into_iter().find(|p| *p == name);
            let pattern =
                known.ok_or_else(|| format!("{name:?} is no test pattern; known are {}", PATTERNS.join(", ")))?;
            Ok(SourceUri::Test { pattern, wish: Wish::parse(query, &["width", "height", "fps"])? })
        }
    }
}

fn parse_rtsp(scheme: &str, rest: &str) -> Result<SourceUri, String> {
    let rest = rest.strip_prefix("//").ok_or("after the scheme must come //")?;
    if rest.contains(char::is_whitespace) {
        return Err("it has white space".to_owned());
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let (user_info, host) = match authority.rsplit_once('@') {
        Some((user_info, host)) => (Some(user_info), host),
        None => (None, authority),
    };
    check_host(host)?;
    let credential = match user_info {
        None => None,
        Some(info) => {
            let (user, password) = info.split_once(':').unwrap_or((info, ""));
            let decode = |t| percent_decode(t).ok_or("a % escape before the @ is broken");
            Some(Credential { user: decode(user)?, password: Zeroizing::new(decode(password)?) })
        }
    };
    Ok(SourceUri::Rtsp { url: format!("{scheme}://{host}{tail}"), credential })
}

fn check_host(host: &str) -> Result<(), String> {
    // [v6]:port, name:port or name.
    let (name, port) = match host.strip_prefix('[') {
        Some(v6) => v6.split_once(']').ok_or("the [ before the host has no ]")?,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    if name.is_empty() {
        return Err("it names no host".to_owned());
    }
    if let Some(port) = port.strip_prefix(':')
        && !port.parse::<u16>().is_ok_and(|p| p > 0)
    {
        // Not repeated: of `rtsp://user:pa/ss@host` it is a part of the password.
        return Err("what follows the host's ':' is no port number".to_owned());
    }
    Ok(())
}

/// Text with its `%XX` escapes resolved; `None` when one is broken or the result is no UTF-8.
fn percent_decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
            out.push(digit(bytes.next()?)? * 16 + digit(bytes.next()?)?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

/// Where the first secret of an address begins: behind one of [`SECRET_KEYS`].
fn secret_at(address: &str) -> Option<usize> {
    let lower = address.to_ascii_lowercase();
    SECRET_KEYS.iter().filter_map(|key| lower.find(key).map(|at| at + key.len())).min()
}

/// Whether an address itself holds a password or token, in its path or its query.
pub(crate) fn holds_secret(address: &str) -> bool {
    address.contains("://") && secret_at(address).is_some()
}

/// An address as it may be shown: without user and password, query, and what follows one of [`SECRET_KEYS`] in a path.
#[must_use]
pub fn redact(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    if scheme.eq_ignore_ascii_case("file") {
        return text.to_owned();
    }
    let (main, query) = match rest.split_once('?') {
        Some((main, _)) => (main, "?…"),
        None => (rest, ""),
    };
    // The last @ of the whole rest: a password may hold an unescaped '/'.
    let (info, main) = main.rsplit_once('@').map_or(("", main), |(_, main)| ("…@", main));
    let (main, tail) = match secret_at(main).and_then(|at| main.get(..at)) {
        Some(shown) => (shown, "…"),
        None => (main, ""),
    };
    format!("{scheme}://{info}{main}{tail}{query}")
}

impl fmt::Display for SourceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rtsp { url, .. } => f.write_str(&redact(url)),
            Self::File(path) | Self::Folder { path, .. } => fmt::Display::fmt(&path.display(), f),
            Self::V4l2 { path, .. } => write!(f, "v4l2://{}", path.display()),
            Self::Test { pattern, .. } => write!(f, "test://{pattern}"),
        }
    }
}

impl fmt::Debug for SourceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<&Path> for SourceUri {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> SourceUri {
        text.parse().unwrap()
    }

    #[test]
    fn credentials_are_taken_out_of_the_address() {
        let SourceUri::Rtsp { url, credential } = parse("rtsp://admin:p%40ss:1@cam.example:554/Streaming/101?a=b")
        else {
            panic!("no rtsp")
        };
        assert_eq!(url, "rtsp://cam.example:554/Streaming/101?a=b");
        assert_eq!(credential, Some(Credential::new("admin", "p@ss:1")));
        let shown = format!("{credential:?} {:?}", parse("rtsp://admin:secret@h/x?token=abc"));
        assert_eq!(shown, "Some(Credential(admin, …)) rtsp://h/x?…");
    }

    #[test]
    fn paths_and_file_addresses_name_files() {
        for (text, path) in [
            ("file:///a%20b/c.mp4", "/a b/c.mp4"),
            ("file://localhost/c.mp4", "/c.mp4"),
            ("clips/c.mp4", "clips/c.mp4"),
            ("odd:name.mp4", "odd:name.mp4"),
        ] {
            assert_eq!(parse(text), SourceUri::File(PathBuf::from(path)), "{text}");
        }
    }

    #[test]
    fn devices_patterns_and_folders_are_known_with_what_is_asked_of_them() {
        let uri = parse("v4l2:///dev/video0?width=1280&height=720&format=mjpeg");
        assert!(matches!(&uri, SourceUri::V4l2 { path, .. } if path == Path::new("/dev/video0")));
        assert_eq!(
            (uri.wish().width, uri.is_live(), uri.to_string().as_str()),
            (Some(1280), true, "v4l2:///dev/video0")
        );
        let uri = parse("test://ball?fps=5");
        assert!(matches!(uri, SourceUri::Test { pattern: "ball", .. }) && uri.is_live());
        assert_eq!((uri.wish().fps_milli, uri.to_string().as_str()), (Some(5_000), "test://ball"));
        let uri = parse("folder:///srv/a%20b%3F?fps=2");
        assert!(matches!(&uri, SourceUri::Folder { path, .. } if path == Path::new("/srv/a b?")) && !uri.is_live());
        assert!(parse("rtsps://h/x").is_encrypted() && parse("RTSPS://h/x").is_encrypted());
        assert!(!parse("rtsp://h/x").is_encrypted() && !uri.is_encrypted());
    }

    #[test]
    fn bad_addresses_are_refused_with_the_reason() {
        for (text, why) in [
            ("", "empty"),
            ("rtsp://", "no host"),
            ("rtsp://:554/x", "no host"),
            ("rtsp://h:99999/x", "port"),
            ("rtsp://h:/x", "port"),
            ("rtsp://[::1/x", "no ]"),
            ("rtsp:h/x", "//"),
            ("rtsp://u:%zz@h/", "escape"),
            ("rtsp://h/a b", "white space"),
            ("v4l2:video0", "three /"),
            ("v4l2:///dev/video0?size=1", "\"size\" is not known"),
            ("test://", "is no test pattern; known are smpte"),
            ("test://smpte?fps=1000", "0.1 to 120"),
            ("folder://", "no file"),
            ("http://h/x", "http:// is not supported"),
        ] {
            let error = text.parse::<SourceUri>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_refused_address_does_not_tell_its_password() {
        for text in ["rtsp://u:hunter2@h:bad/x", "rtsp://u:hun/hunter2@h:x/y", "http://u:hunter2@h/?p=hunter2"] {
            let error = text.parse::<SourceUri>().unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert_eq!(redact("rtsp://h/user=a_password=hunter2_channel=1"), "rtsp://h/user=a_password=…");
        assert_eq!(redact("rtsp://h/live/token=abc"), "rtsp://h/live/token=…");
    }

    #[test]
    fn what_follows_a_key_of_secrets_in_a_path_or_a_query_is_never_printed() {
        for key in SECRET_KEYS {
            for key in [key.to_owned(), key.to_ascii_uppercase()] {
                for between in ["live/", "user=a&", "user=a_", "x?", "x?user=a&"] {
                    let text = format!("rtsp://h/{between}{key}hunter2&channel=1");
                    assert!(holds_secret(&text), "{text}");
                    let uri = parse(&text);
                    let shown = format!("{uri} {uri:?}");
                    assert!(!shown.contains("hunter2") && shown.starts_with("rtsp://h/"), "{shown}");
                }
            }
        }
        assert!(!holds_secret("rtsp://h/Streaming/101?channel=1") && !holds_secret("/srv/key=1/clip.mp4"));
    }

    proptest! {
        #[test]
        fn no_address_makes_the_parser_panic_or_tell_a_password(user in "[a-z]{1,8}", tail in "\\PC{0,20}") {
            let text = format!("rtsp://{user}:s3cr3tword@host/{}", tail.replace('@', ""));
            match text.parse::<SourceUri>() {
                Ok(uri) => prop_assert!(!uri.to_string().contains("s3cr3tword")),
                Err(error) => prop_assert!(!error.to_string().contains("s3cr3tword")),
            }
        }
    }
}
