//! `[console]`: the page in the browser, `/metrics` and `/healthz`. Off unless the section is there.
//!
//! Nothing but this machine is ever listened to: whoever wants the page from afar brings a tunnel or a reverse proxy, which
//! is where TLS and people's accounts belong.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::section::Section;

/// Where the console listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A loopback address.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

/// `[console]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Console {
    /// Where it listens.
    pub listen: Listen,
    /// Name of the credential that holds the token.
    pub token: String,
    /// Name of the credential that holds the key of the keyring's investigator in whose name reads are asked for; `None`: the
    /// console shows no reads.
    pub key: Option<String>,
    /// Names under which it may be asked beside `localhost` and loopback addresses: those of a reverse proxy.
    pub hosts: Vec<String>,
    /// Whether there is `/metrics`.
    pub metrics: bool,
    /// Whether `/metrics` is given without the token.
    pub open_metrics: bool,
}

const DEFAULT: &str = "127.0.0.1:8480";

pub(super) fn read(mut s: Section<'_>) -> Option<Console> {
    let given = s.has("listen");
    let text = s.text_or("listen", DEFAULT, "Loopback address and port that the console listens at.");
    let socket = s.path("socket", "A unix socket to listen at instead, for a reverse proxy on this machine.");
    let token =
        s.text_or("token", "console", "Name of the credential with the token: one line, 20 characters or more.");
    let key = s.text(
        "key",
        "Name of the credential with the key (PEM) of an investigator of the keyring: reads, crops and clips are asked for in that name. Without it the console shows none.",
    );
    let hosts: Vec<String> = s.named(
        "hosts",
        "Host names that it may be asked by beside `localhost`, `127.0.0.1` and `[::1]`: a reverse proxy's.",
    );
    let metrics = s.flag("metrics", true, "Give `/metrics` in the text format of Prometheus.");
    let open_metrics =
        s.flag("open_metrics", false, "Give `/metrics` to every user of this machine, without the token.");
    if given && socket.is_some() {
        s.fault("listen", "is given beside `socket`; it listens in one place: leave one out");
    }
    let listen = match socket {
        Some(path) => Some(Listen::Unix(path)),
        None => match text.parse::<SocketAddr>() {
            Ok(at) if at.ip().is_loopback() => Some(Listen::Tcp(at)),
            Ok(at) => {
                s.fault(
                    "listen",
                    format!(
                        "is {at}; the console listens on loopback alone (127.0.0.1, [::1]) or a `socket`: from another machine \
                         use a tunnel (ssh -L) or a reverse proxy with TLS"
                    ),
                );
                None
            }
            Err(_) => {
                s.fault("listen", format!("is {text:?}, wanted a loopback address with its port such as {DEFAULT}"));
                None
            }
        },
    };
    s.finish();
    Some(Console { listen: listen?, token, key, hosts, metrics, open_metrics })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(section: &str) -> Result<Option<Console>, String> {
        let text = format!("[box]\nsite = \"n\"\nid = \"b\"\ndata_dir = \"data\"\n{section}");
        crate::config::of_text(&text).map(|config| config.console).map_err(|faults| faults.to_string())
    }

    #[test]
    fn there_is_none_unless_asked_for() {
        assert_eq!(load(""), Ok(None));
        let console = load("[console]\n").unwrap().unwrap();
        assert_eq!(console.listen, Listen::Tcp(DEFAULT.parse().unwrap()));
        assert!(console.metrics && !console.open_metrics && console.key.is_none());
        let socket = load("[console]\nsocket = \"/run/watchpost/console.sock\"\n").unwrap().unwrap();
        assert_eq!(socket.listen, Listen::Unix("/run/watchpost/console.sock".into()));
    }

    #[test]
    fn it_listens_to_this_machine_alone() {
        for wrong in ["0.0.0.0:8480", "192.0.2.1:80", "[::]:8480", "[2001:db8::1]:1"] {
            let faults = load(&format!("[console]\nlisten = \"{wrong}\"\n")).unwrap_err();
            assert!(faults.contains("tunnel") && faults.contains("reverse proxy"), "{faults}");
        }
        assert!(load("[console]\nlisten = \"8480\"\n").unwrap_err().contains("wanted a loopback address"));
        assert!(load("[console]\nlisten = \"127.0.0.1:1\"\nsocket = \"/s\"\n").unwrap_err().contains("one place"));
        assert!(load("[console]\nlisten = \"[::1]:8480\"\nhosts = [\"box-1.example\"]\n").is_ok());
    }
}
