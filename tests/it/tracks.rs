//! The tracker on the detections of KITTI and of TUD-Campus, by the code path of `examples/follow`, where
//! `WATCHPOST_DATA` names a folder with them: floors a little below what is measured.
//!
//! MOTA, IDF1 and identity switches as in the literature, but for pairs that are chosen greedily and not at best, so that
//! the numbers here are never above the real ones. KITTI as its own kit does it: vans and cars that are cut off or hidden
//! count neither way, nor does what is small or lies where no labels were made.

#[path = "../../examples/follow/formats.rs"]
mod formats;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use watchpost::domain::{Class, Detection, Rect};

use self::formats::{Form, Row};

/// A labelled box: its identity, whether it counts, and whether it is no object but a region without labels.
#[derive(Debug, Clone)]
struct Label {
    id: i64,
    counts: bool,
    unlabelled: bool,
    rect: Rect,
}

#[derive(Debug, Default, Clone, Copy)]
struct Score {
    labels: usize,
    boxes: usize,
    matched: usize,
    identified: usize,
    switches: usize,
}

impl Score {
    fn mota(&self) -> f64 {
        let missed = self.labels - self.matched + self.boxes - self.matched + self.switches;
        1.0 - missed as f64 / self.labels as f64
    }

    fn idf1(&self) -> f64 {
        2.0 * self.identified as f64 / (self.labels + self.boxes) as f64
    }

    fn add(self, other: Self) -> Self {
        Self {
            labels: self.labels + other.labels,
            boxes: self.boxes + other.boxes,
            matched: self.matched + other.matched,
            identified: self.identified + other.identified,
            switches: self.switches + other.switches,
        }
    }
}

fn folder(name: &str) -> Option<PathBuf> {
    let Some(data) = std::env::var_os("WATCHPOST_DATA") else {
        eprintln!("skipped: WATCHPOST_DATA is not set");
        return None;
    };
    let folder = Path::new(&data).join("mot").join(name);
    if !folder.is_dir() {
        eprintln!("skipped: {} is not there", folder.display());
        return None;
    }
    Some(folder)
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Pairs (label, box) that overlap by half and more: those that were one before first, then the largest overlap.
fn pairs(labels: &[&Label], rows: &[&Row], before: &BTreeMap<i64, u32>) -> Vec<(usize, usize)> {
    let mut all = Vec::new();
    for (l, label) in labels.iter().enumerate() {
        for (r, row) in rows.iter().enumerate() {
            let iou = label.rect.iou(&row.rect);
            if iou >= 0.5 {
                all.push((before.get(&label.id) == Some(&row.track), iou, l, r));
            }
        }
    }
    all.sort_by(|a, b| b.0.cmp(&a.0).then(b.1.total_cmp(&a.1)));
    let (mut ls, mut rs) = (BTreeSet::new(), BTreeSet::new());
    all.retain(|(_, _, l, r)| !ls.contains(l) && !rs.contains(r) && ls.insert(*l) && rs.insert(*r));
    all.into_iter().map(|(_, _, l, r)| (l, r)).collect()
}

/// Rows that count: not those on labels that don't, nor unmatched ones that are small or where nothing is labelled.
fn counting<'a>(labels: &[Label], rows: &[&'a Row]) -> Vec<&'a Row> {
    let objects: Vec<&Label> = labels.iter().filter(|l| !l.unlabelled).collect();
    let matched = pairs(&objects, rows, &BTreeMap::new());
    let counts = |(r, row): &(usize, &&Row)| match matched.iter().find(|p| p.1 == *r) {
        Some((l, _)) => objects[*l].counts,
        None => row.rect.height() > 25.0 && !labels.iter().any(|l| l.unlabelled && covers(&l.rect, &row.rect)),
    };
    rows.iter().enumerate().filter(counts).map(|(_, row)| *row).collect()
}

/// Whether more than half of `rect` lies in `region`.
fn covers(region: &Rect, rect: &Rect) -> bool {
    let both =
        Rect::new(rect.x1.max(region.x1), rect.y1.max(region.y1), rect.x2.min(region.x2), rect.y2.min(region.y2));
    both.area() > 0.5 * rect.area()
}

