//! What the pictures of plates themselves say: size, exposure, focus, shutter, angle, contrast, noise.

use super::super::limits;
use super::super::look::Observed;
use super::super::pass::{Outcome, Pass, real};
use super::super::spread::{Spread, middle};
use super::{Affected, Cause, Kind, above, of_all};

pub(super) fn causes(passes: &[&Pass], seen: &Observed) -> Vec<Cause> {
    let found = [small, dark, bright, focus, shutter, angle, contrast].into_iter().filter_map(|look| look(passes));
    let mut causes: Vec<Cause> = found.collect();
    causes.extend(noise(passes, seen));
    if passes.is_empty() {
        causes.extend(scene(seen));
    }
    causes
}

/// Values of the passes for which `excess` is something.
fn spread(
    passes: &[&Pass],
    excess: impl Fn(&Pass) -> Option<f32>,
    value: impl Fn(&Pass) -> Option<f32>,
) -> Option<Spread> {
    Spread::of(passes.iter().filter(|p| excess(p).is_some()).filter_map(|p| value(p)))
}

/// `38 (27 to 44)`, or `38` where all are alike.
pub(in super::super) fn spoken(spread: &Spread, digits: usize) -> String {
    let Spread { low, middle, high, .. } = spread;
    let [low, middle, high] = [low, middle, high].map(|v| format!("{v:.digits$}"));
    if low == high { middle } else { format!("{middle} ({low} to {high})") }
}

fn small(passes: &[&Pass]) -> Option<Cause> {
    // A plate that was read for sure was large enough.
    let excess = |p: &Pass| {
        let share = if p.outcome == Outcome::Read { limits::SMALL_READ } else { limits::SMALL };
        above(share * limits::WIDTH, p.width)
    };
    let affected = Affected::of(passes, excess)?;
    let widths = spread(passes, excess, |p| Some(p.width))?;
    let factor = (limits::WIDTH / widths.middle.max(1.0)).max(1.05);
    let what = format!(
        "plates are small: {} pixels wide at their largest in {}; the reader needs {:.0}",
        spoken(&widths, 0),
        of_all(affected.passes, passes.len()),
        limits::WIDTH
    );
    let todo = vec![
        format!(
            "zoom in by {factor:.1}, so that the picture shows {:.0} % of the width that it shows now, or bring the camera \
             nearer, to {:.0} % of the distance",
            100.0 / factor,
            100.0 / factor
        ),
        format!("or choose a stream of the camera with {factor:.1} times as many pixels across, if it has one"),
    ];
    Some(affected.cause(Kind::Small, what, todo))
}

fn dark(passes: &[&Pass]) -> Option<Cause> {
    let excess = |p: &Pass| p.light.and_then(|light| above(limits::GROUND, light.ground.max(1.0)));
    let affected = Affected::of(passes, excess)?;
    let ground = spread(passes, excess, |p| p.light.map(|l| l.ground))?;
    let contrast = spread(passes, excess, |p| p.light.map(|l| l.contrast))?;
    let what = format!(
        "plates are underexposed in {}: their bright parts reach {} of 255, letters and ground differ by {}",
        of_all(affected.passes, passes.len()),
        spoken(&ground, 0),
        spoken(&contrast, 0)
    );
    let mut affected = affected;
    // What is dark is noisy and poor in contrast as well, and often no plate is told: this is why.
    affected.weight *= 1.3;
    let todo = vec![
        "raise the exposure: open the iris, raise the gain or the camera's exposure compensation, and light the plates \
         (infrared at night) rather than open the shutter for longer, which smears them"
            .to_owned(),
        "measure exposure on the road (spot or region metering): a bright sky or headlights make the rest dark".to_owned(),
    ];
    Some(affected.cause(Kind::Dark, what, todo))
}

fn bright(passes: &[&Pass]) -> Option<Cause> {
    let excess = |p: &Pass| {
        let light = p.light?;
        let burnt = above(light.burnt, limits::BURNT)?;
        above(light.letters, limits::FADED).map(|faded| faded + burnt + 0.5)
    };
    let affected = Affected::of(passes, excess)?;
    let burnt = spread(passes, excess, |p| p.light.map(|l| l.burnt * 100.0))?;
    let contrast = spread(passes, excess, |p| p.light.map(|l| l.contrast))?;
    let what = format!(
        "plates are overexposed in {}: {} % of their area is burnt out, and letters differ from it by {} of 255",
        of_all(affected.passes, passes.len()),
        spoken(&burnt, 0),
        spoken(&contrast, 0)
    );
    let todo = vec![
        "lower the exposure: a shorter shutter first, then less gain or exposure compensation".to_owned(),
        "measure exposure on the road (spot or region metering); at night turn the infrared lamp down or aside: plates \
         throw it straight back"
            .to_owned(),
    ];
    Some(affected.cause(Kind::Bright, what, todo))
}

