//! The embedded texts of decoders of the hardware: `<family>-<codec>-<suffix of the API>` (`pipelines/README.md` has the table).
//!
//! None of them has been tried on the hardware that it is for.

/// Name and text of each.
pub const TEXTS: &[(&str, &str)] = &[
    ("rtsp-h264-va", include_str!("../../../pipelines/rtsp-h264-va.txt")),
    ("rtsp-h265-va", include_str!("../../../pipelines/rtsp-h265-va.txt")),
    ("rtsp-mjpeg-va", include_str!("../../../pipelines/rtsp-mjpeg-va.txt")),
    ("file-h264-va", include_str!("../../../pipelines/file-h264-va.txt")),
    ("file-h265-va", include_str!("../../../pipelines/file-h265-va.txt")),
    ("file-mjpeg-va", include_str!("../../../pipelines/file-mjpeg-va.txt")),
    ("v4l2-mjpeg-va", include_str!("../../../pipelines/v4l2-mjpeg-va.txt")),
    ("rtsp-h264-v4l2", include_str!("../../../pipelines/rtsp-h264-v4l2.txt")),
    ("rtsp-h265-v4l2", include_str!("../../../pipelines/rtsp-h265-v4l2.txt")),
    ("file-h264-v4l2", include_str!("../../../pipelines/file-h264-v4l2.txt")),
    ("file-h265-v4l2", include_str!("../../../pipelines/file-h265-v4l2.txt")),
    ("rtsp-h264-v4l2sl", include_str!("../../../pipelines/rtsp-h264-v4l2sl.txt")),
    ("rtsp-h265-v4l2sl", include_str!("../../../pipelines/rtsp-h265-v4l2sl.txt")),
    ("file-h264-v4l2sl", include_str!("../../../pipelines/file-h264-v4l2sl.txt")),
    ("file-h265-v4l2sl", include_str!("../../../pipelines/file-h265-v4l2sl.txt")),
    ("rtsp-h264-nv", include_str!("../../../pipelines/rtsp-h264-nv.txt")),
    ("rtsp-h265-nv", include_str!("../../../pipelines/rtsp-h265-nv.txt")),
    ("file-h264-nv", include_str!("../../../pipelines/file-h264-nv.txt")),
    ("file-h265-nv", include_str!("../../../pipelines/file-h265-nv.txt")),
    ("rtsp-h264-qsv", include_str!("../../../pipelines/rtsp-h264-qsv.txt")),
    ("rtsp-h265-qsv", include_str!("../../../pipelines/rtsp-h265-qsv.txt")),
    ("file-h264-qsv", include_str!("../../../pipelines/file-h264-qsv.txt")),
    ("file-h265-qsv", include_str!("../../../pipelines/file-h265-qsv.txt")),
    ("rtsp-h264-mpp", include_str!("../../../pipelines/rtsp-h264-mpp.txt")),
    ("rtsp-h265-mpp", include_str!("../../../pipelines/rtsp-h265-mpp.txt")),
    ("file-h264-mpp", include_str!("../../../pipelines/file-h264-mpp.txt")),
    ("file-h265-mpp", include_str!("../../../pipelines/file-h265-mpp.txt")),
    #[cfg(feature = "testkit")]
    ("file-h264-broken", BROKEN_FILE),
    #[cfg(feature = "testkit")]
    ("rtsp-h264-broken", BROKEN_RTSP),
];

/// For tests: software behind an element that fails on the first picture, as a driver may. It lets later ones pass, which a
/// decoder pushes where it had them already: nothing comes through the valve.
#[cfg(feature = "testkit")]
const BROKEN_FILE: &str =
    "h264parse name=coded ! avdec_h264 max-threads=1 ! identity error-after=1 ! valve drop=true ! appsink name=frames";
#[cfg(feature = "testkit")]
const BROKEN_RTSP: &str = "rtph264depay ! h264parse name=coded ! avdec_h264 max-threads=1 ! identity error-after=1 \
     ! valve drop=true ! appsink name=frames";