fn score(labels: &[Vec<Label>], rows: &[Row]) -> Score {
    let mut score = Score::default();
    let (mut last, mut before) = (BTreeMap::new(), BTreeMap::new());
    let mut together: BTreeMap<(i64, u32), usize> = BTreeMap::new();
    for (n, labels) in labels.iter().enumerate() {
        let all: Vec<&Row> = rows.iter().filter(|r| r.frame == n).collect();
        let rows = counting(labels, &all);
        let labels: Vec<&Label> = labels.iter().filter(|l| l.counts).collect();
        (score.labels, score.boxes) = (score.labels + labels.len(), score.boxes + rows.len());
        for label in &labels {
            for row in rows.iter().filter(|r| r.rect.iou(&label.rect) >= 0.5) {
                *together.entry((label.id, row.track)).or_default() += 1;
            }
        }
        let mut now = BTreeMap::new();
        for (l, r) in pairs(&labels, &rows, &before) {
            let (id, track) = (labels[l].id, rows[r].track);
            score.matched += 1;
            score.switches += usize::from(last.insert(id, track).is_some_and(|before| before != track));
            now.insert(id, track);
        }
        before = now;
    }
    let mut together: Vec<_> = together.into_iter().collect();
    together.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let (mut ids, mut tracks) = (BTreeSet::new(), BTreeSet::new());
    for ((id, track), frames) in together {
        if !ids.contains(&id) && !tracks.contains(&track) {
            ids.insert(id);
            tracks.insert(track);
            score.identified += frames;
        }
    }
    score
}

/// KITTI's labels of cars by frame.
fn kitti(path: &Path, frames: usize) -> Vec<Vec<Label>> {
    let mut labels = vec![Vec::new(); frames];
    for line in text(path).lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |i: usize| fields[i].parse::<f32>().unwrap();
        let frame = fields[0].parse::<usize>().unwrap();
        let kind = fields[2];
        if !matches!(kind, "Car" | "Van" | "DontCare") || frame >= frames {
            continue;
        }
        labels[frame].push(Label {
            id: fields[1].parse().unwrap(),
            counts: kind == "Car" && number(3) <= 0.0 && number(4) <= 2.0,
            unlabelled: kind == "DontCare",
            rect: Rect::new(number(6), number(7), number(8), number(9)),
        });
    }
    labels
}

#[test]
fn cars_of_kitti_keep_their_numbers() {
    let Some(folder) = folder("kitti") else { return };
    let mut halves = [Score::default(); 2];
    for line in text(&folder.join("seqmap")).lines() {
        let (name, frames) = (&line[..4], line.rsplit(' ').next().unwrap().parse::<usize>().unwrap());
        let (form, found) = formats::read(&text(&folder.join(format!("det/{name}.csv")))).unwrap();
        assert_eq!(form, Form::Kitti);
        let mut rows = formats::follow(&found, 10.0, false);
        rows.retain(|r| r.class == Class::Car);
        let one = score(&kitti(&folder.join(format!("gt/{name}.txt")), frames), &rows);
        let half = &mut halves[usize::from(name > "0004")];
        *half = half.add(one);
    }
    let all = halves[0].add(halves[1]);
    let shown = halves.map(|h| (h.mota(), h.idf1(), h.switches));
    eprintln!("MOTA {:.3}, IDF1 {:.3}, {} switches; by half {shown:?}", all.mota(), all.idf1(), all.switches);
    assert!(all.idf1() >= 0.92 && all.mota() >= 0.90 && all.switches <= 60, "{shown:?}");
    assert!(halves.iter().all(|h| h.idf1() >= 0.915), "{shown:?}");
}

/// Each frame's detections and labels moved by up to `reach` pixels each way, half of it up and down.
fn shaken(found: &mut [Vec<Detection>], labels: &mut [Vec<Label>], reach: f32) {
    let mut state = 1_u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from(u16::try_from(state >> 16).unwrap()) / 32_768.0 - 1.0
    };
    for (n, labels) in labels.iter_mut().enumerate() {
        let (dx, dy) = (reach * random(), 0.5 * reach * random());
        let moved = |r: &Rect| Rect::new(r.x1 + dx, r.y1 + dy, r.x2 + dx, r.y2 + dy);
        for label in labels {
            label.rect = moved(&label.rect);
        }
        for detection in found.get_mut(n).into_iter().flatten() {
            detection.rect = moved(&detection.rect);
        }
    }
}

