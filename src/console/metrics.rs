//! `/metrics`: counters and gauges in the text format of Prometheus 0.0.4. Labels name cameras, lists, classes and severities:
//! no plate, no person, no case.

use std::fmt::Write as _;

use crate::centre::wire::HealthReport;
use crate::domain::{CameraId, Class, Severity};
use crate::health::{CameraCounters, CameraState, Health};

pub(super) const KIND: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Counter or gauge.
#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

/// The text under way.
struct Page(String);

/// One sample: labels, value.
type Sample = (Vec<(&'static str, String)>, f64);

impl Page {
    /// A family, whole; one without samples is left out.
    fn family(&mut self, kind: Kind, name: &str, help: &str, samples: impl IntoIterator<Item = Sample>) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        // A text takes whatever is written.
        let _ = writeln!(self.0, "# HELP watchpost_{name} {help}\n# TYPE watchpost_{name} {kind}");
        for (labels, value) in samples {
            let labels: Vec<String> = labels.iter().map(|(key, text)| format!("{key}=\"{}\"", escaped(text))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _ = writeln!(self.0, "watchpost_{name}{labels} {value}");
        }
    }

    fn one(&mut self, kind: Kind, name: &str, help: &str, value: f64) {
        self.family(kind, name, help, [(Vec::new(), value)]);
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[expect(clippy::cast_precision_loss, reason = "a float is what the format has; 2^53 of anything is never reached")]
fn float(n: u64) -> f64 {
    n as f64
}

fn seconds(ms: u64) -> f64 {
    float(ms) / 1_000.0
}

/// Everything.
pub(super) fn page(report: &HealthReport, waiting: [u64; 4], health: &Health) -> String {
    let mut page = Page(String::with_capacity(16 * 1024));
    let version = vec![("version", report.software.clone())];
    page.family(Kind::Gauge, "build_info", "Version of the software; always 1.", [(version, 1.0)]);
    page.one(Kind::Gauge, "uptime_seconds", "Seconds since the daemon's start.", float(report.uptime_s));
    cameras(&mut page, report, &health.cameras());
    delivery(&mut page, report, waiting, health);
    machine(&mut page, report, health);
    page.0
}

type Count = fn(&CameraCounters) -> u64;

/// What is counted of each camera.
const COUNTS: [(&str, &str, Count); 15] = [
    ("frames_received_total", "Frames that the decoder gave.", |c| c.received.get()),
    ("frames_analysed_total", "Frames that were analysed.", |c| c.analysed.get()),
    ("frames_unanalysed_total", "Frames on which a model failed.", |c| c.unanalysed.get()),
    ("frames_dropped_total", "Frames replaced by a newer one before they were analysed.", |c| c.dropped.get()),
    ("frames_thinned_total", "Frames left out to keep the configured fps.", |c| c.thinned.get()),
    ("frames_rested_total", "Frames in which nothing moved.", |c| c.rested.get()),
    ("pictures_skipped_total", "Coded pictures not decoded, since nothing moved.", |c| c.skipped.get()),
    ("pictures_damaged_total", "Coded pictures that were not whole.", |c| c.damaged.get()),
    ("pictures_unreadable_total", "Pictures of a folder that could not be read.", |c| c.unreadable.get()),
    ("opened_total", "Times the source was opened.", |c| c.opened.get()),
    ("failed_total", "Times the source failed or stalled.", |c| c.failed.get()),
    ("reads_total", "Sightings that ended with a read plate.", |c| c.reads.get()),
    ("unread_total", "Tracks that ended without a read.", |c| c.unread.get()),
    ("hits_total", "Hits of lists and rules.", |c| c.hits.get()),
    ("sightings_lost_total", "Sightings that could not be recorded.", |c| c.lost.get()),
];

fn cameras(page: &mut Page, report: &HealthReport, all: &[(CameraId, std::sync::Arc<CameraCounters>)]) {
    let of = |id: &CameraId| vec![("camera", id.to_string())];
    let up = all.iter().map(|(id, c)| (of(id), f64::from(u8::from(is_up(&c.state())))));
    page.family(Kind::Gauge, "camera_up", "1 while the camera gives frames.", up);
    let wanted = all.iter().map(|(id, c)| (of(id), f64::from(u8::from(is_wanted(&c.state())))));
    page.family(Kind::Gauge, "camera_wanted", "1 where the camera is to give frames.", wanted);
    let degraded =
        all.iter().map(|(id, c)| (of(id), f64::from(u8::from(matches!(c.state(), CameraState::Degraded(_))))));
    page.family(Kind::Gauge, "camera_degraded", "1 while it gives frames and something is wrong.", degraded);
    for (name, help, count) in COUNTS {
        let samples = all.iter().map(|(id, c)| (of(id), float(count(c))));
        page.family(Kind::Counter, &format!("camera_{name}"), help, samples);
    }
    let ages = report.cameras.iter().filter_map(|c| Some((of(&c.id), seconds(c.frame_age_ms?))));
    page.family(Kind::Gauge, "camera_frame_age_seconds", "Age of the newest frame.", ages);
    let kept = all.iter().map(|(id, c)| (of(id), float(c.ring_bytes.load(std::sync::atomic::Ordering::Relaxed))));
    page.family(Kind::Gauge, "camera_ring_bytes", "Bytes of coded pictures that are kept for clips.", kept);
    let passed = all.iter().flat_map(|(id, c)| {
        let classes = Class::OBJECTS.iter().zip(c.passed());
        classes
            .map(move |(class, n)| (vec![("camera", id.to_string()), ("class", class.as_str().to_owned())], float(n)))
    });
    page.family(Kind::Counter, "camera_passed_total", "Vehicles and persons that passed, by class.", passed);
}

fn is_up(state: &CameraState) -> bool {
    matches!(state, CameraState::Online | CameraState::Degraded(_))
}

/// Not: one that was switched off or paused, a file that has ended.
fn is_wanted(state: &CameraState) -> bool {
    !matches!(state, CameraState::Disabled | CameraState::Paused(_) | CameraState::Ended)
}

/// Whether a camera in this state gives frames, or gave all that it has.
pub(super) fn gives_frames(state: &CameraState) -> bool {
    is_up(state) || *state == CameraState::Ended
}

fn delivery(page: &mut Page, report: &HealthReport, waiting: [u64; 4], health: &Health) {
    let outbox = &report.outbox;
    page.one(Kind::Gauge, "outbox_entries", "Entries that wait for the centre.", float(outbox.entries));
    page.one(Kind::Gauge, "outbox_bytes", "Their bytes.", float(outbox.bytes));
    page.one(
        Kind::Gauge,
        "outbox_oldest_age_seconds",
        "Age of the oldest; 0 when it is empty.",
        seconds(outbox.oldest_ms),
    );
    let severity = |(severity, n): (&Severity, u64)| (vec![("severity", severity.to_string())], float(n));
    let alerts = Severity::ALL.iter().zip(waiting).map(severity);
    page.family(Kind::Gauge, "outbox_alerts", "Alerts that wait for the centre, by severity.", alerts);
    let connected = health.centre.connected.load(std::sync::atomic::Ordering::Relaxed);
    page.one(Kind::Gauge, "centre_connected", "1 while a session with the broker stands.", float(connected));
    let counts = [
        ("centre_connects_total", "Sessions with the broker.", report.delivery.connects),
        ("alerts_sent_total", "Alerts handed to the broker, resends included.", report.delivery.sent),
        ("alerts_resent_total", "Of these, sent again.", report.delivery.resent),
        ("alerts_acked_total", "Alerts that the centre acknowledged.", report.delivery.acked),
        ("messages_refused_total", "Acks and commands that were refused.", report.delivery.refused),
        ("alerts_shed_total", "Copies shed from a full outbox.", report.shed),
    ];
    for (name, help, n) in counts {
        page.one(Kind::Counter, name, help, float(n));
    }
    let lists = |n: fn(&crate::centre::wire::ListGauge) -> f64| {
        let of = move |list: &crate::centre::wire::ListGauge| (vec![("list", list.id.to_string())], n(list));
        report.lists.iter().map(of).collect::<Vec<_>>()
    };
    page.family(Kind::Gauge, "hotlist_entries", "Entries in force.", lists(|list| float(list.entries)));
    let stale = lists(|list| f64::from(u8::from(list.stale)));
    page.family(Kind::Gauge, "hotlist_stale", "1 while a list is past its freshness.", stale);
}

fn machine(page: &mut Page, report: &HealthReport, health: &Health) {
    let synced = f64::from(u8::from(report.clock == crate::domain::ClockState::Synced));
    let gauges = [
        ("clock_synced", "1 while the clock is synchronised.", synced),
        ("audit_records", "Records of the audit log.", float(report.audit.size)),
        ("disk_free_bytes", "Bytes of the store's file system that may still be used.", float(report.disk.free)),
        ("disk_size_bytes", "Its size.", float(report.disk.total)),
        ("memory_available_bytes", "Memory of the machine that is free.", float(report.memory.available)),
        ("memory_size_bytes", "All of it.", float(report.memory.total)),
        ("process_resident_bytes", "Memory of the daemon.", float(report.process.resident)),
        ("process_threads", "Its threads.", f64::from(report.process.threads)),
        ("process_open_files", "Its open files and sockets.", f64::from(report.process.files)),
    ];
    for (name, help, value) in gauges {
        page.one(Kind::Gauge, name, help, value);
    }
    let counts = [
        ("process_cpu_seconds_total", "Processor time of the daemon.", seconds(report.process.cpu_ms)),
        ("clips_total", "Clips of hits that were stored.", float(health.clips.get())),
        ("clips_missing_total", "Hits that wanted a clip and have none.", float(health.clips_missing.get())),
        ("pictures_lost_total", "Pictures that could not be kept.", float(report.pictures_lost)),
        ("second_looks_total", "Doubtful passes that were looked at again.", float(health.second_looks.get())),
        ("second_reads_total", "Of these, plates told otherwise since.", float(health.second_reads.get())),
        ("workers_lost_total", "Decode workers that were lost.", float(health.workers_lost.get())),
        ("store_faults_total", "Faults of the store that were answered.", float(report.store_faults)),
        ("threads_left_total", "Analysis threads that were left behind.", float(health.threads_left.get())),
    ];
    for (name, help, value) in counts {
        page.one(Kind::Counter, name, help, value);
    }
}
