//! Writes down all that a Rust program can see of its machine: to standard output, and to files in /outputs.
use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs, io, thread};

fn nanoseconds(time: SystemTime) -> u128 {
    time.duration_since(UNIX_EPOCH).unwrap().as_nanos()
}

fn walk(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let found = fs::symlink_metadata(&path)?;
        println!("{:?} {:?} {} {}", path, found.file_type(), found.len(), nanoseconds(found.modified()?));
        if found.is_dir() {
            walk(&path)?;
        }
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let begun = Instant::now();
    println!("args {:?} env {:?}", env::args().collect::<Vec<_>>(), env::vars().collect::<Vec<_>>());
    let mut input = Vec::new();
    io::stdin().read_to_end(&mut input)?;
    println!("stdin {}", input.len());
    println!("now {} {}", nanoseconds(SystemTime::now()), nanoseconds(SystemTime::now()));
    thread::sleep(Duration::from_millis(1500));
    println!("slept {:?}", begun.elapsed());
    let order: HashMap<u32, u32> = (0..20).map(|number| (number, number * number)).collect();
    println!("order of a hash map with a random seed {:?}", order);
    println!("nan {:x} {:x}", (f64::INFINITY - f64::INFINITY).to_bits(), (-1f32).sqrt().to_bits());
    let zero: f64 = env::args().count() as f64 - env::args().count() as f64;
    println!("nan of the machine {:x}", (zero / zero).to_bits());
    walk(Path::new("/inputs"))?;
    fs::create_dir("/outputs/sub")?;
    fs::write("/outputs/sub/b", b"b")?;
    fs::remove_file("/outputs/sub/b")?;
    fs::write("/outputs/sub/c", format!("{:?}", order))?;
    println!("{:?}", fs::metadata("/outputs/sub/c")?.modified()?);
    Ok(())
}
