//! A real RTSP server in the process, and clips to serve: for tests and the demo, never in a product build.
//!
//! The server plays a file in real time, once or in a loop, to any number of clients, on loopback only. Its coded
//! pictures are read into memory first, so clips are to be short. It runs on a thread and a main context of its own;
//! [`RtspServer::stop`] closes every connection and gives the port back, as a camera that loses its power would.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use gstreamer as gst;
use gstreamer::glib;
use gstreamer_app as app;
use gstreamer_rtsp_server as rtsp;
use gstreamer_rtsp_server::prelude::*;

use super::pipeline;

/// Why the server or a clip could not be made.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failed(String);

fn failed(what: &str) -> impl Fn(&dyn std::fmt::Display) -> Failed + '_ {
    move |why| Failed(format!("{what}: {why}"))
}

/// How a clip is served.
#[derive(Debug, Clone, Default)]
pub struct Serving {
    /// Port on loopback; 0 takes a free one.
    pub port: u16,
    /// Path in the address, with or without its first `/`; empty means `/stream`.
    pub mount: String,
    /// Begins anew at the end, for ever; otherwise the stream ends.
    pub looped: bool,
    /// User and password that clients must give.
    pub credential: Option<(String, String)>,
}

/// A running server.
#[derive(Debug)]
pub struct RtspServer {
    server: rtsp::RTSPServer,
    context: glib::MainContext,
    main_loop: glib::MainLoop,
    thread: Option<JoinHandle<()>>,
    source: Option<glib::SourceId>,
    port: u16,
    mount: String,
}

impl RtspServer {
    /// Serves the H.264 or H.265 video of an mp4 file.
    ///
    /// # Errors
    /// A file without such a video, a port that is taken, an element that is not installed.
    pub fn start(file: &Path, serving: &Serving) -> Result<Self, Failed> {
        pipeline::init().map_err(|e| Failed(e.to_string()))?;
        let units = Arc::new(Units::read(file)?);
        let codec = units.codec;
        let text = format!(
            "appsrc name=feed format=time block=true max-bytes=200000 ! {codec}parse \
             ! rtp{codec}pay name=pay0 pt=96 config-interval=-1"
        );
        let factory = factory(&text);
        let looped = serving.looped;
        factory.connect_media_configure(move |_, media| {
            let feed = media.element().downcast::<gst::Bin>().ok().and_then(|b| b.by_name("feed"));
            if let Some(feed) = feed.and_then(|f| f.downcast::<app::AppSrc>().ok()) {
                let units = Arc::clone(&units);
                // Ends by itself: pushing fails once the media is torn down.
                std::thread::spawn(move || units.feed(&feed, looped));
            }
        });
        Self::start_with(factory, serving)
    }

    /// Serves what a text makes, with payloaders named `pay0`, `pay1`, …
    ///
    /// # Errors
    /// A port that is taken. What is wrong with the text is told to clients alone.
    pub fn start_text(text: &str, serving: &Serving) -> Result<Self, Failed> {
        pipeline::init().map_err(|e| Failed(e.to_string()))?;
        Self::start_with(factory(text), serving)
    }

    fn start_with(factory: rtsp::RTSPMediaFactory, serving: &Serving) -> Result<Self, Failed> {
        let mount = match serving.mount.trim_start_matches('/') {
            "" => "/stream".to_owned(),
            path => format!("/{path}"),
        };
        let server = rtsp::RTSPServer::new();
        server.set_address("127.0.0.1");
        server.set_service(&serving.port.to_string());
        if let Some((user, password)) = &serving.credential {
            server.set_auth(Some(&auth(&factory, user, password)));
        }
        server.mount_points().ok_or_else(|| Failed("no mount points".to_owned()))?.add_factory(&mount, factory);

        let context = glib::MainContext::new();
        let source = server.attach(Some(&context)).map_err(|e| failed("RTSP server on 127.0.0.1")(&e))?;
        let port = u16::try_from(server.bound_port()).map_err(|e| failed("RTSP server has no port")(&e))?;
        let main_loop = glib::MainLoop::new(Some(&context), false);
        let thread = {
            let (context, main_loop) = (context.clone(), main_loop.clone());
            let run = move || context.with_thread_default(|| main_loop.run());
            std::thread::Builder::new().name("rtsp-server".to_owned()).spawn(move || {
                let _ = run();
            })
        };
        let thread = Some(thread.map_err(|e| failed("thread")(&e))?);
        Ok(Self { server, context, main_loop, thread, source: Some(source), port, mount })
    }

