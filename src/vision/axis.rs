//! A Kalman filter of one number that moves at a nearly constant speed (Bar-Shalom et al. 2001, chapter 6: continuous
//! white noise of acceleration), so that the time between observations may vary.
//!
//! The tracker keeps four for each track. Observations and deviations must be finite, deviations above zero.

/// Place and speed along one axis with their covariance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    /// Place now.
    pub place: f32,
    /// Units a second.
    pub speed: f32,
    place_var: f32,
    cross: f32,
    speed_var: f32,
}

impl Axis {
    /// At `place`, standing still as far as is known.
    pub(super) fn new(place: f32, place_sd: f32, speed_sd: f32) -> Self {
        Self { place, speed: 0.0, place_var: place_sd * place_sd, cross: 0.0, speed_var: speed_sd * speed_sd }
    }

    /// Moves on by `dt` seconds under white noise of acceleration of spectral density `noise`.
    pub(super) fn predict(&mut self, dt: f32, noise: f32) {
        self.place += self.speed * dt;
        self.place_var += dt * (2.0 * self.cross + dt * self.speed_var) + noise * dt * dt * dt / 3.0;
        self.cross += dt * self.speed_var + noise * dt * dt / 2.0;
        self.speed_var += noise * dt;
    }

    /// Takes in a place that was seen with this standard deviation.
    pub(super) fn update(&mut self, seen: f32, seen_sd: f32) {
        let sum = self.place_var + seen_sd * seen_sd;
        let (gain, speed_gain) = (self.place_var / sum, self.cross / sum);
        let off = seen - self.place;
        self.place += gain * off;
        self.speed += speed_gain * off;
        self.speed_var -= speed_gain * self.cross;
        self.cross *= 1.0 - gain;
        self.place_var *= 1.0 - gain;
    }

    /// Squared distance of `seen` in units of doubt.
    pub(super) fn distance2(&self, seen: f32, seen_sd: f32) -> f32 {
        let off = seen - self.place;
        off * off / (self.place_var + seen_sd * seen_sd)
    }

    /// Standard deviation of where it will be seen.
    pub(super) fn sd(&self, seen_sd: f32) -> f32 {
        (self.place_var + seen_sd * seen_sd).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_learns_a_speed_and_doubts_what_it_does_not_see() {
        let mut axis = Axis::new(0.0, 1.0, 100.0);
        for n in 1_u8..30 {
            axis.predict(0.1, 1.0);
            axis.update(f32::from(n) * 5.0, 1.0);
        }
        assert!((axis.speed - 50.0).abs() < 1.0 && (axis.place - 145.0).abs() < 1.0);
        let near = axis.distance2(150.0, 1.0);
        axis.predict(1.0, 1.0);
        assert!((axis.place - 195.0).abs() < 2.0);
        assert!(axis.distance2(200.0, 1.0) < near);
    }

    #[test]
    fn doubt_grows_alike_in_one_step_and_in_ten() {
        let start = Axis::new(0.0, 1.0, 2.0);
        let (mut once, mut often) = (start, start);
        once.predict(1.0, 3.0);
        (0..10).for_each(|_| often.predict(0.1, 3.0));
        assert!((once.distance2(5.0, 1.0) - often.distance2(5.0, 1.0)).abs() < 0.01);
    }
}
