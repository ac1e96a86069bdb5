//! Reads protobuf's wire format (protobuf.dev, "Encoding") from bytes that nobody has checked.
//!
//! Never copies a payload, never panics, and goes over each byte of a message once; a message inside another is a
//! [`Fields`] of its own over the same bytes. Offsets in errors count from the file's start. Groups, which ONNX does not
//! use, count as damage.

use super::Refusal;

/// The fields of one message, in the order of the bytes.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Offset of `bytes` in the file.
    base: usize,
}

/// What a field holds.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    /// An integer, signed ones in two's complement.
    Integer(u64),
    /// Eight bytes, which nobody here asks for.
    Double,
    /// Bytes, a string, a message, or packed numbers.
    Bytes(Fields<'a>),
    /// Four bytes.
    Float([u8; 4]),
}

impl<'a> Fields<'a> {
    /// The fields of the message that fills `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, base: 0 }
    }

    /// The payload as it is.
    pub(super) fn payload(&self) -> &'a [u8] {
        self.bytes
    }

    /// The next field's number and value; `None` at the end.
    ///
    /// # Errors
    /// [`Refusal::Damaged`] with the offset.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, Refusal> {
        if self.at >= self.bytes.len() {
            return Ok(None);
        }
        let key = self.varint()?;
        let Some(number) = u32::try_from(key >> 3).ok().filter(|n| *n > 0) else {
            return Err(self.damaged("a field has no number"));
        };
        let value = match key & 7 {
            0 => Value::Integer(self.varint()?),
            1 => {
                self.array::<8>()?;
                Value::Double
            }
            2 => {
                let length = self.varint()?;
                let start = self.at;
                let end = usize::try_from(length).ok().and_then(|l| start.checked_add(l));
                let Some(bytes) = end.and_then(|end| self.bytes.get(start..end)) else {
                    return Err(self.damaged("a field is longer than what is left"));
                };
                self.at = start + bytes.len();
                Value::Bytes(Fields { bytes, at: 0, base: self.base + start })
            }
            5 => Value::Float(self.array()?),
            _ => return Err(self.damaged("a field is of no known kind")),
        };
        Ok(Some((number, value)))
    }

    /// The next integer of seven bits a byte, low ones first.
    pub(super) fn varint(&mut self) -> Result<u64, Refusal> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let Some(byte) = self.bytes.get(self.at).copied() else {
                return Err(self.damaged("it ends within a number"));
            };
            self.at += 1;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.damaged("a number has no end"))
    }

    /// Whether all is read.
    pub(super) fn is_done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let found = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<N>).copied();
        self.at += N;
        found.ok_or_else(|| self.damaged("it ends within a number"))
    }

    fn damaged(&self, reason: &'static str) -> Refusal {
        Refusal::Damaged { at: self.base + self.at, reason }
    }
}

impl<'a> Value<'a> {
    /// The message or bytes.
    ///
    /// # Errors
    /// [`Refusal::Damaged`] for a number.
    pub(super) fn message(self) -> Result<Fields<'a>, Refusal> {
        match self {
            Self::Bytes(fields) => Ok(fields),
            _ => Err(Refusal::Damaged { at: 0, reason: "a number stands where a message should" }),
        }
    }

    /// A name, shortened for messages; what is no UTF-8 is replaced.
    ///
    /// # Errors
    /// [`Refusal::Damaged`] for a number.
    pub(super) fn text(self) -> Result<String, Refusal> {
        const LONGEST: usize = 120;
        let bytes = self.message()?.payload();
        let text = String::from_utf8_lossy(bytes.get(..LONGEST).unwrap_or(bytes)).into_owned();
        Ok(if bytes.len() > LONGEST { text + "…" } else { text })
    }

    /// Adds a repeated integer, packed or alone, to `list` as long as that has fewer than `most`; how many there were.
    ///
    /// # Errors
    /// [`Refusal::Damaged`].
    pub(super) fn integers(self, list: &mut Vec<i64>, most: usize) -> Result<u64, Refusal> {
        let mut count = 0;
        let mut add = |value: u64| {
            count += 1;
            if list.len() < most {
                list.push(value.cast_signed());
            }
        };
        match self {
            Self::Integer(value) => add(value),
            Self::Bytes(mut packed) => {
                while !packed.is_done() {
                    add(packed.varint()?);
                }
            }
            _ => return Err(Refusal::Damaged { at: 0, reason: "a fraction stands where an integer should" }),
        }
        Ok(count)
    }

    /// Adds a repeated float, packed or alone, as [`Value::integers`] does.
    pub(super) fn floats(&self, list: &mut Vec<f64>, most: usize) -> u64 {
        let mut add = |value: [u8; 4]| {
            if list.len() < most {
                list.push(f64::from(f32::from_le_bytes(value)));
            }
        };
        match self {
            Self::Float(value) => {
                add(*value);
                1
            }
            Self::Bytes(packed) => {
                let (values, _) = packed.payload().as_chunks::<4>();
                for value in values {
                    add(*value);
                }
                values.len() as u64
            }
            _ => 0,
        }
    }
}
