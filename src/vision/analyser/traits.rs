//! What the analyser needs of those who find plates and read them: the box's models, or what a test or a bench puts there.

use std::sync::Arc;

use crate::domain::{Detection, PlateRead};
use crate::vision::Error;
use crate::vision::area::Area;
use crate::vision::detect::Detector;
use crate::vision::mask::Seen;
pub use crate::vision::plate::ReadAndCut;
use crate::vision::plate::Reader;
use crate::vision::search::{Grid, Part};
use crate::vision::stack::Cut;

/// Finds plates in a frame, or vehicles.
pub trait FindPlates: Send {
    /// Plates in `area` with their corners, vehicles and persons, in pixels of the full-size frame, best first.
    ///
    /// # Errors
    /// What the model says.
    fn find(&self, frame: &Seen<'_>, area: Area) -> Result<Vec<Detection>, Error>;

    /// The tiles that parts of `area` are made of that [`FindPlates::find_parts`] can look at; `None` where it can't.
    fn grid(&self, _area: Area) -> Option<Grid> {
        None
    }

    /// Plates in `parts` of the area of `grid`, as [`FindPlates::find`] would find them.
    ///
    /// # Errors
    /// What the model says.
    fn find_parts(&self, frame: &Seen<'_>, grid: &Grid, _parts: &[Part]) -> Result<Vec<Detection>, Error> {
        self.find(frame, grid.area())
    }
}

/// Reads plates of a frame.
pub trait ReadPlates: Send {
    /// A read for each of `plates`, `None` where there is none.
    ///
    /// # Errors
    /// What the model says.
    fn read(&self, frame: &Seen<'_>, plates: &[Detection]) -> Result<Vec<Option<PlateRead>>, Error>;

    /// The same, with what was cut out of the frame for each, where such pictures can be laid over each other.
    ///
    /// # Errors
    /// What the model says.
    fn read_and_cut(&self, frame: &Seen<'_>, plates: &[Detection]) -> Result<Vec<ReadAndCut>, Error> {
        Ok(self.read(frame, plates)?.into_iter().map(|read| (read, None)).collect())
    }

    /// The same at a glance: a doubtful plate is not looked at in other ways, since that was done to one as good.
    ///
    /// # Errors
    /// What the model says.
    fn glance(&self, frame: &Seen<'_>, plates: &[Detection]) -> Result<Vec<ReadAndCut>, Error> {
        self.read_and_cut(frame, plates)
    }

    /// Reads what was cut out, or several such laid over each other.
    ///
    /// # Errors
    /// What the model says.
    fn read_cut(&self, _cut: &Cut) -> Result<Option<PlateRead>, Error> {
        Ok(None)
    }
}

impl<T: FindPlates + Sync + ?Sized> FindPlates for Arc<T> {
    fn find(&self, frame: &Seen<'_>, area: Area) -> Result<Vec<Detection>, Error> {
        T::find(self, frame, area)
    }

    fn grid(&self, area: Area) -> Option<Grid> {
        T::grid(self, area)
    }

    fn find_parts(&self, frame: &Seen<'_>, grid: &Grid, parts: &[Part]) -> Result<Vec<Detection>, Error> {
        T::find_parts(self, frame, grid, parts)
    }
}

impl<T: ReadPlates + Sync + ?Sized> ReadPlates for Arc<T> {
    fn read(&self, frame: &Seen<'_>, plates: &[Detection]) -> Result<Vec<Option<PlateRead>>, Error> {
        T::read(self, frame, plates)
    }

    fn read_and_cut(&self, frame: &Seen<'_>, plates: &[Detection]) -> Result<Vec<ReadAndCut>, Error> {
        T::read_and_cut(self, frame, plates)
    }

    fn glance(&self, frame: &Seen<'_>, plates: &[Detection]) -> Result<Vec<ReadAndCut>, Error> {
        T::glance(self, frame, plates)
    }

    fn read_cut(&self, cut: &Cut) -> Result<Option<PlateRead>, Error> {
        T::read_cut(self, cut)
    }
}

impl FindPlates for Detector {
    fn find(&self, frame: &Seen<'_>, area: Area) -> Result<Vec<Detection>, Error> {
        self.detect_in(frame, area)
    }

    fn grid(&self, area: Area) -> Option<Grid> {
        Detector::grid(self, area)
    }

    fn find_parts(&self, frame: &Seen<'_>, grid: &Grid, parts: &[Part]) -> Result<Vec<Detection>, Error> {
        self.detect_parts(frame, grid, parts)
    }
}

impl ReadPlates for Reader {
    fn read(&self, frame: &Seen<'_>, plates: &[Detection]) -> Result<Vec<Option<PlateRead>>, Error> {
        Reader::read(self, frame, plates)
    }

    fn read_and_cut(&self, frame: &Seen<'_>, plates: &[Detection]) -> Result<Vec<ReadAndCut>, Error> {
        Reader::read_and_cut(self, frame, plates)
    }

    fn glance(&self, frame: &Seen<'_>, plates: &[Detection]) -> Result<Vec<ReadAndCut>, Error> {
        Reader::glance(self, frame, plates)
    }

    fn read_cut(&self, cut: &Cut) -> Result<Option<PlateRead>, Error> {
        Reader::read_cut(self, cut)
    }
}
