//! What a program said.

use std::process::Output;

/// What a program that ended said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// The program ended with `code`, did not panic, and said all of `words` somewhere.
    #[track_caller]
    pub fn expect(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert!(!self.err.contains("panicked"), "{self:#?}");
        for word in words {
            assert!(self.err.contains(word) || self.out.contains(word), "nothing of {word:?}: {self:#?}");
        }
    }

    #[allow(dead_code, reason = "used by tests that need decoding and models")]
    /// The numbers of a row of the summary: frames, analysed, rested, dropped, reads, unread, hits.
    #[track_caller]
    pub fn row(&self, camera: &str) -> Vec<u64> {
        let row = self.out.lines().find_map(|l| l.strip_prefix(camera)?.strip_prefix(' '));
        let row = row.unwrap_or_else(|| panic!("no row of {camera}: {self:#?}"));
        row.split_whitespace().map(|n| n.parse().unwrap()).collect()
    }
}