#[test]
fn cars_of_kitti_keep_their_numbers_while_the_picture_jumps() {
    let Some(folder) = folder("kitti") else { return };
    for (reach, floor) in [(5.0, 0.90), (30.0, 0.75)] {
        let mut all = Score::default();
        for (name, frames) in [("0000", 154), ("0001", 447), ("0002", 233), ("0003", 144), ("0004", 314)] {
            let (_, mut found) = formats::read(&text(&folder.join(format!("det/{name}.csv")))).unwrap();
            let mut labels = kitti(&folder.join(format!("gt/{name}.txt")), frames);
            shaken(&mut found, &mut labels, reach);
            let mut rows = formats::follow(&found, 10.0, false);
            rows.retain(|r| r.class == Class::Car);
            all = all.add(score(&labels, &rows));
        }
        eprintln!("shaken by {reach}: MOTA {:.3}, IDF1 {:.3}, {} switches", all.mota(), all.idf1(), all.switches);
        assert!(all.idf1() >= floor, "{reach}: {} {all:?}", all.idf1());
    }
}

#[test]
fn people_of_tud_campus_keep_their_numbers() {
    let Some(folder) = folder("tud/TUD-Campus") else { return };
    let (form, found) = formats::read(&text(&folder.join("det.txt"))).unwrap();
    assert_eq!(form, Form::Mot);
    let rows = formats::follow(&found, 25.0, false);
    let mut labels = vec![Vec::new(); found.len()];
    for line in text(&folder.join("gt.txt")).lines() {
        let v: Vec<f32> = line.split(',').map(|v| v.parse().unwrap()).collect();
        let rect = Rect::new(v[2], v[3], v[2] + v[4], v[3] + v[5]);
        let whole = |i: usize| line.split(',').nth(i).unwrap().parse::<usize>().unwrap();
        labels[whole(0) - 1].push(Label { id: whole(1).try_into().unwrap(), counts: true, unlabelled: false, rect });
    }
    // Its labels leave nothing out: small boxes count as well, but there are none.
    assert!(rows.iter().all(|r| r.rect.height() > 25.0));
    let score = score(&labels, &rows);
    assert!(score.idf1() >= 0.69 && score.mota() >= 0.5, "{} {} {score:?}", score.idf1(), score.mota());
}

#[test]
fn tracks_are_written_as_the_kits_read_them() {
    let text = "0,10,20,50,60,0.9,2\n1,11,20,51,60,0.9,2\n1,300,20,330,90,0.8,0\n1,500,20,530,90,0.8,58\n";
    let (form, found) = formats::read(text).unwrap();
    assert_eq!((form, found.len(), found[1].len()), (Form::Kitti, 2, 2));
    let row = |n: usize, x: &str| {
        format!(
            "{n} 1 Car -1 -1 -10 {x}.00 20.00 {}.00 60.00 -1 -1 -1 -1000 -1000 -1000 -10 0.9000\n",
            if n == 0 { 50 } else { 51 }
        )
    };
    let online = formats::follow(&found, 10.0, false);
    assert_eq!(formats::write(form, &online), row(1, "11"));
    let whole = formats::follow(&found, 10.0, true);
    assert_eq!(formats::write(form, &whole), row(0, "10") + &row(1, "11"));
    assert_eq!(formats::write(Form::Mot, &online), "2,1,11.00,20.00,40.00,40.00,1,-1,-1,-1\n");

    let (form, found) = formats::read("1,-1,5,6,20,40,0.9,-1,-1,-1\n3,-1,5,6,20,40,0.9,-1,-1,-1\n").unwrap();
    assert_eq!((form, found.iter().map(Vec::len).collect::<Vec<_>>()), (Form::Mot, vec![1, 0, 1]));
    for bad in ["0,1,2,x,4,0.9,2", "0,1,2,3", "0,-1,5,6,20,40,0.9,-1,-1,-1", "0,1,2,3,4,0.9,2\n99999999,1,2,3,4,0.9,2"]
    {
        assert!(formats::read(bad).is_err_and(|e| e.starts_with("line ")), "{bad}");
    }
}
