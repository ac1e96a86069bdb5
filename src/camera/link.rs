//! Joins a source's streams to the decode pipeline of their codec.
//!
//! The source says what it has (RTSP: the SDP's caps; files: the demuxer's pads); the first video stream with a codec
//! that is known gets the decode text of that codec, everything else stays unlinked. Runs in GStreamer's threads; what
//! goes wrong is put into the slot that the analysis thread reads.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;

use super::error::told;
use super::frame::Arrived;
use super::guard::Guard;
use super::hardware::Api;
use super::orientation::Orientation;
use super::probe::Tap;
use super::slot::Slot;
use super::{Error, pipeline};

/// Sets up the appsink of a decode pipeline.
pub(super) type OnSink = Box<dyn Fn(&gstreamer_app::AppSink) + Send + Sync>;

/// Looks at streams until one is linked.
pub(super) struct Linker {
    pub(super) origin: String,
    /// Decode text to use whatever the codec; otherwise `<family>-<codec>`.
    pub(super) choice: Option<String>,
    /// Texts of hardware decoders that go before that, each for its own codec.
    pub(super) decoders: Vec<String>,
    /// What decodes by hardware, once it is linked.
    pub(super) hardware: OnceLock<Hardware>,
    /// `rtsp`, `file`, `v4l2` or `test`.
    pub(super) family: &'static str,
    pub(super) slot: Arc<Slot<Arrived>>,
    pub(super) on_sink: OnSink,
    pub(super) guard: Arc<Guard>,
    pub(super) orientation: Orientation,
    pub(super) streams: Mutex<Streams>,
    /// A file's coded pictures come at the pace of the clock, as a camera sends them.
    pub(super) paced: bool,
    /// Who takes notes of what comes.
    pub(super) tap: Option<Arc<Tap>>,
}

/// A hardware decoder that is linked.
pub(super) struct Hardware {
    text: String,
    bin: gst::glib::WeakRef<gst::Bin>,
}

impl Hardware {
    /// Whether what `source` says is the decoder's, or of what stands behind it: not the parser's, which judges the stream.
    fn said(&self, source: &gst::Object) -> bool {
        let Some(bin) = self.bin.upgrade() else { return false };
        let element = source.downcast_ref::<gst::Element>();
        let class = element.and_then(|element| element.metadata("klass")).unwrap_or_default();
        source.has_as_ancestor(&bin) && !["Parser", "Depayloader", "Sink"].iter().any(|other| class.contains(other))
    }
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Streams {
    linked: bool,
    selected: bool,
    video: Vec<String>,
    other: Vec<String>,
}

/// What a stream is, by its caps.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Known(&'static str),
    Video(String),
    Other(String),
}

fn kind_of(caps: &gst::CapsRef) -> Kind {
    let Some(s) = caps.structure(0) else { return Kind::Other("nothing".to_owned()) };
    let name = s.name().as_str();
    // Caps made of an SDP bear the second name until their stream is set up.
    if name == "application/x-rtp" || name == "application/x-unknown" {
        let media = s.get::<&str>("media").unwrap_or("unknown");
        let encoding = s.get::<&str>("encoding-name").unwrap_or("unknown");
        return match (media, encoding) {
            ("video", "H264") => Kind::Known("h264"),
            ("video", "H265") => Kind::Known("h265"),
            ("video", "JPEG") => Kind::Known("mjpeg"),
            ("video", other) => Kind::Video(other.to_owned()),
            (media, other) => Kind::Other(format!("{media} {other}")),
        };
    }
    match name {
        "video/x-h264" => Kind::Known("h264"),
        "video/x-h265" => Kind::Known("h265"),
        "video/mpeg" => {
            let version = s.get::<i32>("mpegversion").map_or(String::new(), |v| format!("-{v}"));
            Kind::Video(format!("MPEG{version} video"))
        }
        "image/jpeg" => Kind::Known("mjpeg"),
        _ if name.starts_with("video/") || name.starts_with("image/") => {
            Kind::Video(name.rsplit(['/', '-']).next().unwrap_or(name).to_ascii_uppercase())
        }
        _ => Kind::Other(name.to_owned()),
    }
}

impl Linker {
    fn streams(&self) -> std::sync::MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a stream that a server offers is to be set up: the first video of a known codec alone.
    pub(super) fn select(&self, caps: &gst::CapsRef) -> bool {
        let mut streams = self.streams();
        let selected = match kind_of(caps) {
            Kind::Known(_) => !std::mem::replace(&mut streams.selected, true),
            Kind::Video(name) => {
                streams.video.push(name);
                false
            }
            Kind::Other(name) => {
                streams.other.push(name);
                false
            }
        };
        if let Some(tap) = &self.tap {
            tap.offered(caps, selected);
        }
        selected
    }