    /// Its address, without a credential.
    #[must_use]
    pub fn url(&self) -> String {
        format!("rtsp://127.0.0.1:{}{}", self.port, self.mount)
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Closes every connection and stops listening; dropping does the same.
    pub fn stop(mut self) {
        self.shut();
    }

    fn shut(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        let (server, context, main_loop) = (self.server.clone(), self.context.clone(), self.main_loop.clone());
        let source = self.source.take();
        self.context.invoke(move || {
            server.client_filter(Some(&mut |_, _| rtsp::RTSPFilterResult::Remove));
            // Not SourceId::remove: that looks in the default context and panics.
            if let Some(source) = source.and_then(|id| context.find_source_by_id(&id)) {
                source.destroy();
            }
            main_loop.quit();
        });
        let _ = thread.join();
    }
}

impl Drop for RtspServer {
    fn drop(&mut self) {
        self.shut();
    }
}

fn factory(text: &str) -> rtsp::RTSPMediaFactory {
    let factory = rtsp::RTSPMediaFactory::new();
    factory.set_launch(&format!("( {text} )"));
    factory.set_shared(true);
    factory
}

fn auth(factory: &rtsp::RTSPMediaFactory, user: &str, password: &str) -> rtsp::RTSPAuth {
    let auth = rtsp::RTSPAuth::new();
    let token = rtsp::RTSPToken::builder().field("media.factory.role", "viewer").build();
    auth.add_basic(&rtsp::RTSPAuth::make_basic(user, password), &token);
    let role = gst::Structure::builder("viewer")
        .field("media.factory.access", true)
        .field("media.factory.construct", true)
        .build();
    factory.add_role_from_structure(&role);
    auth
}

/// The coded pictures of a file in decoding order.
struct Units {
    codec: &'static str,
    caps: gst::Caps,
    buffers: Vec<gst::Buffer>,
    length: gst::ClockTime,
}

impl Units {
    fn read(file: &Path) -> Result<Self, Failed> {
        let h264 = Self::read_as("h264", file);
        h264.or_else(|_| Self::read_as("h265", file))
    }

    fn read_as(codec: &'static str, file: &Path) -> Result<Self, Failed> {
        let why = failed("clip to serve");
        let text = format!(
            "filesrc name=file ! qtdemux ! video/x-{codec} ! {codec}parse config-interval=-1 \
             ! video/x-{codec},stream-format=byte-stream,alignment=au ! appsink name=units sync=false"
        );
        let reader = gst::parse::launch(&text).map_err(|e| why(&e))?;
        let reader = reader.downcast::<gst::Pipeline>().map_err(|_| why(&"no pipeline"))?;
        reader.by_name("file").ok_or_else(|| why(&"no source"))?.set_property("location", file);
        let sink = reader.by_name("units").and_then(|e| e.downcast::<app::AppSink>().ok());
        let sink = sink.ok_or_else(|| why(&"no sink"))?;
        reader.set_state(gst::State::Playing).map_err(|e| why(&e))?;
        let mut caps = None;
        let mut buffers = Vec::new();
        // A file of another codec leaves the sink without a word: the bus has the error.
        let bus = reader.bus();
        let has_failed = || bus.as_ref().is_some_and(|b| b.pop_filtered(&[gst::MessageType::Error]).is_some());
        while !sink.is_eos() && !has_failed() {
            if let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_mseconds(200)) {
                caps = sample.caps_owned().or(caps);
                buffers.extend(sample.buffer_owned());
            }
        }
        reader.set_state(gst::State::Null).map_err(|e| why(&e))?;
        let caps = caps.ok_or_else(|| why(&format!("{} has no {codec} video", file.display())))?;
        let first = buffers.iter().filter_map(|b| b.dts_or_pts()).min().unwrap_or_default();
        let end = buffers.iter().filter_map(|b| Some(b.pts()? + b.duration().unwrap_or_default())).max();
        let length = end.unwrap_or_default().saturating_sub(first);
        for buffer in &mut buffers {
            let buffer = buffer.make_mut();
            buffer.set_pts(buffer.pts().map(|t| t.saturating_sub(first)));
            buffer.set_dts(buffer.dts().map(|t| t.saturating_sub(first)));
        }
        Ok(Self { codec, caps, buffers, length })
    }

