//! `watchpost bench --like pyloop`: the work of a plain loop, done with this program's rooms, to be held against one.
//!
//! That loop is what one would write first: decode, show every frame to a YOLOX, suppress, send what was found as JSON over
//! MQTT and wait until the broker has it; no gate, no tracking, no store, no signatures. Each stream is a thread with a
//! connection of its own; sessions are shared, one a processor at most, as everywhere here. The one line that is printed
//! has the fields that such a loop tells of itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{Client, Connection, Event, MqttOptions};
use serde_json::{Value, json};

use super::cost::{cores, cpu, most_rss_mib};
use super::player::Player;
use crate::clock::Clock;
use crate::domain::{Broker, Detection};
use crate::vision::detect::Detector;
use crate::vision::model::{Manifest, Runtime};

/// Whom the work is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Peer {
    /// A loop of OpenCV, onnxruntime and paho.
    Pyloop,
}

/// What such a comparison needs.
#[derive(Debug, clap::Args)]
pub struct PeerArgs {
    /// Do the same work as this peer instead, and tell what it took in one line of JSON.
    #[arg(long, value_enum, requires_all = ["model", "broker"])]
    pub like: Option<Peer>,
    /// A YOLOX of COCO's 80 classes as ONNX, not decoded in its graph.
    #[arg(long, value_name = "ONNX", requires = "like")]
    pub model: Option<PathBuf>,
    /// Width and height of its input.
    #[arg(long, default_value_t = 416)]
    pub side: u32,
    /// An MQTT 5 broker without TLS, on this machine.
    #[arg(long, value_name = "HOST:PORT", requires = "like")]
    pub broker: Option<String>,
    /// How many streams at a time.
    #[arg(long, default_value_t = 1)]
    pub streams: u32,
}

/// How long a PUBACK may take.
const ACK_WITHIN: Duration = Duration::from_secs(5);
/// Longest silence between two alerts of a stream for which the broker keeps the connection.
const SILENCE: Duration = Duration::from_hours(1);

/// What streams did.
#[derive(Debug, Default)]
struct Done {
    publishes: u64,
    bytes: u64,
    found: u64,
}

/// Plays `frames` of the clip in each stream; what it took.
///
/// # Errors
/// A clip, a model or a broker that can't be used.
pub(super) fn run(args: &PeerArgs, clip: &Path, frames: u64) -> anyhow::Result<Value> {
    let (clock, streams) = (Clock::system(), args.streams.max(1));
    let begun = clock.monotonic();
    let model = args.model.as_deref().context("the model")?;
    let broker = Broker::parse(&format!("mqtt://{}", args.broker.as_deref().context("the broker")?))?;
    let detector = Arc::new(detector(model, args.side, cores().min(streams as usize))?);
    let mut done = Done::default();
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let stream = |n| {
            let (detector, broker, clock) = (Arc::clone(&detector), &broker, &clock);
            scope.spawn(move || Stream::open(n, clip, detector, broker)?.play(frames, clock))
        };
        let threads: Vec<_> = (0..streams).map(stream).collect();
        for thread in threads {
            let one = thread.join().map_err(|_| anyhow::anyhow!("a camera's thread panicked"))??;
            done.publishes += one.publishes;
            done.bytes += one.bytes;
            done.found += one.found;
        }
        Ok(())
    })?;
    let (wall, cpu) = (clock.monotonic().saturating_sub(begun).as_secs_f64(), cpu().as_secs_f64());
    let all = (frames * u64::from(streams)) as f64;
    Ok(json!({
        "streams": streams, "mode": "threads", "threads": 1, "frames": frames * u64::from(streams),
        "wall_s": rounded(wall, 2), "cpu_s": rounded(cpu, 2), "cpu_ms_per_frame": rounded(cpu / all * 1e3, 3),
        "fps_wall": rounded(all / wall, 1), "maxrss_mb": rounded(most_rss_mib(), 1), "publishes": done.publishes,
        "payload_bytes_mean": done.bytes / done.publishes.max(1), "dets": done.found,
    }))
}