    /// Links a new pad when it is the first video stream of a known codec.
    pub(super) fn on_pad(&self, pad: &gst::Pad) {
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        // What a server offers was noted when it was selected.
        if let Some(tap) = self.tap.as_ref().filter(|_| self.family != "rtsp") {
            tap.offered(&caps, matches!(kind_of(&caps), Kind::Known(_)) && !self.is_linked());
        }
        let codec = {
            let mut streams = self.streams();
            match kind_of(&caps) {
                Kind::Known(codec) if !streams.linked => {
                    streams.linked = true;
                    codec
                }
                Kind::Known(_) => return,
                Kind::Video(name) => return streams.video.push(name),
                Kind::Other(name) => return streams.other.push(name),
            }
        };
        if let Err(error) = self.link(pad, codec) {
            self.slot.finish(Err(error));
        }
    }

    /// The source has no more streams: an error unless one was linked.
    pub(super) fn on_no_more_pads(&self) {
        let error = self.nothing_usable().or_else(|| {
            let streams = self.streams();
            let empty = !streams.linked && !streams.selected;
            empty.then(|| Error::NoVideo { origin: self.origin.clone(), found: "no stream at all".to_owned() })
        });
        if let Some(error) = error {
            self.slot.finish(Err(error));
        }
    }

    /// Why no stream was linked, when there were some and none could be.
    pub(super) fn nothing_usable(&self) -> Option<Error> {
        let streams = self.streams();
        let origin = self.origin.clone();
        if streams.linked || streams.selected || (streams.video.is_empty() && streams.other.is_empty()) {
            None
        } else if streams.video.is_empty() {
            Some(Error::NoVideo { origin, found: told(&streams.other.join(", ")) })
        } else {
            Some(Error::Codec { origin, found: told(&streams.video.join(", ")) })
        }
    }

    /// Whether a stream was linked.
    pub(super) fn is_linked(&self) -> bool {
        self.streams().linked
    }

    /// The decode text for a codec.
    fn text_for(&self, codec: &str) -> String {
        let usual = || format!("{}-{codec}", self.family);
        let is_for = |name: &&String| name.rsplit_once('-').is_some_and(|(of, _)| of == usual());
        self.choice.clone().or_else(|| self.decoders.iter().find(is_for).cloned()).unwrap_or_else(usual)
    }

    /// The text of the hardware decoder that a message tells of: it is its own, or says that nobody takes what comes of it.
    pub(super) fn failed_decoder(&self, message: &gst::message::Error) -> Option<&str> {
        let hardware = self.hardware.get()?;
        let is_own = message.src().is_some_and(|source| hardware.said(source));
        let is_refused = || message.debug().is_some_and(|text| text.contains("not-negotiated"));
        (is_own || is_refused()).then_some(hardware.text.as_str())
    }

    /// Builds the decode pipeline of `codec` and links `pad` to it.
    pub(super) fn link(&self, pad: &gst::Pad, codec: &str) -> Result<(), Error> {
        self.streams().linked = true;
        let choice = self.text_for(codec);
        let text = pipeline::load(&choice)?;
        let (bin, entry, sink) = pipeline::build_decoder(&text)?;
        if Api::of_text(&choice).is_some() {
            let _ = self.hardware.set(Hardware { text: choice.clone(), bin: bin.downgrade() });
        }
        (self.on_sink)(&sink);
        if let Some(out) = bin.by_name("coded").and_then(|e| e.static_pad("src")) {
            // First: it hears of streams that are refused too.
            if let Some(tap) = &self.tap {
                tap.coded(&out);
            }
            self.guard.watch(&out);
            self.orientation.watch(&out);
            if let Some(flow) = &self.guard.keeper.flow {
                flow.insert(&bin, &out)?;
            }
        }
        let faulty = |why: &str| Error::Pipeline { pipeline: choice.clone(), why: why.to_owned() };
        self.guard.listen(pad);
        self.orientation.watch(pad);
        forget_limited_range(pad);
        // Beside the element whose pad it is, so that nothing needs a ghost pad: making one takes the pipeline's state
        // lock, and whoever closes the camera at this moment holds that and waits for this thread.
        let host = pad.parent_element().and_then(|element| element.parent()).and_downcast::<gst::Bin>();
        let host = host.ok_or_else(|| faulty("its source is in no pipeline"))?;
        if host.current_state() > gst::State::Null || host.pending_state() > gst::State::Null {
            // A bin that is given a sink while it changes its own state forgets that it waits for it, and the one around
            // it then waits for good (GStreamer 1.22). Nothing here needs to know when the first picture has come.
            sink.set_property("async", false);
        }
        host.add(&bin).map_err(|_| faulty("cannot be added"))?;
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        if !entry.query_caps(None).can_intersect(&caps) {
            return Err(faulty(&format!("does not take the {codec} stream that {} sends", self.origin)));
        }
        let paced = self.paced.then(|| paced(&host, pad)).transpose().map_err(faulty)?;
        let pad = paced.as_ref().unwrap_or(pad);
        pad.link(&entry).map_err(|_| faulty("cannot be linked to its source"))?;
        follow(&bin, &host).map_err(|_| faulty("does not start"))
    }
}

