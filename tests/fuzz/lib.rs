//! What all targets do: open their door.

/// Opens the door of this name.
pub fn open(name: &str, bytes: &[u8]) {
    let door = watchpost::fuzz::DOORS.iter().find(|door| door.name == name).expect("a door of this name");
    (door.open)(bytes);
}