fn rounded(v: f64, decimals: i32) -> f64 {
    let by = 10_f64.powi(decimals);
    (v * by).round() / by
}

/// The model as it stands, under a manifest that says what a YOLOX of COCO is.
fn detector(model: &Path, side: u32, workers: usize) -> anyhow::Result<Detector> {
    let bytes = std::fs::read(model).with_context(|| model.display().to_string())?;
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    let digest = data_encoding::HEXLOWER.encode(digest.as_ref());
    let file = model.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let names: Vec<String> = (0..80)
        .map(|n| match n {
            0 => "person".to_owned(),
            2 => "car".to_owned(),
            3 => "motorcycle".to_owned(),
            5 => "bus".to_owned(),
            7 => "truck".to_owned(),
            // What it finds of others is told as well: telling is part of the work, whatever the name.
            _ => "van".to_owned(),
        })
        .collect();
    let text = format!(
        "name = \"yolox\"\nversion = \"1\"\nfamily = \"yolox\"\nfile = {file:?}\nsha256 = \"{digest}\"\nlicence = \"NONE\"\n\
         classes = {names:?}\nthresholds = {{ score = 0.3, nms = 0.45 }}\n[input]\nname = \"images\"\nsize = [{side}, {side}]\n\
         channels = 3\nlayout = \"nchw\"\ncolour = \"bgr\"\nscale = 1.0\npad = 114.0\nfit = \"letterbox-top-left\"\n"
    );
    let mut manifest = Manifest::parse(&text).map_err(|faults| anyhow::anyhow!("{}", faults.join("; ")))?;
    manifest.folder = model.parent().map(Path::to_owned).unwrap_or_default();
    Ok(Detector::load(&Runtime::open(None)?, manifest, workers)?)
}

/// One stream.
struct Stream {
    name: String,
    player: Player,
    detector: Arc<Detector>,
    client: Client,
    connection: Connection,
}

impl Stream {
    fn open(n: u32, clip: &Path, detector: Arc<Detector>, broker: &Broker) -> anyhow::Result<Self> {
        let mut options =
            MqttOptions::new(format!("watchpost-bench-{}-{n}", std::process::id()), broker.host.clone(), broker.port);
        options.set_keep_alive(SILENCE);
        let (client, connection) = Client::new(options, 4);
        Ok(Self { name: format!("cam{n}"), player: Player::open(clip)?, detector, client, connection })
    }

    fn play(mut self, frames: u64, clock: &Clock) -> anyhow::Result<Done> {
        let mut done = Done::default();
        for n in 1..=frames {
            let frame = self.player.next()?;
            let found = self.detector.detect(&frame)?;
            if found.is_empty() {
                continue;
            }
            let objects: Vec<Value> = found.iter().map(object).collect();
            let time = clock.utc().0 as f64 / 1e3;
            let alert = json!({"camera": self.name, "ts": time, "frame": n, "objects": objects}).to_string();
            done.publishes += 1;
            done.bytes += alert.len() as u64;
            done.found += found.len() as u64;
            self.publish(alert)?;
        }
        Ok(done)
    }

    /// Publishes and waits until the broker has it. The connection is driven here: there is nothing to hear in between.
    fn publish(&mut self, alert: String) -> anyhow::Result<()> {
        self.client.try_publish(format!("site/{}/alert", self.name), QoS::AtLeastOnce, false, alert)?;
        loop {
            match self.connection.recv_timeout(ACK_WITHIN) {
                Ok(Ok(Event::Incoming(Packet::PubAck(_)))) => return Ok(()),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(error).context("the broker of the bench"),
                Err(_) => anyhow::bail!("no PUBACK within {} s", ACK_WITHIN.as_secs()),
            }
        }
    }
}

/// As such loops tell it.
fn object(found: &Detection) -> Value {
    let (r, tenth) = (&found.rect, |v: f32| rounded(f64::from(v), 1));
    json!({
        "label": found.class.as_str(), "score": rounded(f64::from(found.score), 3),
        "box": [tenth(r.x1), tenth(r.y1), tenth(r.width()), tenth(r.height())],
    })
}
