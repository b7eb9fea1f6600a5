//! An import census: which modules do the Python files of a tree import, and how often?
//!
//! `census [INPUT_DIR [OUTPUT_DIR]]`, by default `/inputs` and `/outputs`. Writes `imports.csv` (module, files,
//! imports; most imported first, then by name) and one paragraph on standard output. What could not be read is named
//! on standard error and left out.
//!
//! The same tree gives the same bytes everywhere: names are sorted before anything is done with them, and neither
//! clock nor randomness nor file times are looked at (which is why there is no `HashMap` here). Symbolic links are
//! not followed.

mod imports;
mod walk;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io, process, str};

/// A longer file is left out, so that one file cannot use up the memory.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How often a module is imported, and in how many files.
#[derive(Default)]
struct Count {
    files: u64,
    imports: u64,
}

#[derive(Default)]
struct Census {
    files: u64,
    bytes: u64,
    lines: u64,
    modules: BTreeMap<String, Count>,
}

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    if args.len() > 2 {
        eprintln!("usage: census [INPUT_DIR [OUTPUT_DIR]]");
        process::exit(2); // An ExitCode is 0 or 1 on WASI.
    }
    let input = PathBuf::from(args.get(0).map_or("/inputs", String::as_str));
    let output = PathBuf::from(args.get(1).map_or("/outputs", String::as_str));
    let census = match take(&input) {
        Ok(census) => census,
        Err(error) => {
            eprintln!("census: {}: cannot be listed ({:?})", input.display(), error.kind());
            return ExitCode::FAILURE;
        }
    };
    if let Err(error) = fs::write(output.join("imports.csv"), csv(&census)) {
        eprintln!("census: {}: cannot be written to ({:?})", output.display(), error.kind());
        return ExitCode::FAILURE;
    }
    print!("{}", summary(&census));
    ExitCode::SUCCESS
}

fn take(root: &Path) -> io::Result<Census> {
    let mut census = Census::default();
    walk::python_files(root, &mut |name, found| match found.and_then(read) {
        Ok(source) => {
            if str::from_utf8(&source).is_err() {
                eprintln!("census: {name}: not UTF-8, read as bytes");
            }
            census.add(&source);
        }
        Err(problem) => eprintln!("census: {name}: left out, {problem}"),
    })?;
    Ok(census)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let file = fs::File::open(path).map_err(walk::unreadable)?;
    let size = file.metadata().map_err(walk::unreadable)?.len();
    if size > FILE_BYTES_MAX {
        return Err(format!("longer than {FILE_BYTES_MAX} bytes"));
    }
    // Every call of the host costs more than reading the bytes does: one that takes the file whole, one that sees its end.
    let mut source = Vec::with_capacity(size as usize + 1);
    let read = file.take(FILE_BYTES_MAX).read_to_end(&mut source);
    read.map_err(walk::unreadable).map(|_| source)
}

impl Census {
    fn add(&mut self, source: &[u8]) {
        self.files += 1;
        self.bytes += source.len() as u64;
        self.lines += source.iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.lines += u64::from(source.last().map_or(false, |&byte| byte != b'\n'));
        let mut here: BTreeMap<String, u64> = BTreeMap::new();
        imports::each(source, &mut |module| *here.entry(module).or_default() += 1);
        for (module, imports) in here {
            let count = self.modules.entry(module).or_default();
            count.files += 1;
            count.imports += imports;
        }
    }

    /// Most imported first, then by name.
    fn ranking(&self) -> Vec<(&str, &Count)> {
        let mut rows: Vec<_> = self.modules.iter().map(|(module, count)| (module.as_str(), count)).collect();
        rows.sort_by(|a, b| b.1.imports.cmp(&a.1.imports).then(a.0.cmp(b.0)));
        rows
    }
}

/// A module's name holds letters, digits, `_` and `.` alone (see `imports`), so no field needs quotes.
fn csv(census: &Census) -> String {
    let mut text = String::from("module,files,imports\n");
    for (module, count) in census.ranking() {
        writeln!(text, "{module},{},{}", count.files, count.imports).expect("a String takes every write");
    }
    text
}

fn summary(census: &Census) -> String {
    let imports: u64 = census.modules.values().map(|count| count.imports).sum();
    let first = match census.ranking().first() {
        Some((module, count)) => format!(" The most imported is {module}: {} times in {} files.", count.imports, count.files),
        None => String::new(),
    };
    format!(
        "{} Python files, {} bytes, {} lines: {imports} imports of {} modules.{first}\n",
        census.files,
        census.bytes,
        census.lines,
        census.modules.len(),
    )
}
