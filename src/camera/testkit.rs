//! A real RTSP server in the process, and clips to serve: for tests and the demo, never in a product build.
//!
//! The server plays a file in real time, once or in a loop, to any number of clients, on loopback only. Its coded
//! pictures are read into memory first, so clips are to be short. It runs on a thread and a main context of its own;
//! [`RtspServer::stop`] closes every connection and gives the port back, as a camera that loses its power would.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use gstreamer as gst;
use gstreamer::glib;
use gstreamer_app as app;
use gstreamer_rtsp_server as rtsp;
use gstreamer_rtsp_server::prelude::*;

use super::pipeline;
use crate::domain::Transport;

mod access;
mod clip;
mod spoil;
mod units;

pub use access::{Identity, Proof};
pub use clip::{Clip, rescale};
pub use spoil::{Manner, Spoil};
use units::{Play, Units};

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
    /// Where it listens; without one on loopback.
    pub address: Option<String>,
    /// Port there; 0 takes a free one.
    pub port: u16,
    /// Path in the address, with or without its first `/`; empty means `/stream`.
    pub mount: String,
    /// Begins anew at the end, for ever; otherwise the stream ends.
    pub looped: bool,
    /// Since when it runs, as a camera does before anyone looks: a client begins at the key frame of its moment, so two
    /// servers of the same clip show the same. Without it the clip begins with the first client.
    pub since: Option<Instant>,
    /// User and password that clients must give.
    pub credential: Option<(String, String)>,
    /// How they prove that they have it.
    pub proof: Proof,
    /// With one, the server speaks TLS alone (`rtsps`).
    pub identity: Option<Identity>,
    /// The one way of travelling that is offered; `Auto` is all.
    pub only: Transport,
    /// Each so-many-th packet of the stream is lost.
    pub lost_one_in: Option<u32>,
    /// Spoils the stream whenever it is asked to.
    pub spoil: Option<Spoil>,
    /// What [`Manner::Others`] takes its pictures from: the same clip in another size, with key frames at the same places.
    pub other: Option<PathBuf>,
}

/// A running server.
#[derive(Debug)]
pub struct RtspServer {
    server: rtsp::RTSPServer,
    context: glib::MainContext,
    main_loop: glib::MainLoop,
    thread: Option<JoinHandle<()>>,
    source: Option<glib::SourceId>,
    address: String,
    port: u16,
    mount: String,
    scheme: &'static str,
}

impl RtspServer {
    /// Serves the H.264 or H.265 video of an mp4 file.
    ///
    /// # Errors
    /// A file without such a video, a port that is taken, an element that is not installed.
    pub fn start(file: &Path, serving: &Serving) -> Result<Self, Failed> {
        pipeline::init().map_err(|e| Failed(e.to_string()))?;
        let units = Arc::new(Units::read(file)?);
        let other = serving.other.as_deref().map(Units::read).transpose()?.map(Arc::new);
        let codec = units.codec;
        // What waits is not spoilt any more.
        let waits = if serving.spoil.is_some() { "max-bytes=0 max-buffers=2" } else { "max-bytes=200000" };
        let text = format!(
            "appsrc name=feed format=time block=true {waits} ! {codec}parse \
             ! rtp{codec}pay name=pay0 pt=96 config-interval=-1"
        );
        let factory = factory(&text);
        let (looped, since, spoil) = (serving.looped, serving.since, serving.spoil.clone());
        let play = Play { looped, since, spoil, other };
        factory.connect_media_configure(move |_, media| {
            let feed = media.element().downcast::<gst::Bin>().ok().and_then(|b| b.by_name("feed"));
            if let Some(feed) = feed.and_then(|f| f.downcast::<app::AppSrc>().ok()) {
                let (units, play) = (Arc::clone(&units), play.clone());
                // Ends by itself: pushing fails once the media is torn down.
                std::thread::spawn(move || units.feed(&feed, &play));
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
        // Connections are served by the thread that closes them. Closed from another one, a connection by TLS may go on being
        // asked for more in an endless loop (GStreamer 1.22).
        let pool = rtsp::RTSPThreadPool::new();
        pool.set_max_threads(0);
        server.set_thread_pool(Some(&pool));
        let address = serving.address.clone().unwrap_or_else(|| "127.0.0.1".to_owned());
        server.set_address(&address);
        server.set_service(&serving.port.to_string());
        server.set_auth(access::guard(&factory, serving)?.as_ref());
        access::limit(&factory, serving.only);
        // A client that is refused one way asks for the other at once. While the shared medium of its first try is being
        // torn down it would be answered 503, so each try has a medium of its own.
        factory.set_shared(serving.only == Transport::Auto);
        if let Some(one_in) = serving.lost_one_in.filter(|n| *n > 0) {
            factory.connect_media_configure(move |_, media| {
                let sent = AtomicU32::new(0);
                access::lose(media, move || sent.fetch_add(1, Ordering::Relaxed) % one_in == one_in - 1);
            });
        }
        if let Some(spoil) = serving.spoil.clone() {
            factory.connect_media_configure(move |_, media| {
                let spoil = spoil.clone();
                access::lose(media, move || spoil.is_lost());
            });
        }
        let scheme = if serving.identity.is_some() { "rtsps" } else { "rtsp" };
        server.mount_points().ok_or_else(|| Failed("no mount points".to_owned()))?.add_factory(&mount, factory);

        let context = glib::MainContext::new();
        let source = server.attach(Some(&context)).map_err(|e| failed(&format!("RTSP server on {address}"))(&e))?;
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
        Ok(Self { server, context, main_loop, thread, source: Some(source), address, port, mount, scheme })
    }

    /// Its address, without a credential.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}:{}{}", self.scheme, self.address, self.port, self.mount)
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
