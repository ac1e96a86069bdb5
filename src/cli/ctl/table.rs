//! The table that operators watch: one line an alert, columns that stay where they are.

use std::collections::BTreeMap;

use crate::centre::topics::Address;
use crate::domain::alert::VehicleMark;
use crate::domain::{Alert, BoxId, CameraId, Colour, RuleId, Severity, TimeMs};

/// Names of cameras, learnt from their status.
pub(super) type CameraNames = BTreeMap<(BoxId, u16), CameraId>;

/// Names of rules, learnt from the status of their cameras.
pub(super) type RuleNames = BTreeMap<(BoxId, u16), RuleId>;

/// Columns as wide as the fleet's box ids need.
#[derive(Debug)]
pub(super) struct Table {
    box_width: usize,
}

impl Table {
    /// For these boxes.
    pub(super) fn new<'a>(boxes: impl Iterator<Item = &'a BoxId>) -> Self {
        Self { box_width: boxes.map(|id| id.as_str().len()).max().unwrap_or(0).max("BOX".len()) }
    }

    /// Titles over the columns.
    pub(super) fn head(&self) -> String {
        self.row(["TIME (UTC)", "BOX", "CAMERA", "STAGE", "SEVERITY", "PLATE", "CONF", "LATENCY", "VEHICLE", "MATCH"])
    }

    /// One line for `alert`, without colour.
    pub(super) fn line(
        &self,
        from: &Address,
        alert: &Alert,
        at: TimeMs,
        (names, rules): (&CameraNames, &RuleNames),
    ) -> String {
        let camera = match names.get(&(from.box_id.clone(), alert.camera)) {
            Some(name) => format!("{} {name}", alert.camera),
            None => alert.camera.to_string(),
        };
        let confidence = alert.confidence.map_or_else(|| "–".to_owned(), per_mille);
        self.row([
            &clock_time(alert.time),
            from.box_id.as_str(),
            &camera,
            alert.stage.as_str(),
            alert.severity.as_str(),
            alert.plate.as_ref().map_or("–", |p| p.as_str()),
            &confidence,
            &duration(at.since(alert.time)),
            &alert.vehicle.as_ref().map_or_else(|| "–".to_owned(), vehicle),
            &cause(alert, alert.rule.and_then(|rule| rules.get(&(from.box_id.clone(), rule)))),
        ])
    }

    fn row(&self, columns: [&str; 10]) -> String {
        let [time, box_id, camera, stage, severity, plate, confidence, latency, vehicle, cause] = columns;
        let width = self.box_width;
        format!(
            "{time:<12}  {box_id:<width$}  {camera:<16}  {stage:<6}  {severity:<8}  {plate:<10}  {confidence:>7}  \
             {latency:>7}  {vehicle:<12}  {cause}"
        )
        .trim_end()
        .to_owned()
    }
}

/// The SGR sequence in which a severity is shown on a terminal.
pub(super) fn colour(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "",
        Severity::Minor => "\x1b[36m",
        Severity::Serious => "\x1b[33m",
        Severity::Critical => "\x1b[1;31m",
    }
}

/// A time span in at most 7 characters.
pub(super) fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..600_000 => format!("{} s", ms / 1_000),
        600_000..3_600_000 => format!("{} min", ms / 60_000),
        3_600_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} d", ms / 86_400_000),
    }
}

fn clock_time(time: TimeMs) -> String {
    let ms = time.0 % 86_400_000;
    format!("{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60, ms % 1_000)
}

fn per_mille(value: u16) -> String {
    format!("{}.{} %", value / 10, value % 10)
}

/// `red car`, or `car` where the colour is not known.
fn vehicle(mark: &VehicleMark) -> String {
    let colour = mark.colour.and_then(Colour::of_number);
    colour.map_or_else(|| mark.class.to_string(), |colour| format!("{colour} {}", mark.class))
}

fn cause(alert: &Alert, name: Option<&RuleId>) -> String {
    match (&alert.matched, alert.rule) {
        (Some(m), _) => {
            let stale = if alert.stale == Some(true) { " (past its freshness)" } else { "" };
            format!("possible match: {}, list {}{stale} entry {}", m.how.as_str(), m.list, m.entry)
        }
        (None, Some(rule)) => name.map_or_else(|| format!("rule {rule}"), |name| format!("rule {name} ({rule})")),
        (None, None) if alert.is_withdrawn() => "withdrawn: read again, and no match".to_owned(),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::centre::topics::Kind;
    use crate::domain::alert::ALERT_VERSION;
    use crate::domain::{Class, ClockState, Epoch, EventId, How, MatchMark, PlateText, SiteId, Stage};

    fn alert() -> Alert {
        Alert {
            version: ALERT_VERSION,
            id: EventId::from_parts(1, [0; 10]),
            epoch: Epoch([1; 8]),
            seq: 1,
            stage: Stage::New,
            severity: Severity::Serious,
            time: TimeMs(1_767_225_600_123),
            clock: ClockState::Synced,
            camera: 3,
            track: 9,
            plate: PlateText::from_raw("ABC1Z34"),
            confidence: Some(973),
            candidates: None,
            region: None,
            matched: Some(MatchMark { list: 2, serial: 1, entry: 17, how: How::Confusable, expiry_day: None }),
            rule: None,
            vehicle: Some(VehicleMark { class: Class::Truck, colour: Some(1), permille: 871 }),
            direction: None,
            rect: None,
            frames: None,
            crop: None,
            state: None,
            stale: None,
        }
    }

    #[test]
    fn a_line_stands_under_its_titles_and_says_possible_match() {
        let box_id = BoxId::new("box-1").unwrap();
        let from =
            Address { site: SiteId::new("s").unwrap(), box_id: box_id.clone(), kind: Kind::Alert(Severity::Serious) };
        let names = BTreeMap::from([((box_id, 3), CameraId::new("gate").unwrap())]);
        let rules = RuleNames::new();
        let table = Table::new(names.keys().map(|(id, _)| id));
        let (head, line) = (table.head(), table.line(&from, &alert(), TimeMs(1_767_225_600_208), (&names, &rules)));
        assert_eq!(
            line,
            "00:00:00.123  box-1  3 gate            new     serious   ABC1Z34      97.3 %    85 ms  \
             silver truck  possible match: confusable, list 2 entry 17"
        );
        for (title, text) in
            [("CAMERA", "3 gate"), ("PLATE", "ABC1Z34"), ("VEHICLE", "silver truck"), ("MATCH", "possible")]
        {
            assert_eq!(head.find(title), line.find(text), "{title}");
        }
    }

    #[test]
    fn an_alert_that_is_taken_back_says_so() {
        let withdrawn = Alert { stage: Stage::Update, matched: None, ..alert() };
        assert!(cause(&withdrawn, None).starts_with("withdrawn"));
    }

    #[test]
    fn a_rule_is_named_once_its_camera_has_told_its_name() {
        let alert = Alert { matched: None, rule: Some(7), ..alert() };
        let name = RuleId::new("wrong-way").unwrap();
        assert_eq!(
            (cause(&alert, None).as_str(), cause(&alert, Some(&name)).as_str()),
            ("rule 7", "rule wrong-way (7)")
        );
    }

    #[test]
    fn time_spans_are_short() {
        let spans = [999, 1_000, 59_999, 86_400, 600_000, 7_200_000, 200_000_000].map(duration);
        assert_eq!(spans, ["999 ms", "1.0 s", "59.9 s", "86 s", "10 min", "2 h", "2 d"]);
    }
}