/// Pixels of the reader's input that edges take beyond a sharp picture's.
pub(in super::super) fn softness(p: &Pass) -> Option<f32> {
    Some((p.edge? - limits::SHARP).max(0.0) * limits::INPUT / p.width.max(8.0))
}

/// Pixels of the reader's input that the plate is smeared over.
pub(in super::super) fn smear(p: &Pass) -> Option<f32> {
    Some(p.smear? * limits::INPUT / p.width.max(8.0))
}

fn focus(passes: &[&Pass]) -> Option<Cause> {
    let excess = |p: &Pass| above(softness(p)?, limits::SOFT);
    let affected = Affected::of(passes, excess)?;
    let edges = spread(passes, excess, |p| p.edge)?;
    let widths = spread(passes, excess, |p| Some(p.width))?;
    let what = format!(
        "plates are out of focus in {}: an edge takes {} pixels in every direction, in a sharp picture {:.0}; that is much \
         of a letter on plates {} pixels wide",
        of_all(affected.passes, passes.len()),
        spoken(&edges, 1),
        limits::SHARP,
        spoken(&widths, 0)
    );
    let todo = vec![
        "focus on a plate at the place where plates are to be read, by day and by night (infrared light has its focus \
         elsewhere: use an IR-corrected lens), and fix autofocus there"
            .to_owned(),
        "clean the lens and the housing's window; look for drops, spiders' webs and foil".to_owned(),
    ];
    Some(affected.cause(Kind::Focus, what, todo))
}

fn shutter(passes: &[&Pass]) -> Option<Cause> {
    let excess = |p: &Pass| above(smear(p)?, limits::SMEAR);
    let affected = Affected::of(passes, excess)?;
    let smears = spread(passes, excess, |p| p.smear)?;
    let mut what = format!(
        "plates are smeared along their way in {}: by {} pixels",
        of_all(affected.passes, passes.len()),
        spoken(&smears, 1)
    );
    let speed = spread(passes, excess, |p| p.speed);
    let exposure = spread(passes, excess, |p| p.exposure.map(|t| t.as_secs_f32()));
    let allowed = spread(passes, excess, |p| Some(0.6 * limits::SMEAR * p.width / limits::INPUT));
    let mut todo = Vec::new();
    if let (Some(speed), Some(exposure), Some(allowed)) = (speed, exposure, allowed) {
        let (shortest, _) = limits::shutter(speed.high, allowed.middle);
        what = format!(
            "{what}; at {} pixels a second the shutter was open for about {}",
            spoken(&speed, 0),
            fraction(exposure.middle)
        );
        todo.push(format!(
            "set the shutter to 1/{shortest} s or shorter (a fixed shutter, no automatic one), and make up for the light by \
             gain, iris or a lamp"
        ));
    } else {
        todo.push("set a shorter, fixed shutter, and make up for the light by gain, iris or a lamp".to_owned());
    }
    todo.push("or aim the camera more along the road: what comes towards it moves less across the picture".to_owned());
    Some(affected.cause(Kind::Shutter, what, todo))
}

/// `1/60 s`.
pub(in super::super) fn fraction(seconds: f32) -> String {
    if seconds <= 0.0 {
        return "no time".to_owned();
    }
    let per = 1.0 / seconds;
    let round = if per >= 100.0 { (per / 10.0).round() * 10.0 } else { per.round().max(1.0) };
    format!("1/{round:.0} s")
}

