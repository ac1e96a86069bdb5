//! Characters of other scripts as plates are told: `A-Z` and `0-9`.
//!
//! Lists and readers fold by the same rule, so that what is searched for is what is read.

/// The `A-Z` or `0-9` that an upper-case character stands for: itself, the digit of another script, or the Latin capital
/// that it looks like. `None` for separators and for letters without a likeness.
#[must_use]
pub fn latin(c: char) -> Option<char> {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric().then_some(c.to_ascii_uppercase());
    }
    decimal_digit(c).or_else(|| look_alike(c))
}

/// The ASCII digit of a decimal digit of scripts that are seen on plates.
fn decimal_digit(c: char) -> Option<char> {
    // First digits: Arabic-Indic, extended Arabic-Indic, Devanagari, Bengali, Thai, Lao, Khmer, Myanmar.
    let zeros = [0x660, 0x6F0, 0x966, 0x9E6, 0xE50, 0xED0, 0x17E0, 0x1040];
    let code = u32::from(c);
    zeros.iter().find_map(|zero| code.checked_sub(*zero).filter(|d| *d < 10)).and_then(|d| char::from_digit(d, 10))
}

/// The Latin capital that a Cyrillic, Greek or stroked Latin capital looks like.
fn look_alike(c: char) -> Option<char> {
    Some(match c {
        'А' | 'Α' => 'A',
        'В' | 'Β' => 'B',
        'С' | 'Ϲ' => 'C',
        'Đ' | 'Ð' => 'D',
        'Е' | 'Ε' => 'E',
        'Ԍ' => 'G',
        'Н' | 'Η' | 'Ħ' => 'H',
        'І' | 'Ι' | 'Ӏ' => 'I',
        'Ј' => 'J',
        'К' | 'Κ' => 'K',
        'Ł' => 'L',
        'М' | 'Μ' => 'M',
        'Ν' => 'N',
        'О' | 'Ο' | 'Ø' => 'O',
        'Р' | 'Ρ' => 'P',
        'Ԛ' => 'Q',
        'Ѕ' => 'S',
        'Т' | 'Τ' | 'Ŧ' => 'T',
        'У' | 'Υ' | 'Ү' => 'Y',
        'Ԝ' => 'W',
        'Х' | 'Χ' => 'X',
        'Ζ' => 'Z',
        _ => return None,
    })
}
