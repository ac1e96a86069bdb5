//! Where alerts go: the broker's address, and whose word ends the keeping of one.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Where the broker is: `mqtts://host:port`, or `mqtt://` without TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// `mqtts://`: TLS.
    pub tls: bool,
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// Why a text is no broker's URL, or one that must not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// Not of the form `mqtts://host:port`.
    #[error("{0:?} is no broker URL: write mqtts://HOST:PORT (or mqtt://127.0.0.1:PORT on this machine)")]
    Form(String),
    /// With something before an `@`, which is not repeated: it may be a password.
    #[error("{0:?} holds a user or password: write mqtts://HOST:PORT; the box shows its client certificate")]
    Credential(String),
    /// Plain TCP to another machine.
    #[error(
        "{0:?} is plain TCP to another machine: anyone between could read alerts. Use mqtts://, or write out allow_plaintext = true"
    )]
    Plaintext(String),
}

impl FromStr for Broker {
    type Err = BrokerError;

    fn from_str(url: &str) -> Result<Self, BrokerError> {
        Self::parse(url)
    }
}

impl Broker {
    /// Parses `mqtts://host[:port]` (port 8883 when none is given) or `mqtt://host[:port]` (1883).
    ///
    /// # Errors
    /// [`BrokerError::Credential`] with an `@` in it, [`BrokerError::Form`] for anything else.
    pub fn parse(url: &str) -> Result<Self, BrokerError> {
        if let Some((info, host)) = url.rsplit_once('@') {
            let scheme = info.split_once("://").map_or(String::new(), |(scheme, _)| format!("{scheme}://"));
            return Err(BrokerError::Credential(format!("{scheme}…@{host}")));
        }
        let form = || BrokerError::Form(url.to_owned());
        let (scheme, rest) = url.split_once("://").ok_or_else(form)?;
        let tls = match scheme {
            "mqtts" | "ssl" => true,
            "mqtt" | "tcp" => false,
            _ => return Err(form()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let default = if tls { 8883 } else { 1883 };
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| form())?),
            _ => (rest, default),
        };
        let good = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
        if host.is_empty() || !host.chars().all(good) || (tls && host.starts_with('[')) {
            return Err(form());
        }
        Ok(Self { tls, host: host.to_owned(), port })
    }

    /// Refuses plain TCP to anything but loopback, unless that was allowed in so many words.
    ///
    /// # Errors
    /// [`BrokerError::Plaintext`].
    pub fn check_plaintext(&self, allow_plaintext: bool) -> Result<(), BrokerError> {
        if self.tls || allow_plaintext || self.is_loopback() {
            return Ok(());
        }
        Err(BrokerError::Plaintext(self.to_string()))
    }

    fn is_loopback(&self) -> bool {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        // RFC 6761: `localhost` is never looked up elsewhere.
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", if self.tls { "mqtts" } else { "mqtt" }, self.host, self.port)
    }
}

/// Whose word ends the keeping of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AckMode {
    /// The centre's signed ack.
    #[default]
    Centre,
    /// The broker's PUBACK, while somebody is subscribed. Brokers lose what they took: for sites that accept that.
    Broker,
}

impl FromStr for AckMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "centre" => Ok(Self::Centre),
            "broker" => Ok(Self::Broker),
            _ => Err(format!("is {text:?}, wanted centre or broker")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broker_urls_are_parsed_and_others_refused() {
        let broker = Broker::parse("mqtts://broker.example:8883").unwrap();
        assert_eq!((broker.tls, broker.host.as_str(), broker.port), (true, "broker.example", 8883));
        assert_eq!(Broker::parse("mqtt://127.0.0.1").unwrap().port, 1883);
        assert_eq!(Broker::parse("mqtts://10.0.0.1/").unwrap().to_string(), "mqtts://10.0.0.1:8883");
        for bad in ["broker", "http://a:1", "mqtts://", "mqtts://a:port", "mqtts://a b:1", "mqtts://u@h:1"] {
            assert!(Broker::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_stands_before_an_at_sign_is_refused_and_not_repeated() {
        for url in
            ["mqtts://u:secret@h:8883", "mqtt://u:se/secret@h", "http://secret@h", "secret@h", "mqtts://s:secret@x@h"]
        {
            let error = Broker::parse(url).unwrap_err().to_string();
            assert!(!error.contains("secret") && error.contains("…@h"), "{error}");
            assert!(error.contains("client certificate"), "{error}");
        }
    }

    #[test]
    fn plain_tcp_is_for_this_machine_alone() {
        assert!(Broker::parse("mqtt://127.0.0.1:1883").unwrap().check_plaintext(false).is_ok());
        assert!(Broker::parse("mqtts://10.0.0.1").unwrap().check_plaintext(false).is_ok());
        let outside = Broker::parse("mqtt://10.0.0.1:1883").unwrap();
        let error = outside.check_plaintext(false).unwrap_err();
        assert!(error.to_string().contains("allow_plaintext"), "{error}");
        assert!(outside.check_plaintext(true).is_ok());
    }
}