    fn feed(&self, feed: &app::AppSrc, looped: bool) {
        feed.set_caps(Some(&self.caps));
        let mut base = gst::ClockTime::ZERO;
        loop {
            for buffer in &self.buffers {
                // The memory is shared, the times are not.
                let mut buffer = buffer.copy();
                if let Some(b) = buffer.get_mut() {
                    b.set_pts(b.pts().map(|t| t + base));
                    b.set_dts(b.dts().map(|t| t + base));
                }
                if feed.push_buffer(buffer).is_err() {
                    return;
                }
            }
            base += self.length;
            if !looped {
                // It fails when the media is gone already, which is as well.
                let _ = feed.end_of_stream();
                return;
            }
        }
    }
}

/// What a made clip is like.
#[derive(Debug, Clone, Copy)]
pub struct Clip<'a> {
    /// The encoder and what it is told, e.g. `x264enc bframes=2`.
    pub encoder: &'a str,
    /// The multiplexer: `mp4mux`, `matroskamux`, `mpegtsmux`, or `identity` for none.
    pub muxer: &'a str,
    /// Caps between picture and encoder besides the size, e.g. `format=I420`.
    pub raw: &'a str,
    /// Pixels across and down.
    pub size: (u32, u32),
    /// How many pictures, 25 a second.
    pub frames: u32,
    /// What they show: a pattern of `videotestsrc` and its properties.
    pub pattern: &'a str,
}

impl Clip<'_> {
    /// A small H.264 clip with B-frames and a key frame every 10 pictures, as mp4.
    pub const H264: Self = Self {
        encoder: "x264enc speed-preset=ultrafast bframes=2 b-adapt=false key-int-max=10 threads=1",
        muxer: "mp4mux",
        raw: "format=I420",
        size: (320, 180),
        frames: 50,
        pattern: "ball",
    };

    /// The same in H.265.
    pub const H265: Self = Self {
        encoder: "x265enc speed-preset=ultrafast key-int-max=10 log-level=none \
                  option-string=bframes=2:b-adapt=0:pools=none:frame-threads=1 ! h265parse",
        ..Self::H264
    };

    /// Makes the clip.
    ///
    /// # Errors
    /// An encoder or multiplexer that is not installed, a faulty description, a file that cannot be written.
    pub fn make(&self, to: &Path) -> Result<(), Failed> {
        pipeline::init().map_err(|e| Failed(e.to_string()))?;
        let why = failed("clip");
        let Self { encoder, muxer, raw, size: (width, height), frames, pattern } = self;
        let text = format!(
            "videotestsrc pattern={pattern} num-buffers={frames} ! video/x-raw,{raw},width={width},height={height},framerate=25/1 \
             ! {encoder} ! {muxer} ! filesink name=file"
        );
        let writer = gst::parse::launch(&text).map_err(|e| why(&e))?;
        let writer = writer.downcast::<gst::Pipeline>().map_err(|_| why(&"no pipeline"))?;
        writer.by_name("file").ok_or_else(|| why(&"no sink"))?.set_property("location", to);
        writer.set_state(gst::State::Playing).map_err(|e| why(&e))?;
        let bus = writer.bus().ok_or_else(|| why(&"no bus"))?;
        let ends = [gst::MessageType::Error, gst::MessageType::Eos];
        let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &ends);
        writer.set_state(gst::State::Null).map_err(|e| why(&e))?;
        match message.as_ref().map(|m| m.view()) {
            Some(gst::MessageView::Eos(_)) => Ok(()),
            Some(gst::MessageView::Error(e)) => Err(why(&e.error())),
            _ => Err(why(&"not done after 60 s")),
        }
    }
}
