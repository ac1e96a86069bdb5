//! Every other kind of source: UDP, Motion JPEG, AVI, devices, test patterns, folders.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use watchpost::camera::testkit::{Clip, RtspServer, Serving};
use watchpost::camera::{self, Camera, CameraEvent, Next};
use watchpost::clock::Clock;
use watchpost::domain::{PixelFormat, Transport};
use watchpost::health::{CameraCounters, CameraState};
use watchpost::shutdown::Shutdown;

use crate::kit::camera::{PATIENCE, clip, error_of, frames, looped, open, settings};

#[test]
fn a_camera_that_offers_udp_alone_is_opened_by_auto_and_by_udp_and_refused_by_tcp() {
    let dir = tempfile::tempdir().unwrap();
    let server =
        RtspServer::start(&clip(dir.path(), Clip::H264), &Serving { only: Transport::Udp, ..looped() }).unwrap();
    let mut settings = settings(&server.url());
    for transport in [Transport::Auto, Transport::Udp] {
        settings.transport = transport;
        let frames = frames(&settings, 30);
        assert!(frames.windows(2).all(|w| w[0].pts < w[1].pts), "{transport}");
    }
    settings.transport = Transport::Tcp;
    let error = error_of(&settings);
    assert!(error.is_lasting());
    let text = error.to_string();
    assert!(text.contains("over TCP: ") && text.contains("transport = \"udp\""), "{text}");
}

#[test]
fn a_camera_that_offers_tcp_alone_refuses_udp_and_says_what_to_set() {
    let dir = tempfile::tempdir().unwrap();
    let server =
        RtspServer::start(&clip(dir.path(), Clip::H264), &Serving { only: Transport::Tcp, ..looped() }).unwrap();
    let mut settings = settings(&server.url());
    settings.transport = Transport::Udp;
    let error = error_of(&settings).to_string();
    assert!(error.contains("over UDP: ") && error.contains("transport = \"tcp\""), "{error}");
}

/// Passes RTSP on and has the server send its packets to ports where nobody listens, as a firewall would lose them.
fn firewall(server: u16) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let sinks = [UdpSocket::bind(("127.0.0.1", 0)).unwrap(), UdpSocket::bind(("127.0.0.1", 0)).unwrap()];
        let [a, b] = sinks.each_ref().map(|s| s.local_addr().unwrap().port());
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
            let (mut back, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut back, &mut to_client));
            let mut server = server;
            for line in BufReader::new(client).split(b'\n').map_while(Result::ok) {
                let mut line = String::from_utf8_lossy(&line).into_owned();
                if let Some(at) = line.find("client_port=") {
                    line = format!("{}client_port={a}-{b}\r", &line[..at]);
                }
                if server.write_all(format!("{line}\n").as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    port
}

#[test]
fn a_camera_whose_udp_packets_do_not_arrive_is_said_with_the_firewall() {
    let dir = tempfile::tempdir().unwrap();
    let server = RtspServer::start(&clip(dir.path(), Clip::H264), &looped()).unwrap();
    let mut settings = settings(&format!("rtsp://127.0.0.1:{}/stream", firewall(server.port())));
    settings.transport = Transport::Udp;
    let error = error_of(&settings).to_string();
    assert!(error.contains("firewall between") && error.contains("transport = \"tcp\""), "{error}");
}

#[test]
fn packets_lost_on_udp_cost_pictures_and_not_the_stream() {
    let dir = tempfile::tempdir().unwrap();
    let serving = Serving { only: Transport::Udp, lost_one_in: Some(25), ..looped() };
    for shape in [Clip::H264, Clip::H265] {
        let server = RtspServer::start(&clip(dir.path(), shape), &serving).unwrap();
        let mut settings = settings(&server.url());
        settings.transport = Transport::Udp;
        let mut source = open(&settings).unwrap();
        let began = Instant::now();
        let mut seen = 0;
        while seen < 50 {
            assert!(began.elapsed() < PATIENCE * 3, "{seen} frames");
            if let Next::Frame(frame) = source.next(PATIENCE).unwrap() {
                assert_eq!((frame.format.width, frame.format.height), (320, 180));
                seen += 1;
            }
        }
    }
}

#[test]
fn motion_jpeg_comes_over_rtsp_with_full_range_whatever_its_chroma() {
    for format in ["I420", "Y42B"] {
        let text = format!(
            "videotestsrc is-live=true pattern=white ! video/x-raw,format={format},width=320,height=184,framerate=25/1 \
             ! jpegenc ! rtpjpegpay name=pay0 pt=26"
        );
        let server = RtspServer::start_text(&text, &looped()).unwrap();
        for frame in frames(&settings(&server.url()), 5) {
            assert_eq!((frame.format.width, frame.format.height), (320, 184), "{format}");
            assert_eq!((frame.format.pixels, frame.format.full_range), (PixelFormat::I420, true), "{format}");
            // The encoder wrote the pattern's white, 235, as it was: nothing on the way stretches or squeezes it.
            assert!(frame.luma().row(90).unwrap().iter().all(|y| (233..=237).contains(y)), "{format}");
        }
    }
}

#[test]
fn motion_jpeg_and_avi_files_give_every_frame_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let jpeg = Clip { encoder: "jpegenc", frames: 12, ..Clip::H264 };
    let h264 = Clip { frames: 12, ..Clip::H264 };
    for (name, shape, muxer, full) in [
        ("a.mkv", jpeg, "matroskamux", true),
        ("a.mov", jpeg, "qtmux", true),
        ("a.avi", jpeg, "avimux", true),
        ("a.mjpg", jpeg, "identity", true),
        ("b.avi", h264, "h264parse ! avimux", false),
    ] {
        let path = dir.path().join(name);
        Clip { muxer, ..shape }.make(&path).unwrap();
        let mut source = open(&settings(path.to_str().unwrap())).unwrap();
        let mut pts = Vec::new();
        loop {
            match source.next(PATIENCE).unwrap() {
                Next::Frame(frame) => {
                    assert_eq!((frame.format.width, frame.format.height), (320, 180), "{name}");
                    assert_eq!(frame.format.full_range, full, "{name}");
                    pts.push(frame.pts.as_millis());
                }
                Next::End => break,
                Next::Idle => panic!("{name}: no frame"),
            }
        }
        let want: Vec<u128> = (0..12).map(|n| n * 40).collect();
        assert!(pts.len() == 12 && pts.iter().zip(&want).all(|(p, w)| p.abs_diff(*w) <= 1), "{name}: {pts:?}");
    }
}

