//! Which vehicle carries which plate in one frame.
//!
//! A plate belongs to the smallest vehicle that its middle lies in, rather in the lower half and towards the middle than
//! near the roof or a corner; a vehicle has one plate and a plate one vehicle. Where that is in doubt there is no vehicle:
//! a wrong one would be told to people. Pure geometry: called by the analyser for the frames that vehicles are looked for
//! in, which lets them vote, and by `watchpost read` for single pictures.

use crate::domain::{Detection, Rect};

/// A box may end this share of its width and height short of the vehicle.
const SLACK: f32 = 0.04;

/// Largest share of a vehicle's width and height that its plate has.
const WIDEST: f32 = 0.7;
const HIGHEST: f32 = 0.5;

/// How much a plate above the vehicle's middle costs, per height; one beside the middle, per width; and a larger vehicle,
/// per natural logarithm of its area.
const ABOVE: f32 = 3.0;
const BESIDE: f32 = 0.4;
const LARGER: f32 = 0.2;

/// What a surer detection of a plate is worth.
const SURER: f32 = 0.5;

/// What is worth that the same two belonged together before.
const BEFORE: f32 = 0.3;

/// How much worse than the best vehicle another may fit that a plate still takes when the best is taken: beyond it, the
/// plate's own vehicle was not found.
const SECOND: f32 = 0.35;

/// Which of `vehicles` carries each of `plates`, by index; `before` says whether a plate and a vehicle (by index) belonged
/// together until now. What is not of a vehicle's class is passed over.
#[must_use]
pub fn carriers(
    plates: &[&Detection],
    vehicles: &[&Detection],
    before: impl Fn(usize, usize) -> bool,
) -> Vec<Option<usize>> {
    let mut pairs: Vec<(f32, usize, usize)> = Vec::new();
    for (p, plate) in plates.iter().enumerate() {
        for (v, vehicle) in vehicles.iter().enumerate().filter(|(_, v)| v.class.is_vehicle()) {
            let Some(cost) = cost(plate, &vehicle.rect) else { continue };
            pairs.push((if before(p, v) { cost - BEFORE } else { cost }, p, v));
        }
    }
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut least: Vec<Option<f32>> = vec![None; plates.len()];
    let mut carrier: Vec<Option<usize>> = vec![None; plates.len()];
    for (cost, p, v) in pairs {
        let taken = carrier.contains(&Some(v));
        let (Some(least), Some(own)) = (least.get_mut(p), carrier.get_mut(p)) else { continue };
        let best = *least.get_or_insert(cost);
        if !taken && cost <= best + SECOND {
            own.get_or_insert(v);
        }
    }
    carrier
}

/// How badly `plate` fits on `vehicle`; `None` when it can't be its plate.
fn cost(plate: &Detection, vehicle: &Rect) -> Option<f32> {
    let (w, h) = (vehicle.width(), vehicle.height());
    let middle = plate.rect.centre();
    let around =
        Rect::new(vehicle.x1 - SLACK * w, vehicle.y1 - SLACK * h, vehicle.x2 + SLACK * w, vehicle.y2 + SLACK * h);
    if !around.contains(middle) || plate.rect.width() > WIDEST * w || plate.rect.height() > HIGHEST * h {
        return None;
    }
    let above = (0.5 - (middle.y - vehicle.y1) / h).max(0.0);
    let beside = (middle.x - vehicle.centre().x).abs() / w;
    let cost = ABOVE * above + BESIDE * beside + LARGER * vehicle.area().ln() + SURER * (1.0 - plate.score);
    cost.is_finite().then_some(cost)
}

/// Removes of the detections of vehicles those that overlap a better one of another class nearly wholly: models waver
/// between car and truck, and a vehicle is one. `found` comes sorted by falling score and stays so. Gives what was removed,
/// each with the place in `found` of the one that stayed for it.
pub fn one_of_each(found: &mut Vec<Detection>) -> Vec<(usize, Detection)> {
    let mut kept: Vec<Detection> = Vec::with_capacity(found.len());
    let mut removed = Vec::new();
    for one in found.drain(..) {
        let same = |k: &Detection| k.class.is_vehicle() && k.rect.iou(&one.rect) > SAME;
        match kept.iter().position(same).filter(|_| one.class.is_vehicle()) {
            Some(better) => removed.push((better, one)),
            None => kept.push(one),
        }
    }
    *found = kept;
    removed
}