fn angle(passes: &[&Pass]) -> Option<Cause> {
    let most = |p: &Pass| Some(p.roll?.abs().max(p.shear?.abs()));
    let excess = |p: &Pass| above(most(p)?, limits::LEAN).map(|e| 1.5 * e);
    let affected = Affected::of(passes, excess)?;
    let rolls = spread(passes, excess, |p| p.roll)?;
    let shears = spread(passes, excess, |p| p.shear)?;
    let by_roll = rolls.middle.abs() >= shears.middle.abs();
    let (name, spread) = if by_roll { ("turned", &rolls) } else { ("slanted", &shears) };
    let what = format!(
        "plates are {name} by {} degrees in {}; up to {:.0} do no harm",
        spoken(spread, 0),
        of_all(affected.passes, passes.len()),
        limits::LEAN
    );
    let todo = if by_roll {
        let way = if rolls.middle > 0.0 { "clockwise" } else { "anticlockwise" };
        vec![
            format!(
                "turn the camera about its own axis by {:.0} degrees {way}, as seen from behind it, until plates lie level",
                rolls.middle.abs()
            ),
            "or move it to where it looks along the road: from far aside plates come out turned".to_owned(),
        ]
    } else {
        vec![
            "move the camera nearer to the line in which vehicles come, and lower: at most 30 degrees aside and above"
                .to_owned(),
        ]
    };
    Some(affected.cause(Kind::Angle, what, todo))
}

fn contrast(passes: &[&Pass]) -> Option<Cause> {
    let excess = |p: &Pass| p.light.and_then(|light| above(limits::CONTRAST, light.contrast.max(1.0)));
    let affected = Affected::of(passes, excess)?;
    let contrast = spread(passes, excess, |p| p.light.map(|l| l.contrast))?;
    let what = format!(
        "letters hardly differ from the plate's ground in {}: by {} of 255, wanted {:.0}",
        of_all(affected.passes, passes.len()),
        spoken(&contrast, 0),
        limits::CONTRAST
    );
    let todo = vec![
        "look for what takes contrast away: haze, a dirty or misted window, the sun in the lens, wide dynamic range (WDR) \
         or back-light compensation"
            .to_owned(),
    ];
    Some(affected.cause(Kind::Contrast, what, todo))
}

fn noise(passes: &[&Pass], seen: &Observed) -> Option<Cause> {
    let noise = middle(seen.notes.scenes.iter().map(|s| s.noise))?;
    let excess = |p: &Pass| above(noise / p.light?.contrast.max(1.0), limits::NOISE);
    let affected = Affected::of(passes, excess)?;
    let contrast = spread(passes, excess, |p| p.light.map(|l| l.contrast))?;
    let what = format!(
        "the picture is noisy: {noise:.0} of 255, where letters differ from the ground by {}",
        spoken(&contrast, 0)
    );
    let todo = vec!["give it light (a lamp, infrared) so that the camera needs less gain; limit the gain".to_owned()];
    Some(affected.cause(Kind::Noise, what, todo))
}

/// What the whole picture says where no plate was found.
fn scene(seen: &Observed) -> Vec<Cause> {
    let scenes = &seen.notes.scenes;
    let of = |value: &dyn Fn(&crate::vision::quality::Scene) -> Option<f32>| middle(scenes.iter().filter_map(value));
    let whole = |kind, weight, what: String, todo: &str| Cause {
        kind,
        costs_reads: true,
        passes: 0,
        weight,
        what,
        todo: vec![todo.to_owned()],
    };
    let mut causes = Vec::new();
    let (bright, mean) = (of(&|s| Some(s.bright)), of(&|s| Some(s.mean)));
    if let (Some(bright), Some(mean)) = (bright, mean)
        && bright < limits::SCENE_DARK
    {
        let what = format!(
            "the whole picture is dark, and no plate was found: {mean:.0} of 255 on the mean, {bright:.0} at its brightest"
        );
        let todo = "take the lens cap or the cover off; raise the exposure (iris, gain, exposure compensation); light the road";
        causes.push(whole(Kind::Dark, 3.0, what, todo));
    }
    let burnt = of(&|s| Some(s.burnt)).filter(|burnt| *burnt > limits::SCENE_BURNT);
    if let Some(burnt) = burnt {
        let what = format!("{:.0} % of the picture is burnt out, and no plate was found", burnt * 100.0);
        causes.push(whole(Kind::Bright, 2.5, what, "lower the exposure: a shorter shutter first, then less gain"));
    }
    let edge = of(&|s| s.edge).filter(|edge| *edge > limits::SCENE_SOFT);
    if let Some(edge) = edge {
        let what = format!("the whole picture is out of focus, and no plate was found: edges take {edge:.1} pixels");
        let todo = "focus on the road at the place where plates are to be read; clean the lens and the window";
        causes.push(whole(Kind::Focus, 2.0 + real(seen.notes.vehicles.passed().count()).min(1.0), what, todo));
    }
    causes
}
