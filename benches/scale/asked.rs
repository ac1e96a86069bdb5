//! What is asked for on the command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// How the run is made. [`Asked::default`] is small and takes about a minute; `--full` is what `docs/scale.md` tells.
#[derive(Debug, Clone)]
pub struct Asked {
    /// How many boxes.
    pub boxes: usize,
    /// Cameras that each box tells of.
    pub cameras: u16,
    /// Time between two alerts of one box, in the phases that make any.
    pub every: Duration,
    /// How long the steady phase lasts.
    pub steady: Duration,
    /// How long nothing happens, so that what an idle box costs can be seen.
    pub idle: Duration,
    /// Alerts that each box makes at one moment, a burst each.
    pub bursts: Vec<u32>,
    /// How long the broker stays away in the second storm; in the first it is back at once.
    pub down: Duration,
    /// How long the centre stays away.
    pub away: Duration,
    /// Whether boxes tell checkpoints of their audit logs, as they do; the centre syncs a file for each.
    pub checkpoints: bool,
    /// Where stores, keys and the broker's files lie while it runs.
    pub dir: PathBuf,
    /// A file that gets one line of JSON more.
    pub json: Option<PathBuf>,
    /// Longest that one phase may wait for everything to arrive.
    pub patience: Duration,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            boxes: 20,
            cameras: 4,
            every: Duration::from_secs(1),
            steady: Duration::from_secs(8),
            idle: Duration::from_secs(5),
            bursts: vec![1, 10],
            down: Duration::from_secs(4),
            away: Duration::from_secs(4),
            checkpoints: true,
            dir: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
            json: None,
            patience: Duration::from_mins(2),
        }
    }
}

impl Asked {
    /// Reads the command line.
    pub fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut asked = Self::default();
        while let Some(name) = arguments.next() {
            if name == "--full" {
                (asked.boxes, asked.every) = (500, Duration::from_secs(5));
                (asked.steady, asked.idle) = (Duration::from_mins(1), Duration::from_secs(65));
                (asked.down, asked.away) = (Duration::from_secs(20), Duration::from_secs(20));
                continue;
            }
            if name == "--bench" {
                continue; // cargo says it
            }
            let value = arguments.next().with_context(|| format!("{name} needs a value"))?;
            asked.set(&name, &value).with_context(|| format!("{name} {value}"))?;
        }
        if asked.boxes == 0 || asked.boxes > 9_999 || asked.cameras > 16 || asked.every.is_zero() {
            bail!("wanted are 1 to 9999 boxes, at most 16 cameras each, and a time between their alerts");
        }
        Ok(asked)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let seconds = || -> Result<Duration> { Ok(Duration::try_from_secs_f64(value.parse()?)?) };
        match name {
            "--boxes" => self.boxes = value.parse()?,
            "--cameras" => self.cameras = value.parse()?,
            "--every" => self.every = seconds()?,
            "--steady" => self.steady = seconds()?,
            "--idle" => self.idle = seconds()?,
            "--bursts" => self.bursts = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--down" => self.down = seconds()?,
            "--away" => self.away = seconds()?,
            "--checkpoints" => self.checkpoints = value.parse()?,
            "--patience" => self.patience = seconds()?,
            "--dir" => self.dir = PathBuf::from(value),
            "--json" => self.json = Some(PathBuf::from(value)),
            _ => bail!("there is no such option"),
        }
        Ok(())
    }
}