/// Overlap (intersection over union) from which two boxes are one vehicle.
const SAME: f32 = 0.6;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::Class;

    fn thing(class: Class, x1: f32, y1: f32, x2: f32, y2: f32) -> Detection {
        Detection { class, score: 0.8, rect: Rect::new(x1, y1, x2, y2), corners: None }
    }

    fn plate(x: f32, y: f32) -> Detection {
        thing(Class::Plate, x - 20.0, y - 5.0, x + 20.0, y + 5.0)
    }

    fn car(x1: f32, y1: f32, x2: f32, y2: f32) -> Detection {
        thing(Class::Car, x1, y1, x2, y2)
    }

    fn tied(plates: &[Detection], vehicles: &[Detection]) -> Vec<Option<usize>> {
        carriers(&plates.iter().collect::<Vec<_>>(), &vehicles.iter().collect::<Vec<_>>(), |_, _| false)
    }

    #[test]
    fn a_plate_belongs_to_the_vehicle_around_it_and_to_none_beside_it() {
        let cars = [car(0.0, 0.0, 200.0, 150.0), car(300.0, 0.0, 500.0, 150.0)];
        assert_eq!(tied(&[plate(100.0, 120.0), plate(400.0, 110.0)], &cars), [Some(0), Some(1)]);
        assert_eq!(tied(&[plate(250.0, 120.0), plate(100.0, 200.0)], &cars), [None, None]);
        // On the lower edge of a box that ends a little early.
        assert_eq!(tied(&[plate(100.0, 154.0)], &cars), [Some(0)]);
    }

    #[test]
    fn of_two_that_overlap_it_is_the_one_in_whose_lower_part_the_plate_lies() {
        // The far car is seen over the roof of the near one.
        let cars = [car(100.0, 200.0, 400.0, 430.0), car(140.0, 90.0, 360.0, 270.0)];
        let (near, far) = (plate(250.0, 390.0), plate(250.0, 240.0));
        assert_eq!(tied(&[near.clone(), far.clone()], &cars), [Some(0), Some(1)]);
        assert_eq!(tied(std::slice::from_ref(&far), &cars), [Some(1)]);
        // A car in front of a lorry, inside its box.
        let both = [thing(Class::Truck, 0.0, 0.0, 500.0, 400.0), car(150.0, 220.0, 350.0, 390.0)];
        assert_eq!(tied(&[plate(250.0, 360.0)], &both), [Some(1)]);
        assert_eq!(tied(&[plate(420.0, 360.0)], &both), [Some(0)]);
    }

    #[test]
    fn a_vehicle_has_one_plate_and_the_other_does_not_take_a_worse_vehicle() {
        // The plate above is that of a car which was not found; the lorry behind both would hold it, high up.
        let cars = [car(100.0, 100.0, 400.0, 330.0), thing(Class::Truck, 0.0, 90.0, 700.0, 900.0)];
        assert_eq!(tied(&[plate(250.0, 290.0), plate(250.0, 180.0)], &cars), [Some(0), None]);
    }

    #[test]
    fn what_belonged_together_stays_together_in_doubt() {
        let cars = [car(0.0, 0.0, 200.0, 150.0), car(20.0, 0.0, 222.0, 152.0)];
        let (plates, cars) = ([plate(110.0, 120.0)], [&cars[0], &cars[1]]);
        for kept in [0, 1] {
            assert_eq!(carriers(&[&plates[0]], &cars, |_, v| v == kept), [Some(kept)]);
        }
    }

    #[test]
    fn persons_carry_no_plates_and_what_is_as_large_as_the_vehicle_is_none() {
        let person = thing(Class::Person, 0.0, 0.0, 100.0, 200.0);
        assert_eq!(tied(&[plate(50.0, 150.0)], &[person]), [None]);
        assert_eq!(tied(&[thing(Class::Plate, 0.0, 80.0, 160.0, 140.0)], &[car(0.0, 0.0, 200.0, 150.0)]), [None]);
    }

    #[test]
    fn a_vehicle_that_is_told_as_two_classes_is_one() {
        let mut found = vec![
            car(0.0, 0.0, 200.0, 150.0),
            thing(Class::Truck, 5.0, 0.0, 205.0, 152.0),
            thing(Class::Person, 0.0, 0.0, 200.0, 150.0),
            thing(Class::Bus, 100.0, 0.0, 300.0, 150.0),
        ];
        let removed = one_of_each(&mut found);
        assert_eq!(found.iter().map(|d| d.class).collect::<Vec<_>>(), [Class::Car, Class::Person, Class::Bus]);
        assert_eq!(removed.iter().map(|r| (r.0, r.1.class)).collect::<Vec<_>>(), [(0, Class::Truck)]);
    }

    fn any_box(class: Class) -> impl Strategy<Value = Detection> {
        let number = || prop_oneof![9 => -20.0_f32..400.0, 1 => any::<f32>()];
        let sides = (number(), number(), number(), number());
        (sides, 0.0_f32..1.0).prop_map(move |((a, b, c, d), score)| Detection { score, ..thing(class, a, b, c, d) })
    }

    proptest! {
        #[test]
        fn no_vehicle_is_given_twice_and_each_holds_its_plate(
            plates in proptest::collection::vec(any_box(Class::Plate), 0..6),
            cars in proptest::collection::vec(any_box(Class::Truck), 0..6),
        ) {
            let tied = tied(&plates, &cars);
            prop_assert_eq!(tied.len(), plates.len());
            let mut given: Vec<usize> = tied.iter().flatten().copied().collect();
            given.sort_unstable();
            prop_assert!(given.windows(2).all(|w| w[0] != w[1]));
            for (plate, car) in plates.iter().zip(&tied).filter_map(|(p, v)| Some((p, &cars[(*v)?]))) {
                prop_assert!(plate.rect.width() <= car.rect.width() && plate.rect.height() <= car.rect.height());
            }
        }
    }
}
