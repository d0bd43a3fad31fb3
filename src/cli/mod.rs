//! The command line.
pub mod check;
pub mod match_;
pub mod probe;
pub mod table;

/// The name that was probably meant: at most a third of its letters are wrong, swapped, missing or too many.
fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let far = (name.chars().count() / 3).max(1);
    names.map(|other| (strsim::osa_distance(name, other), other)).filter(|(distance, _)| *distance <= far).min().map(|(_, other)| other)
}
