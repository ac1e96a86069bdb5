//! `watchpost probe` as a program, against a real RTSP server and files: what comes is said, with what it means, and
//! what does not come with the reason.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use watchpost::camera::testkit::Identity;
use watchpost::camera::testkit::{Clip, RtspServer, Serving};
use watchpost::config;
use watchpost::domain::Transport;

use crate::kit::pauses::Pauses;
use crate::kit::site::Authority;

fn probe(uri: &str, options: &[&str]) -> Output {
    probe_with(uri, options, "")
}

fn probe_with(uri: &str, options: &[&str], stdin: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchpost"));
    command.arg("probe").arg(uri).args(options).env_remove("RUST_LOG");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
fn json(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", said(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Fails with 1 and says all of these words.
#[track_caller]
fn refused(output: &Output, words: &[&str]) {
    let text = said(output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(!text.contains("panicked") && !text.contains("[[camera]]"), "{text}");
    for word in words {
        assert!(text.contains(word), "nothing of {word:?}: {text}");
    }
}

/// What the findings say, in one text.
fn findings(told: &serde_json::Value) -> String {
    let row = |f: &serde_json::Value| format!("{} {} → {}", f["level"], f["what"].as_str().unwrap(), f["todo"]);
    told["findings"].as_array().unwrap().iter().map(row).collect::<Vec<_>>().join("\n")
}

/// A temporary folder with a clip in it.
struct Made {
    dir: tempfile::TempDir,
    clip: PathBuf,
}

fn made(name: &str, clip: Clip<'_>) -> Made {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    clip.make(&path).unwrap();
    Made { dir, clip: path }
}

fn served(made: &Made) -> RtspServer {
    RtspServer::start(&made.clip, &Serving { looped: true, ..Serving::default() }).unwrap()
}

const GOP_50: Clip<'_> = Clip {
    encoder: "x264enc speed-preset=ultrafast bframes=0 key-int-max=50 threads=1 option-string=scenecut=0 ! video/x-h264,profile=main",
    size: (1280, 720),
    frames: 150,
    ..Clip::H264
};

#[test]
fn a_camera_is_described_and_its_block_is_a_valid_camera() {
    let clip = made("clip.mp4", GOP_50);
    let server = served(&clip);
    let pauses = Pauses::watch();
    let told = json(&probe(&server.url(), &["--json", "--seconds", "3"]));
    let stood_still = pauses.spoil("how fast pictures come");
    assert_eq!((told["codec"].as_str(), told["transport"].as_str()), (Some("H.264"), Some("TCP")));
    assert_eq!((told["width"].as_u64(), told["height"].as_u64()), (Some(1280), Some(720)));
    assert_eq!((told["bits"].as_u64(), told["chroma"].as_str()), (Some(8), Some("4:2:0")));
    assert_eq!((told["full_range"].as_bool(), told["interlaced"].as_bool()), (Some(false), Some(false)));
    assert!(told["profile"].as_str().is_some() && told["level"].as_str().is_some(), "{told}");
    let fps = &told["fps"];
    assert_eq!(fps["declared"], 25.0, "{fps}");
    assert!(stood_still || (fps["measured"].as_f64().unwrap() - 25.0).abs() < 1.5, "{fps}");
    let keys = &told["key_frames"];
    assert_eq!((keys["shortest_frames"].as_u64(), keys["longest_frames"].as_u64()), (Some(50), Some(50)), "{keys}");
    assert!(stood_still || (keys["longest_s"].as_f64().unwrap() - 2.0).abs() < 0.2, "{keys}");
    assert_eq!((told["b_frames"].as_bool(), told["rotation"].as_u64()), (Some(false), None));
    assert!(told["bits_a_second"].as_f64().unwrap() > 10_000.0 && told["decoding_cpu_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(told["streams"][0]["used"], true);
    let says = findings(&told);
    assert!(says.contains("every 50 frames") && (stood_still || !says.contains("warning")), "{says}");

    let camera = configured(&told);
    assert_eq!((camera.id.as_str(), camera.uri), ("127-0-0-1", server.url()));
    assert_eq!((camera.number, camera.credential), (1, None));
}

#[test]
fn b_frames_h265_and_short_key_frame_distances_are_measured_as_they_are() {
    for (shape, codec) in [(Clip::H264, "H.264"), (Clip::H265, "H.265")] {
        let clip = made("clip.mp4", shape);
        let server = served(&clip);
        let told = json(&probe(&server.url(), &["--json", "--seconds", "2"]));
        assert_eq!(told["codec"], codec);
        assert_eq!((told["b_frames"].as_bool(), told["reordered"].as_u64()), (Some(true), Some(2)), "{told}");
        assert_eq!(told["key_frames"]["longest_frames"], 10, "{told}");
        let says = findings(&told);
        assert!(says.contains("B-frames: each alert comes") && says.contains("up to 2 that follow"), "{says}");
        assert!(says.contains("320×180") && says.contains("choose a larger stream"), "{says}");
    }
}

#[test]
fn key_frames_that_stay_away_are_said_with_what_to_set() {
    let encoder = "x264enc speed-preset=ultrafast bframes=0 key-int-max=1000 threads=1 option-string=scenecut=0";
    let clip = made("clip.mp4", Clip { encoder, frames: 250, ..Clip::H264 });
    let server = served(&clip);
    let says = findings(&json(&probe(&server.url(), &["--json", "--seconds", "1"])));
    assert!(says.contains("no second key frame came within") && says.contains("interval to 2 s ("), "{says}");
}

#[test]
fn a_credential_is_needed_and_never_printed() {
    let clip = made("clip.mp4", Clip::H264);
    let credential = Some(("admin".to_owned(), "s3cr3tword".to_owned()));
    let server = RtspServer::start(&clip.clip, &Serving { looped: true, credential, ..Serving::default() }).unwrap();
    let url = server.url();
    refused(&probe(&url, &["--seconds", "1"]), &["credential", "none was given; use --user"]);
    refused(&probe_with(&url, &["--seconds", "1", "--user", "admin"], "wrong\n"), &["credential"]);

    let file = clip.dir.path().join("gate");
    std::fs::write(&file, "admin:s3cr3tword\n").unwrap();
    let inside = url.replace("rtsp://", "rtsp://admin:s3cr3tword@");
    for output in [
        probe(&url, &["--seconds", "1", "--credential", file.to_str().unwrap()]),
        probe_with(&url, &["--seconds", "1", "--user", "admin"], "s3cr3tword\n"),
        probe(&inside, &["--seconds", "1"]),
    ] {
        let text = said(&output);
        assert!(output.status.success() && !text.contains("s3cr3tword"), "{text}");
        assert!(text.contains("credential = \"127-0-0-1\"") && text.contains("install -m 600"), "{text}");
        assert!(text.contains(&format!("uri = \"{url}\"")), "{text}");
    }
    assert!(said(&probe(&inside, &["--seconds", "1"])).contains("shell's history"));
    refused(&probe(&url, &["--credential", "/nowhere"]), &["--credential /nowhere", "No such file"]);
}

#[test]
fn sound_and_metadata_are_told_and_not_used() {
    let text = "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=180,framerate=10/1 \
                ! x264enc speed-preset=ultrafast tune=zerolatency key-int-max=10 threads=1 ! rtph264pay name=pay0 \
                audiotestsrc is-live=true ! audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay name=pay1";
    let server = RtspServer::start_text(text, &Serving::default()).unwrap();
    let told = json(&probe(&server.url(), &["--json", "--seconds", "2"]));
    let streams: Vec<(&str, &str, bool)> = told["streams"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["media"].as_str().unwrap(), s["codec"].as_str().unwrap(), s["used"].as_bool().unwrap()))
        .collect();
    assert_eq!(streams, [("video", "H.264", true), ("audio", "PCMA", false)]);
    let says = findings(&told);
    assert!(says.contains("sends sound (PCMA)") && says.contains("frames a second"), "{says}");
}

#[test]
fn what_is_no_camera_is_named() {
    let clip = made("clip.mp4", Clip::H264);
    let server = served(&clip);
    refused(&probe(&format!("{}-2", server.url()), &["--seconds", "1"]), &["path in its address"]);

    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = web.local_addr().unwrap().port();
    let page = std::thread::spawn(move || {
        // One connection of the source, and one that asks who is there; both get a page.
        for stream in web.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = [0; 1024];
            let n = stream.read(&mut asked).unwrap_or(0);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            if String::from_utf8_lossy(&asked[..n]).contains("CSeq: 1\r\nUser-Agent: watchpost\r\n\r\n") {
                return;
            }
        }
    });
    refused(&probe(&format!("rtsp://127.0.0.1:{port}/x"), &["--seconds", "1"]), &["a web server answers on port"]);
    page.join().unwrap();
    refused(&probe(&format!("rtsp://127.0.0.1:{port}/x"), &[]), &["nobody listens on its port"]);
    refused(&probe("rtsp://no-such-camera.invalid/x", &[]), &["no address is known for the name"]);
    refused(&probe("http://192.0.2.7/", &[]), &["web page", "rtsp://HOST/PATH"]);
    refused(&probe("192.0.2.7", &[]), &["begins with rtsp://"]);
    refused(&probe("/nowhere/clip.mp4", &[]), &["/nowhere/clip.mp4", "No such file"]);
}

#[test]
fn a_codec_that_is_not_known_is_named() {
    let text = "videotestsrc is-live=true ! video/x-raw,width=160,height=90,framerate=5/1 ! vp8enc deadline=1 ! rtpvp8pay name=pay0";
    let server = RtspServer::start_text(text, &Serving::default()).unwrap();
    let output = probe(&server.url(), &["--seconds", "1"]);
    refused(&output, &["VP8", "set one of them in the camera", "video VP8, not used"]);
}

#[test]
fn files_are_described_by_their_streams_own_time() {
    for (name, muxer) in [("a.mp4", "mp4mux"), ("a.mkv", "matroskamux"), ("a.ts", "h264parse ! mpegtsmux")] {
        let clip = made(name, Clip { muxer, ..GOP_50 });
        let told = json(&probe(clip.clip.to_str().unwrap(), &["--json", "--seconds", "4"]));
        assert_eq!((told["live"].as_bool(), told["transport"].as_str()), (Some(false), None), "{name}");
        assert!((told["fps"]["measured"].as_f64().unwrap() - 25.0).abs() < 0.5, "{name}: {told}");
        assert_eq!(told["key_frames"]["longest_frames"], 50, "{name}: {told}");
        assert!(told["block"].as_str().unwrap().contains("# realtime = true"), "{name}");
    }
}

#[test]
fn a_file_that_is_to_be_turned_says_so() {
    let clip = made("a.mp4", Clip::H264);
    let mut bytes = std::fs::read(&clip.clip).unwrap();
    // The matrix of the track header (ISO/IEC 14496-12, 8.3.2), which is the unit matrix, made a quarter turn.
    let matrix = bytes.windows(4).position(|w| w == b"tkhd").unwrap() + 44;
    let quarter = [0, 0x0001_0000, 0, 0xffff_0000, 0, 0, 0, 0, 0x4000_0000_u32].map(u32::to_be_bytes);
    bytes[matrix..matrix + 36].copy_from_slice(quarter.as_flattened());
    std::fs::write(&clip.clip, bytes).unwrap();
    let told = json(&probe(clip.clip.to_str().unwrap(), &["--json", "--seconds", "1"]));
    assert_eq!((told["rotation"].as_u64(), told["mirrored"].as_bool()), (Some(90), Some(false)), "{told}");
    assert!(findings(&told).contains("turned by 90°"));
}

/// The camera that the configuration makes of a block.
fn configured(told: &serde_json::Value) -> config::Camera {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("watchpost.toml");
    std::fs::write(&file, format!("[box]\nsite = \"s\"\nid = \"b\"\n{}", told["block"].as_str().unwrap())).unwrap();
    config::load(&file).unwrap().cameras.remove(0)
}

#[test]
fn an_encrypted_camera_is_probed_with_its_ca_and_the_block_names_it() {
    let clip = made("clip.mp4", Clip::H264);
    let authority = Authority::new(&clip.dir.path().join("tls"));
    let files = authority.issue("cam");
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap();
    let identity = Some(Identity { certificate: read(&files.certificate), key: read(&files.private_key) });
    let server = RtspServer::start(&clip.clip, &Serving { looped: true, identity, ..Serving::default() }).unwrap();
    refused(&probe(&server.url(), &["--seconds", "1"]), &["signed by nobody that is trusted here"]);
    let told = json(&probe(&server.url(), &["--json", "--seconds", "1", "--ca", files.ca.to_str().unwrap()]));
    let camera = configured(&told);
    assert_eq!((camera.uri, camera.ca), (server.url(), Some(files.ca)));
    assert_eq!(camera.id.as_str(), "127-0-0-1");
}

#[test]
fn a_camera_that_offers_udp_alone_is_probed_over_udp() {
    let clip = made("clip.mp4", Clip::H264);
    let only = Transport::Udp;
    let server = RtspServer::start(&clip.clip, &Serving { looped: true, only, ..Serving::default() }).unwrap();
    for (options, transport) in [(vec![], Transport::Auto), (vec!["--transport", "udp"], Transport::Udp)] {
        let told = json(&probe(&server.url(), &[["--json", "--seconds", "1"].as_slice(), &options].concat()));
        assert_eq!((told["transport"].as_str(), configured(&told).transport), (Some("UDP"), transport));
        assert_eq!(told["streams"].as_array().unwrap().len(), 1, "noted once: {told}");
        assert!(findings(&told).contains("pictures come over UDP"));
    }
    refused(&probe(&server.url(), &["--transport", "tcp"]), &["not offer its pictures over TCP"]);
}

#[test]
fn patterns_and_folders_of_pictures_are_probed_by_their_frames() {
    let pattern = "test://ball?width=1280&height=720&fps=10";
    let pauses = Pauses::watch();
    let told = json(&probe(pattern, &["--json", "--seconds", "2"]));
    let stood_still = pauses.spoil("how fast pictures come");
    assert_eq!((told["width"].as_u64(), told["live"].as_bool()), (Some(1280), Some(true)));
    assert!(stood_still || (told["fps"]["measured"].as_f64().unwrap() - 10.0).abs() < 1.0, "{told}");
    let camera = configured(&told);
    assert_eq!((camera.uri.as_str(), camera.id.as_str()), (pattern, "ball"));

    let dir = tempfile::tempdir().unwrap();
    let street = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images/street.jpg");
    for n in 0..3 {
        std::fs::copy(&street, dir.path().join(format!("{n}.jpg"))).unwrap();
    }
    let told = json(&probe(dir.path().to_str().unwrap(), &["--json"]));
    assert_eq!((told["frames_decoded"].as_u64(), told["live"].as_bool()), (Some(3), Some(false)), "{told}");
    assert_eq!(configured(&told).uri, dir.path().to_str().unwrap());
    refused(&probe("v4l2:///dev/no-such-device", &[]), &["no-such-device"]);
}

#[test]
fn the_report_reads_as_an_installer_needs_it() {
    let clip = made("clip.mp4", GOP_50);
    let server = served(&clip);
    let output = probe(&server.url(), &["--seconds", "3"]);
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    let places: Vec<Option<usize>> = [
        &server.url(),
        "  streams     video H.264, used\n",
        "  transport   TCP\n",
        "  codec       H.264, profile",
        "  picture     1280×720, 8-bit 4:2:0, progressive, limited range\n",
        "  frames/s    25.00 declared, ",
        "  key frames  every 50 frames, ",
        "  B-frames    none\n",
        "  bit rate    ",
        "  first frame after ",
        "  decoding    ",
        "ok       ",
        "Paste into /etc/watchpost/watchpost.toml:\n\n[[camera]]\nid = \"127-0-0-1\"",
    ]
    .iter()
    .map(|line| text.find(line))
    .collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}\n{text}");
}

#[test]
fn ctrl_c_at_the_password_ends_probe_and_leaves_a_terminal_that_shows_what_is_typed() {
    let program = env!("CARGO_BIN_EXE_watchpost");
    let line = format!("'{program}' probe rtsp://127.0.0.1:1/x --user admin; echo ended with $?; stty -a");
    // `script` gives the program a terminal.
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped()).env("SHELL", "/bin/sh");
    let mut child = command.spawn().unwrap();
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut shown, mut byte) = (Vec::new(), [0]);
    while !shown.ends_with(b"Password of admin: ") {
        screen.read_exact(&mut byte).unwrap();
        shown.extend(byte);
    }
    keys.write_all(b"sec\x03").unwrap();
    screen.read_to_end(&mut shown).unwrap();
    child.wait().unwrap();
    let text = String::from_utf8_lossy(&shown);
    assert!(text.contains("ended with 1") && text.contains("the password could not be read"), "{text}");
    let modes: Vec<&str> = text.split([' ', ';', '\r', '\n']).collect();
    assert!(modes.contains(&"echo") && modes.contains(&"isig") && !text.contains("sec\r"), "{text}");
}

