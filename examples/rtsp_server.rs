//! Serves the video of an mp4 file over RTSP on loopback: `rtsp_server [--once] FILE PORT [MOUNT]`.
//!
//! Plays in a loop, or once with `--once`; port 0 takes a free one. Prints its address when it is ready and runs until
//! it is killed. For the demo and for trying the box without a camera.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use watchpost::camera::testkit::{RtspServer, Serving};

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let once = args.first().is_some_and(|a| a == "--once");
    if once {
        args.remove(0);
    }
    let (file, port, mount) = match args.as_slice() {
        [file, port] => (file, port, String::new()),
        [file, port, mount] => (file, port, mount.clone()),
        _ => return fail("usage: rtsp_server [--once] FILE PORT [MOUNT]", 2),
    };
    let Ok(port) = port.parse() else { return fail(&format!("{port:?} is no port number"), 2) };
    let serving = Serving { port, mount, looped: !once, ..Serving::default() };
    match RtspServer::start(Path::new(file), &serving) {
        Ok(server) => {
            let mut out = std::io::stdout();
            // Nobody may be listening; the server runs all the same.
            let _ = writeln!(out, "{}", server.url()).and_then(|()| out.flush());
            loop {
                std::thread::park();
            }
        }
        Err(error) => fail(&error.to_string(), 1),
    }
}

fn fail(message: &str, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "rtsp_server: {message}");
    ExitCode::from(code)
}
