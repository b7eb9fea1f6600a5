//! The Python files of a tree, in an order that depends on their names alone.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// Calls `visit` with the name below `root` and the path of every `.py` file, or with why it, or the folder of that
/// name, cannot be looked at. Siblings come in the order of their names' bytes.
pub fn python_files(root: &Path, visit: &mut dyn FnMut(&str, Result<&Path, String>)) -> io::Result<()> {
    let mut waiting = children(root)?;
    while let Some((path, kind)) = waiting.pop() {
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        if kind.is_dir() {
            match children(&path) {
                Ok(found) => waiting.extend(found),
                Err(error) => visit(&name, Err(unreadable(error))),
            }
        } else if name.ends_with(".py") {
            visit(&name, if kind.is_file() { Ok(&path) } else { Err(String::from("not a regular file")) });
        }
    }
    Ok(())
}

/// The kind alone: an operating system's own words differ.
pub fn unreadable(error: io::Error) -> String {
    format!("cannot be read ({:?})", error.kind())
}

/// Last name first, as a stack wants it.
fn children(folder: &Path) -> io::Result<Vec<(PathBuf, fs::FileType)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        found.push((entry.path(), entry.file_type()?));
    }
    found.sort_by(|a, b| b.0.cmp(&a.0));
    Ok(found)
}
