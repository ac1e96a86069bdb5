//! What a tensor in a model's file claims to be, against what the file holds of it.

use super::Refusal;
use super::growth::Constant;
use super::wire::{Fields, Value};

/// Values that are kept of a tensor; shapes, pads and scales are shorter.
const KEPT: usize = 32;

/// Most sizes a tensor may have.
const MAX_DIMS: usize = 16;

/// Where values lie in another file (`TensorProto.DataLocation`).
const EXTERNAL: u64 = 1;

/// A tensor as it stands in the file (`TensorProto` of onnx.proto).
#[derive(Debug, Default)]
struct Tensor<'a> {
    name: String,
    dims: Vec<i64>,
    kind: u64,
    raw: Option<&'a [u8]>,
    /// Values in typed fields, as they are counted there.
    typed: u64,
    integers: Vec<i64>,
    floats: Vec<f64>,
    external: bool,
    file: String,
}

/// Checks one tensor; its name and what is known of it.
///
/// # Errors
/// [`Refusal::External`], [`Refusal::Sizes`], [`Refusal::Claims`], [`Refusal::Damaged`].
pub(super) fn check(fields: Fields<'_>) -> Result<(String, Constant), Refusal> {
    let tensor = Tensor::read(fields)?;
    let Tensor { name, dims, .. } = &tensor;
    if tensor.external {
        return Err(Refusal::External { tensor: name.clone(), file: tensor.file });
    }
    let sizes = || Refusal::Sizes { tensor: name.clone(), dims: dims.iter().copied().take(MAX_DIMS).collect() };
    if dims.len() > MAX_DIMS {
        return Err(sizes());
    }
    let claimed = dims.iter().try_fold(1_u64, |product, d| product.checked_mul(u64::try_from(*d).ok()?));
    let claimed = claimed.ok_or_else(sizes)?;
    let held = tensor.held();
    if claimed > held {
        return Err(Refusal::Claims { tensor: name.clone(), dims: dims.clone(), claimed, held });
    }
    let values = if claimed <= KEPT as u64 { tensor.values() } else { Vec::new() };
    let bits = tensor.bits().unwrap_or(0);
    #[expect(clippy::cast_precision_loss, reason = "no more than the file holds, and what is beyond 2^53 is too large")]
    let dims = dims.iter().map(|d| *d as f64).collect();
    Ok((tensor.name, Constant { values, dims, bits }))
}

impl<'a> Tensor<'a> {
    fn read(mut fields: Fields<'a>) -> Result<Self, Refusal> {
        let mut tensor = Self::default();
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => {
                    // One more than may be: too many are noticed, not stored.
                    value.integers(&mut tensor.dims, MAX_DIMS + 1)?;
                }
                2 => tensor.kind = integer(&value),
                4 => tensor.typed += value.floats(&mut tensor.floats, KEPT),
                5 | 7 | 11 => tensor.typed += value.integers(&mut tensor.integers, KEPT)?,
                6 => tensor.typed += 1,
                8 => tensor.name = value.text()?,
                9 => tensor.raw = Some(value.message()?.payload()),
                10 => tensor.typed += (value.message()?.payload().len() / 8) as u64,
                13 => {
                    tensor.external = true;
                    tensor.entry(value.message()?)?;
                }
                14 => tensor.external |= integer(&value) == EXTERNAL,
                _ => {}
            }
        }
        Ok(tensor)
    }

    /// One pair of what says where external values are.
    fn entry(&mut self, mut fields: Fields<'a>) -> Result<(), Refusal> {
        let (mut key, mut of_key) = (String::new(), String::new());
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => key = value.text()?,
                2 => of_key = value.text()?,
                _ => {}
            }
        }
        if key == "location" {
            self.file = of_key;
        }
        Ok(())
    }

    /// Bits of one value by the element type (`TensorProto.DataType`); `None` for one that is not known.
    fn bits(&self) -> Option<u64> {
        Some(match self.kind {
            2 | 3 | 9 | 17..=20 | 24 => 8,
            4 | 5 | 10 | 16 => 16,
            1 | 6 | 12 => 32,
            7 | 11 | 13 | 14 => 64,
            15 => 128,
            21..=23 => 4,
            _ => return None,
        })
    }

    /// How many values the file holds.
    fn held(&self) -> u64 {
        match (self.raw, self.bits()) {
            (Some(raw), Some(bits)) => (raw.len() as u64).saturating_mul(8) / bits,
            // Two values of four bits share an entry.
            (None, Some(4)) => self.typed.saturating_mul(2),
            (None, _) => self.typed,
            (Some(_), None) => 0,
        }
    }

    /// The values of a short tensor of integers or floats.
    fn values(&self) -> Vec<f64> {
        #[expect(clippy::cast_precision_loss, reason = "sizes: what is beyond 2^53 is too large either way")]
        let float = |v: i64| v as f64;
        match (self.raw, self.kind) {
            (Some(raw), 7) => raw.as_chunks::<8>().0.iter().map(|v| float(i64::from_le_bytes(*v))).collect(),
            (Some(raw), 6) => raw.as_chunks::<4>().0.iter().map(|v| f64::from(i32::from_le_bytes(*v))).collect(),
            (Some(raw), 1) => raw.as_chunks::<4>().0.iter().map(|v| f64::from(f32::from_le_bytes(*v))).collect(),
            (Some(_), _) => Vec::new(),
            (None, _) if self.floats.is_empty() => self.integers.iter().map(|v| float(*v)).collect(),
            (None, _) => self.floats.clone(),
        }
    }
}

/// A number, 0 for anything else.
fn integer(value: &Value<'_>) -> u64 {
    if let Value::Integer(value) = value { *value } else { 0 }
}