/// Brings what was added to `host` to its state. One look at that is not enough: while this thread sets what it saw, the
/// one that opens the camera may set the next state, and be undone. What is left behind then waits in preroll for good.
/// What plays by the clock must know the time at which that began before it does: `host` does when it is told to play.
fn follow(added: &impl IsA<gst::Element>, host: &gst::Bin) -> Result<(), gst::glib::BoolError> {
    let wanted = || match host.pending_state() {
        gst::State::VoidPending => host.current_state(),
        pending => pending,
    };
    loop {
        let seen = wanted();
        if let Some(began) = host.base_time() {
            added.set_base_time(began);
        }
        added.sync_state_with_parent()?;
        if wanted() <= seen {
            return Ok(());
        }
    }
}

/// Lets what comes from `pad` through when its time has come; the pad behind.
fn paced(host: &gst::Bin, pad: &gst::Pad) -> Result<gst::Pad, &'static str> {
    let made = gst::ElementFactory::make("clocksync").build();
    let clocksync = made.map_err(|_| "there is no element clocksync; apt-get install libgstreamer1.0-0")?;
    let linked = || {
        host.add(&clocksync).ok()?;
        pad.link(&clocksync.static_pad("sink")?).ok()?;
        follow(&clocksync, host).ok()?;
        clocksync.static_pad("src")
    };
    linked().ok_or("its clocksync cannot be linked")
}

/// Takes a container's word for limited range out of the caps, so that the stream's own word counts.
///
/// QuickTime's colour box cannot say "full range" at all and multiplexers write limited without looking, while the
/// decoder would believe them rather than the stream (GStreamer 1.22). A container that says full range is believed.
fn forget_limited_range(pad: &gst::Pad) {
    let probe = pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |_, info| {
        if let Some(gst::PadProbeData::Event(event)) = &mut info.data
            && let gst::EventView::Caps(caps) = event.view()
            && let Some(without) = without_limited_range(caps.caps())
        {
            *event = gst::event::Caps::builder(&without).seqnum(event.seqnum()).build();
        }
        gst::PadProbeReturn::Ok
    });
    debug_assert!(probe.is_some(), "a probe that is not for idle pads is always added");
}

fn without_limited_range(caps: &gst::CapsRef) -> Option<gst::Caps> {
    let stated = caps.structure(0)?.get::<&str>("colorimetry").ok()?;
    let range = stated.parse::<gstreamer_video::VideoColorimetry>().ok()?.range();
    if range == gstreamer_video::VideoColorRange::Range0_255 {
        return None;
    }
    let mut caps = caps.to_owned();
    caps.make_mut().structure_mut(0)?.remove_field("colorimetry");
    Some(caps)
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    fn caps(text: &str) -> gst::Caps {
        pipeline::init().unwrap();
        gst::Caps::from_str(text).unwrap()
    }

    #[test]
    fn streams_are_known_by_their_caps() {
        for (text, kind) in [
            ("application/x-rtp,media=video,encoding-name=H265", Kind::Known("h265")),
            ("application/x-unknown,media=video,encoding-name=H264", Kind::Known("h264")),
            ("application/x-rtp,media=video,encoding-name=JPEG", Kind::Known("mjpeg")),
            ("application/x-rtp,media=video,encoding-name=VP8", Kind::Video("VP8".into())),
            ("image/jpeg,parsed=true", Kind::Known("mjpeg")),
            ("application/x-rtp,media=audio,encoding-name=PCMU", Kind::Other("audio PCMU".into())),
            ("video/x-h264,stream-format=avc", Kind::Known("h264")),
            ("video/x-vp9", Kind::Video("VP9".into())),
            ("video/mpeg,mpegversion=4", Kind::Video("MPEG-4 video".into())),
            ("audio/mpeg,mpegversion=4", Kind::Other("audio/mpeg".into())),
        ] {
            assert_eq!(kind_of(&caps(text)), kind, "{text}");
        }
    }
}
