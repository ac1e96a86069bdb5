//! What is wrong with a manifest, all at once.

use super::{Family, Head, Manifest};
use crate::domain::{Alert, Class};

/// Most heads beside the first.
const MAX_HEADS: usize = 4;

/// Longest name of a region: it travels in alerts.
const MAX_REGION_LEN: usize = Alert::MAX_REGION;

impl Manifest {
    /// Every fault, by key.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut check = |good: bool, fault: String| {
            if !good {
                faults.push(fault);
            }
        };
        check(!self.name.trim().is_empty(), "name: is empty".into());
        check(is_plain(&self.file), format!("file = {:?}: must name a file in the manifest's own folder", self.file));
        check(is_digest(&self.sha256), format!("sha256 = {:?}: must be 64 hexadecimal digits", self.sha256));
        let licensed = !self.licence.trim().is_empty();
        check(licensed, "licence: is empty; say under which terms the weights may be used".into());
        self.input.faults(self.family.unit(), &mut check);
        let parts = self.input.unit.is_none() || self.family == Family::Centre;
        check(parts, format!("input.unit: only models of family centre look at parts, not {}", self.family.as_str()));
        let folds = self.input.fold == [1, 1] || self.family.finds();
        check(folds, format!("input.fold: only detectors take folded pixels, not family {}", self.family.as_str()));
        let second = self.input.size_tensor.is_none() || self.output.labels.is_some();
        check(second, "input.size_tensor: only rt-detr with output.labels has a second input".into());
        self.output_faults(&mut check);
        self.decode.faults(self.family, &mut check);
        let shares = &self.thresholds;
        for (key, value) in
            [("score", shares.score), ("nms", shares.nms), ("read", shares.read), ("plate", shares.plate)]
        {
            check((0.0..=1.0).contains(&value), format!("thresholds.{key} = {value}: must be within 0 and 1"));
        }
        let margin = self.margin.iter().all(|m| (0.0..=1.0).contains(m));
        check(margin, format!("margin = {:?}: both must be within 0 and 1", self.margin));
        if self.family.reads() {
            self.alphabet_faults(&mut check);
        } else if self.family.finds() {
            class_faults("classes", &self.classes, &mut check);
            let one = self.family != Family::Db || self.classes.len() < 2;
            check(one, format!("classes = {:?}: a model of family db finds one", self.classes));
        }
        self.head_faults(&mut check);
        self.region_faults(&mut check);
        faults
    }

    /// Names of outputs that the family does not have.
    fn output_faults(&self, check: &mut impl FnMut(bool, String)) {
        let names = &self.output;
        let given = [
            ("heat", &names.heat),
            ("box", &names.boxes),
            ("corners", &names.corners),
            ("grid", &names.grid),
            ("scores", &names.scores),
            ("labels", &names.labels),
            ("map", &names.map),
            ("probs", &names.probs),
            ("region", &names.region),
            ("lines", &names.lines),
        ];
        let has = self.family.outputs();
        for (key, name) in given {
            let good = name.is_none() || has.contains(&key);
            check(good, format!("output.{key}: family {} has {}", self.family.as_str(), has.join(", ")));
        }
        let both = names.grid.is_none() || names.labels.is_none() && names.scores.is_none() && names.boxes.is_none();
        check(both, "output.grid: stands for box and scores, give the one or the others".into());
    }

    fn region_faults(&self, check: &mut impl FnMut(bool, String)) {
        let (names, reads) = (&self.regions, self.family.reads());
        let none = names.is_empty();
        check(none || reads, format!("regions: a model of family {} tells of none", self.family.as_str()));
        check(!none || self.output.region.is_none(), "output.region: name its classes by regions".into());
        check(none || names.len() > 1, format!("regions = {names:?}: two or more must be told apart"));
        let plain = |name: &String| {
            let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            (1..=MAX_REGION_LEN).contains(&name.len()) && name.bytes().all(known)
        };
        for name in names.iter().filter(|name| !plain(name)) {
            check(false, format!("regions: {name:?} is no name, wanted 1 to {MAX_REGION_LEN} of a-z, 0-9 and -"));
        }
        let once: std::collections::BTreeSet<&String> = names.iter().collect();
        check(once.len() == names.len(), format!("regions = {names:?}: must name each region once"));
    }

    fn head_faults(&self, check: &mut impl FnMut(bool, String)) {
        let centre = self.family == Family::Centre || self.heads.is_empty();
        check(centre, format!("head: a model of family {} has no more heads", self.family.as_str()));
        let count = self.heads.len();
        check(count <= MAX_HEADS, format!("head: {count} more heads, at most {MAX_HEADS} are taken"));
        let mut taken = self.known_classes();
        for (at, head) in (1..).zip(&self.heads) {
            class_faults(&format!("head[{at}].classes"), &head.classes, check);
            let classes = head.known_classes();
            let twice = classes.iter().find(|c| c.is_some() && taken.contains(c)).copied().flatten();
            if let Some(class) = twice {
                check(false, format!("head[{at}].classes: another head tells of {class} already"));
            }
            taken.extend(classes);
            for (key, value) in [("score", head.score), ("nms", head.nms)] {
                check((0.0..=1.0).contains(&value), format!("head[{at}].{key} = {value}: must be within 0 and 1"));
            }
        }
    }
}

impl Head {
    /// The classes of this program behind the head's scores; `None` for those that are not reported.
    #[must_use]
    pub fn known_classes(&self) -> Vec<Option<Class>> {
        known(&self.classes)
    }
}

pub(super) fn known(classes: &[String]) -> Vec<Option<Class>> {
    classes.iter().map(|name| class_of(name)).collect()
}

fn class_faults(key: &str, classes: &[String], check: &mut impl FnMut(bool, String)) {
    check(!classes.is_empty(), format!("{key}: a detector must name its classes"));
    let some = classes.is_empty() || known(classes).iter().any(Option::is_some);
    check(some, format!("{key} = {classes:?}: none is plate, car, bus, truck, motorbike or person"));
}

/// The class that a name means, in our words and in those of COCO.
fn class_of(name: &str) -> Option<Class> {
    Some(match name {
        "plate" | "license-plate" | "licence-plate" => Class::Plate,
        "car" | "van" => Class::Car,
        "bus" => Class::Bus,
        "truck" | "lorry" => Class::Truck,
        "motorbike" | "motorcycle" => Class::Motorbike,
        "person" => Class::Person,
        _ => return None,
    })
}

/// A file's name without a way to another folder.
pub(super) fn is_plain(file: &str) -> bool {
    !file.is_empty() && !file.contains(['/', '\\']) && file != ".."
}

/// 64 hexadecimal digits.
pub(super) fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}
