//! Frames that refer to more of what they hold than there is memory for.

use std::io::Write as _;
use std::process::Command;

use super::sample::{Sample, assemble_all, compress, entry, noise};
use super::*;

const MIB: usize = 1 << 20;

/// A frame that refers to whatever is in it.
fn far(plain: &[u8], window_log: u32, tells_size: bool) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("memory");
    encoder.window_log(window_log).expect("allowed");
    encoder.long_distance_matching(true).expect("allowed");
    encoder.include_checksum(true).expect("allowed");
    encoder.include_contentsize(tells_size).expect("allowed");
    if tells_size {
        encoder.set_pledged_src_size(Some(plain.len() as u64)).expect("nothing was written");
    }
    encoder.write_all(plain).expect("memory");
    encoder.finish().expect("memory")
}

/// Noise, and then pieces of it from everywhere.
fn repeated(noise_length: usize, length: usize) -> Vec<u8> {
    repeated_in(64 << 10, noise_length, length)
}

fn repeated_in(piece: usize, noise_length: usize, length: usize) -> Vec<u8> {
    let mut bytes = noise(noise_length);
    let mut state = 1_usize;
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let from = (state >> 33) % (noise_length - piece);
        bytes.extend_from_within(from..from + piece);
    }
    bytes.truncate(length);
    bytes
}

/// Has each piece of more than 16 MiB compressed as one that refers to all of itself.
fn with_large_windows(mut sample: Sample) -> Sample {
    for (index, piece) in sample.pieces.iter().enumerate() {
        if piece.len() > 16 * MIB {
            sample.compressed.insert(index, far(piece, 27, true));
        }
    }
    sample
}

/// Two files in one large frame, one in two of them, and small ones around.
fn mixed() -> Sample {
    let mut sample = Sample::default();
    sample.file("a/before", b"words");
    sample.cut();
    sample.file("a/one", &repeated(9 * MIB, 10 * MIB));
    sample.file("a/two", &repeated(9 * MIB, 11 * MIB));
    sample.cut();
    sample.file("a/between", &noise(100_000));
    sample.parts("z/parts", &repeated(2 * MIB, 40 * MIB), Mode::Executable, 20 * MIB);
    sample.file("z/z", b"more words");
    with_large_windows(sample)
}

#[test]
fn large_frames_are_unpacked() {
    let sample = mixed();
    let bytes = sample.zst();
    assert!(bytes.len() < 15 * MIB, "the second file is the first one: {}", bytes.len());
    for threads in [1, 3] {
        let place = Place::new(&bytes);
        place.unpack(threads).expect("it is as it should be");
        let mut found = tree(&place.to);
        found.remove(MANIFEST_FILE);
        // Not `assert_eq`, which would print all of it.
        assert!(found == sample.tree(), "{threads} threads");
    }
}

#[test]
fn large_frames_that_lie() {
    let size = 17 * MIB + 512;
    let sample = |frame: &dyn Fn(&[u8]) -> Vec<u8>| {
        let mut sample = Sample::default();
        sample.cut();
        sample.file("a", &repeated(MIB, 17 * MIB));
        let frame = frame(&sample.pieces[1]);
        sample.compressed.insert(1, frame);
        // Seek table and manifest agree, whatever is in the frame.
        sample.zst_with(|_| {}, |table| table[1][1] = u32::try_from(size).expect("small"))
    };
    let most = 1_u64 << 27;
    let said = refused(&sample(&|plain| far(plain, 28, false)));
    assert_eq!(
        said,
        format!("frame 1 needs a window of {} bytes, and {most} is the most", 2 * most)
    );
    let told = format!(
        "frame 1 is no Zstandard frame: its header does not say that it holds {size} bytes"
    );
    assert_eq!(refused(&sample(&|plain| far(plain, 27, false))), told);
    // The frame holds one byte less, or more, than everybody says.
    for cut in [size - 1, size + 1] {
        let other = sample(&|plain| {
            let mut plain = plain.to_vec();
            plain.resize(cut, 0);
            far(&plain, 27, true)
        });
        assert!(refused(&other).contains(&told), "{}", refused(&other));
    }
    // It ends within.
    let cut = sample(&|plain| {
        let mut frame = far(plain, 27, true);
        frame.truncate(frame.len() / 2);
        frame
    });
    let said = refused(&cut);
    assert!(said.starts_with("frame 1 is no Zstandard frame: "), "{said}");
}

/// What is decompressed before anything is known of the archive is small.
#[test]
fn the_manifest_needs_no_large_window() {
    let (frames, manifest) = whole().frames();
    let mut manifest = entry(&manifest.to_json());
    manifest.resize(17 * MIB, 0);
    let last = [far(&manifest, 27, true), compress(&[0; 1024])];
    let said = refused(&assemble_all(&frames, &last, |_| {}));
    let (frame, found, most) = (frames.len(), 17 * MIB, 16 * MIB);
    assert_eq!(
        said,
        format!("frame {frame} needs a window of {found} bytes, and {most} is the most")
    );
}

/// The limit is that of the whole process, so there is one of its own.
#[cfg(target_os = "linux")]
#[test]
fn memory_is_bounded_whatever_the_windows() {
    let mut sample = Sample::default();
    sample.parts("a", &repeated_in(256, 90 * MIB, 180 * MIB), Mode::Plain, 120 * MIB);
    for index in 0..200 {
        sample.cut();
        sample.file(&format!("b/{index}"), &noise(100_000 + index));
    }
    let sample = with_large_windows(sample);
    let place = Place::new(&sample.zst());
    drop(sample);
    for threads in ["1", "6"] {
        let output = Command::new(std::env::current_exe().expect("it runs"))
            .args(["--exact", "archive::tests::large::alone", "--ignored", "--nocapture"])
            .env("GANGWAY_TEST_ARCHIVE", &place.archive)
            .env("GANGWAY_TEST_TO", &place.to)
            .env("GANGWAY_TEST_THREADS", threads)
            .output()
            .expect("it runs again");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        let peak = said.lines().find_map(|line| line.strip_prefix("peak ")).expect("it says so");
        let peak: u64 = peak.trim().parse().expect("a number");
        assert!(peak < 64 << 10, "{threads} threads: {peak} KiB");
        place.clear();
    }
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "a process of its own, which another test starts"]
#[expect(clippy::print_stdout, reason = "so it tells the other")]
fn alone() {
    let told = |name| std::env::var(name).expect("who starts it says so");
    let (archive, to) = (told("GANGWAY_TEST_ARCHIVE"), told("GANGWAY_TEST_TO"));
    let threads = told("GANGWAY_TEST_THREADS").parse().expect("a number");
    unpack(Path::new(&archive), Path::new(&to), &options(threads)).expect("as it should be");
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it has it");
    println!("\npeak {}", peak.trim().trim_end_matches("kB"));
}