#[test]
fn key_frames_tell_what_they_were_quantised_by_in_both_codecs_and_all_containers() {
    let x264 = |q: u32| format!("x264enc pass=quant quantizer={q} speed-preset=ultrafast key-int-max=10 threads=1");
    let x265 = |q: u32| {
        format!(
            "x265enc qp={q} speed-preset=ultrafast key-int-max=10 log-level=none option-string=open-gop=0 ! h265parse"
        )
    };
    for (name, muxer) in [("clip.mp4", "mp4mux"), ("clip.mkv", "matroskamux"), ("clip.ts", "mpegtsmux")] {
        let told = |encoder: &str| {
            let made = made(name, Clip { encoder, muxer, frames: 25, pattern: "snow", ..Clip::H264 });
            let told = json(&probe(made.clip.to_str().unwrap(), &["--json"]));
            told["quantiser"].as_f64().unwrap_or_else(|| panic!("{name}: {told}"))
        };
        for coded in [&x264 as &dyn Fn(u32) -> String, &x265] {
            let (fine, coarse) = (told(&coded(22)), told(&coded(40)));
            // Key frames are coded a little finer than the others.
            assert!((17.0..=22.0).contains(&fine), "{name}: {fine} of {}", coded(22));
            assert!((coarse - fine - 18.0).abs() <= 1.0, "{name}: {coarse} and {fine} of {}", coded(40));
        }
    }
}