#[test]
fn a_test_pattern_has_the_size_and_the_pace_that_are_asked_for() {
    let settings = settings("test://smpte?width=320&height=240&fps=20");
    let began = Instant::now();
    let frames = frames(&settings, 11);
    assert!(began.elapsed() >= Duration::from_millis(450), "{:?}: it is live", began.elapsed());
    for frame in &frames {
        assert_eq!((frame.format.width, frame.format.height), (320, 240));
        assert_eq!(frame.format.pixels, PixelFormat::I420);
    }
    // The bars are there: white at the left, dark at the right.
    let row = frames[0].luma().row(10).unwrap();
    assert!(row[10] > row[300] + 50, "{} {}", row[10], row[300]);
}

#[test]
fn a_device_that_is_missing_or_is_no_camera_is_said_with_what_to_do() {
    let error = error_of(&settings("v4l2:///dev/video-none")).to_string();
    assert!(error.contains("/dev/video-none: cannot be read: No such file"), "{error}");

    for path in ["/dev/null", "/etc/hostname"] {
        let error = error_of(&settings(&format!("v4l2://{path}?width=640&height=480&format=mjpeg")));
        assert!(!error.is_lasting(), "it may be plugged in again");
        let text = error.to_string();
        assert!(text.starts_with(&format!("v4l2://{path}: ")) && text.contains("v4l2-ctl --list-devices"), "{text}");
    }
}

#[test]
fn a_folder_is_a_camera_that_ends_and_tells_what_it_skipped() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..4_u8 {
        image::RgbImage::from_pixel(64, 48, image::Rgb([60 * n; 3])).save(dir.path().join(format!("{n}.jpg"))).unwrap();
    }
    let run = || {
        let counters = Arc::new(CameraCounters::default());
        let uri = format!("folder://{}?fps=5", dir.path().display());
        let camera = Camera::new(settings(&uri), Clock::system(), Arc::clone(&counters));
        let (mut seen, mut ended) = (0, false);
        let how = camera.run(&Shutdown::new(), &mut |event| match event {
            CameraEvent::Frame(_) => seen += 1,
            CameraEvent::Ended => ended = true,
            CameraEvent::Reopened => panic!("a folder is played once"),
            CameraEvent::Quiet => {}
        });
        (how, seen, ended, counters)
    };
    let (how, seen, ended, counters) = run();
    how.unwrap();
    assert_eq!((seen, ended, counters.state()), (4, true, CameraState::Ended));

    std::fs::write(dir.path().join("2.jpg"), "broken").unwrap();
    let (how, seen, ended, counters) = run();
    let error = how.unwrap_err().to_string();
    assert!(error.contains("1 of its 4 pictures") && error.contains("2.jpg"), "{error}");
    assert_eq!((seen, ended, counters.unreadable.get()), (3, false, 1));
    assert_eq!(counters.state(), CameraState::Offline(error));
}

#[test]
fn every_kind_of_address_opens_by_the_same_door() {
    for uri in ["test://ball?fps=30", "test://snow?width=64&height=64&fps=30"] {
        let counters = Arc::new(CameraCounters::default());
        let mut source = camera::open(&settings(uri), &Clock::system(), Arc::clone(&counters)).unwrap();
        assert!(matches!(source.next(PATIENCE), Ok(Next::Frame(_))), "{uri}");
        assert!(counters.received.get() > 0, "{uri}");
    }
}

#[test]
fn probe_looks_at_patterns_folders_and_rows_of_jpegs_as_at_cameras() {
    let dir = tempfile::tempdir().unwrap();
    let row = dir.path().join("row.mjpg");
    Clip { encoder: "jpegenc", muxer: "identity", frames: 30, ..Clip::H264 }.make(&row).unwrap();
    let folder = dir.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    image::RgbImage::new(64, 48).save(folder.join("a.png")).unwrap();
    for (uri, size) in [
        ("test://smpte?width=320&height=240&fps=25".to_owned(), "320×240"),
        (format!("folder://{}?fps=5", folder.display()), "64×48"),
        (row.display().to_string(), "320×180"),
    ] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_watchpost"));
        let output = command.args(["probe", &uri, "--seconds", "1"]).env_remove("RUST_LOG").output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(0), "{uri}: {said}");
        assert!(said.contains(size) && said.contains(&format!("uri = \"{uri}\"")), "{uri}: {said}");
    }
}
