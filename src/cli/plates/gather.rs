//! Pages of many boxes, put together: each box has a cursor of its own, and what a box did not answer is never left out.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::centre::ask::{Outcome, Question};
use crate::command::ops;
use crate::command::ops::query::hits::HitRow;
use crate::command::ops::query::{CameraPlace, Page, ReadRow, hits, reads};
use crate::domain::{BoxId, CameraId, Op};

/// What is asked of every box.
#[derive(Debug, Clone)]
pub enum Sought {
    /// Reads.
    Reads(reads::Args),
    /// Hits.
    Hits(hits::Args),
}

/// A row of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// A read.
    Read(ReadRow),
    /// A hit.
    Hit(Box<HitRow>),
}

impl Row {
    /// What was read; of a hit the plate of its newest alert.
    #[must_use]
    pub fn read(&self) -> &ReadRow {
        match self {
            Self::Read(read) => read,
            Self::Hit(hit) => &hit.read,
        }
    }
}

/// What came of one box.
#[derive(Debug)]
pub struct OneBox {
    /// Its rows, newest first.
    pub rows: Vec<Row>,
    /// Where its cameras stand.
    pub cameras: BTreeMap<CameraId, CameraPlace>,
    /// What its newest page said; none when no page came.
    pub page: Option<Page>,
    /// What came of the newest question to it.
    pub outcome: Outcome,
}

/// All boxes.
pub struct Gathered {
    sought: Sought,
    /// By box.
    pub boxes: BTreeMap<BoxId, OneBox>,
}

impl Gathered {
    /// Nothing yet.
    #[must_use]
    pub fn new(sought: Sought) -> Self {
        Self { sought, boxes: BTreeMap::new() }
    }

    /// The question for the first page of all boxes.
    #[must_use]
    pub fn first(&self) -> Question {
        self.question(None)
    }

    fn question(&self, cursor: Option<Vec<u8>>) -> Question {
        match &self.sought {
            Sought::Reads(args) => Question::new(Op::ReadsQuery, ops::encode(&reads::Args { cursor, ..args.clone() })),
            Sought::Hits(args) => Question::new(Op::HitsQuery, ops::encode(&hits::Args { cursor, ..args.clone() })),
        }
    }

    /// Takes what came of a question.
    ///
    /// # Errors
    /// When an answer is not what this program knows.
    pub fn take(&mut self, answers: Vec<(BoxId, Outcome)>) -> anyhow::Result<()> {
        for (box_id, outcome) in answers {
            let found = match &outcome {
                Outcome::Answered(answer) => Some(self.read(answer.reply.result.as_deref().unwrap_or_default())?),
                _ => None,
            };
            let one = self.boxes.entry(box_id).or_insert_with(|| OneBox {
                rows: Vec::new(),
                cameras: BTreeMap::new(),
                page: None,
                outcome: Outcome::Silent,
            });
            one.outcome = outcome;
            if let Some((rows, page)) = found {
                one.rows.extend(rows);
                one.cameras.extend(page.cameras.iter().map(|place| (place.camera.clone(), place.clone())));
                one.page = Some(page);
            }
        }
        Ok(())
    }

    fn read(&self, result: &[u8]) -> anyhow::Result<(Vec<Row>, Page)> {
        Ok(match &self.sought {
            Sought::Reads(_) => {
                let answer: reads::Answer = ops::decode(result)?;
                (answer.rows.into_iter().map(Row::Read).collect(), answer.page)
            }
            Sought::Hits(_) => {
                let answer: hits::Answer = ops::decode(result)?;
                (answer.rows.into_iter().map(|hit| Row::Hit(Box::new(hit))).collect(), answer.page)
            }
        })
    }

    /// Questions for the next page of each box that has one.
    #[must_use]
    pub fn next(&self) -> Vec<(BoxId, Question)> {
        let more = self.boxes.iter().filter(|(_, one)| one.has_more());
        let cursor = |one: &OneBox| one.page.as_ref().and_then(|page| page.cursor.clone());
        more.map(|(box_id, one)| (box_id.clone(), self.question(cursor(one)))).collect()
    }

    /// All rows with their boxes, newest first.
    #[must_use]
    pub fn rows(&self) -> Vec<(&BoxId, &Row)> {
        let mut rows: Vec<(&BoxId, &Row)> =
            self.boxes.iter().flat_map(|(box_id, one)| one.rows.iter().map(move |row| (box_id, row))).collect();
        rows.sort_by_key(|(_, row)| Reverse((row.read().begin, row.read().id)));
        rows
    }

    /// What came of the newest question to each box, for the summary.
    #[must_use]
    pub fn outcomes(&self) -> Vec<(BoxId, Outcome)> {
        self.boxes.iter().map(|(box_id, one)| (box_id.clone(), one.outcome.clone())).collect()
    }
}

impl OneBox {
    /// Whether it has rows that were not asked for yet.
    #[must_use]
    pub fn has_more(&self) -> bool {
        let answered = matches!(self.outcome, Outcome::Answered(_));
        answered && self.page.as_ref().is_some_and(|page| page.cursor.is_some())
    }
}
