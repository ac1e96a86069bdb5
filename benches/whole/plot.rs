//! Draws the curves as SVG: one picture for CPU, one for memory, a line a kind of camera.
//!
//! Both axes are linear and begin at 0, so that a straight line is what it looks like. Colours are those of Okabe and Ito, which people
//! with any colour vision tell apart; the ground is white, since pages may be dark.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::rows::{Figures, Key};

/// Size of the picture, and the space around the field of the lines: left, top, right, bottom.
const SIZE: (f64, f64) = (760.0, 420.0);
const AROUND: [f64; 4] = [70.0, 56.0, 150.0, 54.0];
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

/// Points of each kind of camera.
type Lines = BTreeMap<String, Vec<(f64, f64)>>;

/// Writes `bench-cpu.svg` and `bench-memory.svg` into the folder.
pub fn draw(rows: &BTreeMap<Key, Figures>, folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let pictures = [
        ("bench-cpu.svg", "CPU of the whole daemon", "processor cores busy", "cores"),
        ("bench-memory.svg", "Memory of the whole daemon", "PSS of all processes, MiB", "pss_mib"),
    ];
    for (file, title, axis, figure) in pictures {
        let mut lines = Lines::new();
        for ((what, clip, cameras), figures) in rows {
            if what == "curve"
                && let Some(value) = figures.get(figure)
            {
                lines.entry(clip.clone()).or_default().push((*cameras as f64, *value));
            }
        }
        std::fs::write(folder.join(file), svg(title, axis, &lines)).unwrap();
        println!("docs/images/{file}");
    }
}

/// A scale from 0 on: its end and the distance of its marks, about five of them, in round numbers.
fn scale(most: f64) -> (f64, f64) {
    let rough = (most / 5.0).max(1e-3);
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|by| by * power).into_iter().find(|step| *step >= rough).unwrap_or(rough);
    ((most / step).ceil() * step, step)
}

fn number(v: f64) -> String {
    let text = format!("{v:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn svg(title: &str, axis: &str, lines: &Lines) -> String {
    let ((width, height), [left, top, right, bottom]) = (SIZE, AROUND);
    let all = || lines.values().flatten();
    let (high, step) = scale(all().map(|p| p.1).fold(0.0, f64::max));
    let wide = 64.0;
    let x = |v: f64| left + v / wide * (width - left - right);
    let y = |v: f64| height - bottom - v / high * (height - top - bottom);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\" \
         font-size=\"13\" fill=\"#333\">\n<rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"#fff\"/>\n\
         <text x=\"{left}\" y=\"26\" font-size=\"17\" font-weight=\"bold\">{title}</text>\n\
         <text x=\"{left}\" y=\"44\" fill=\"#777\">{axis}</text>\n"
    );
    let mut mark = 0.0;
    while mark <= high + step / 2.0 {
        let at = y(mark);
        let colour = if mark > 0.0 { "#e6e6e6" } else { "#999" };
        writeln!(out, "<line x1=\"{left}\" y1=\"{at:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\" stroke=\"{colour}\"/>", x(wide))
            .unwrap();
        writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 8.0,
            at + 4.5,
            number(mark)
        )
        .unwrap();
        mark += step;
    }
    for mark in [1.0, 8.0, 16.0, 24.0, 32.0, 40.0, 48.0, 56.0, 64.0] {
        let (at, base) = (x(mark), height - bottom);
        writeln!(out, "<line x1=\"{at:.1}\" y1=\"{base}\" x2=\"{at:.1}\" y2=\"{}\" stroke=\"#999\"/>", base + 5.0)
            .unwrap();
        writeln!(out, "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{mark}</text>", base + 20.0).unwrap();
    }
    writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#777\">cameras</text>",
        x(wide / 2.0),
        height - 12.0
    )
    .unwrap();
    for ((name, points), colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let path: Vec<String> = points.iter().map(|(cameras, v)| format!("{:.1},{:.1}", x(*cameras), y(*v))).collect();
        writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.5\" stroke-linejoin=\"round\"/>",
            path.join(" ")
        )
        .unwrap();
        for (cameras, v) in points {
            writeln!(
                out,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{colour}\" stroke=\"#fff\" stroke-width=\"1.5\"/>",
                x(*cameras),
                y(*v)
            )
            .unwrap();
        }
        if let Some((cameras, v)) = points.last() {
            // Beside the end where there is room, else above it.
            let (right, up) = if *cameras < wide { (-4.0, -12.0) } else { (10.0, 4.5) };
            let (at, up) = (x(*cameras) + right, y(*v) + up);
            let halo = "paint-order=\"stroke\" stroke=\"#fff\" stroke-width=\"4\"";
            writeln!(
                out,
                "<text x=\"{at:.1}\" y=\"{up:.1}\" fill=\"{colour}\" font-weight=\"bold\" {halo}>{name}</text>"
            )
            .unwrap();
        }
    }
    out + "</svg>\n"
}
