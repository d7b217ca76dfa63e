//! Gateways of more and more files, bundled and unpacked: whether time and memory grow with them, and not faster.
//!
//! A gateway that large is made of words, about as compressible as code, and of one program, the builder's own. Each is
//! deleted before the next one is made. What came of it is written to `docs/`.

use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};

use camino::Utf8Path;

use super::BenchError;
use super::measure::{self, Contender};
use crate::context::Context;
use crate::summary::size;
use crate::target::Target;

/// Files, and bytes of all of them.
const SIZES: [(u64, u64); 4] = [
    (25_000, 500_000_000),
    (50_000, 1_000_000_000),
    (100_000, 2_000_000_000),
    (200_000, 4_000_000_000),
];

/// Files of a folder, which stands for a package.
const TOGETHER: u64 = 25;

const MANIFEST: &str = r#"format = 1

[app]
name = "scale"
version = "1.0.0"
include = ["bin/**", "packages/**"]

[runtime]
engine = "none"

[[entrypoint]]
name = "scale"
program = "bin/scale"
"#;

/// What one gateway took.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Row {
    files: u64,
    bytes: u64,
    /// Of the archive.
    archive: u64,
    bundle: Taken,
    unpack: Taken,
}

/// What a command took.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Taken {
    wall: f64,
    cpu: f64,
    memory: u64,
}

/// Measures all of them, and writes the table and the plot to `docs/` of the checkout.
///
/// # Errors
/// When one cannot be made, bundled or unpacked.
pub fn run(
    context: &Context,
    host: &Target,
    checkout: &Utf8Path,
    mut tell: impl FnMut(&str),
) -> Result<(), BenchError> {
    let mut rows = Vec::new();
    for (files, bytes) in SIZES {
        let row = measure(context, host, files, bytes)?;
        tell(&line(&row));
        rows.push(row);
    }
    let docs = checkout.join("docs");
    for (name, text) in [("scale.md", page(&rows)), ("scale.svg", plot(&rows))] {
        let path = docs.join(name);
        fs_err::write(&path, text).map_err(|source| BenchError::Prepare { path, source })?;
    }
    Ok(())
}

fn measure(context: &Context, host: &Target, files: u64, bytes: u64) -> Result<Row, BenchError> {
    fs_err::create_dir_all(&context.cache)
        .map_err(|source| BenchError::Prepare { path: context.cache.clone(), source })?;
    let folder = tempfile::tempdir_in(&context.cache)
        .map_err(|source| BenchError::Prepare { path: context.cache.clone(), source })?;
    let folder = Utf8Path::from_path(folder.path()).expect("the cache's path is UTF-8");
    let gateway = folder.join("gateway");
    make(context, &gateway, files, bytes)
        .map_err(|source| BenchError::Prepare { path: gateway.clone(), source })?;
    let (cache, out, to) = (folder.join("cache"), folder.join("out"), folder.join("unpacked"));
    let contender = |name: &str, arguments: &[&str]| {
        let program = [context.executable.as_str()].into_iter();
        let step = program.chain(arguments.iter().copied()).map(str::to_owned).collect();
        Contender {
            before: Vec::new(),
            name: format!("{name} of {files} files"),
            steps: vec![step],
            folder: folder.to_owned(),
            environment: context
                .environment
                .iter()
                .filter(|(name, _)| name.as_str() != "GANGWAY_CACHE")
                .map(|(name, value)| (name.clone(), value.clone()))
                .chain([("GANGWAY_CACHE".to_owned(), cache.to_string())])
                .collect(),
            set_aside: Vec::new(),
            forget: Vec::new(),
            product: None,
        }
    };
    let target = host.name.as_str();
    let bundle = contender(
        "bundle",
        &[
            "bundle",
            "--no-verify",
            "--manifest",
            gateway.as_str(),
            "--target",
            target,
            "--out",
            out.as_str(),
        ],
    );
    let archive = out.join(format!("scale-1.0.0-{target}.tar.zst"));
    let unpack = contender("unpack", &["unpack", archive.as_str(), "--to", to.as_str()]);
    let taken = |contender: &Contender| {
        let (sample, memory) = measure::with_memory(contender)?;
        Ok::<_, BenchError>(Taken { wall: sample.0, cpu: sample.1, memory })
    };
    measure::once(&contender("lock", &["lock", "--manifest", gateway.as_str()]))?;
    let bundle = taken(&bundle)?;
    let unpack = taken(&unpack)?;
    let archive = fs_err::metadata(&archive)
        .map_err(|source| BenchError::Prepare { path: archive.clone(), source })?
        .len();
    Ok(Row { files, bytes, archive, bundle, unpack })
}

/// The gateway's folder.
fn make(context: &Context, gateway: &Utf8Path, files: u64, bytes: u64) -> std::io::Result<()> {
    fs_err::create_dir_all(gateway.join("bin"))?;
    fs_err::write(gateway.join("gangway.toml"), MANIFEST)?;
    fs_err::copy(&context.executable, gateway.join("bin/scale"))?;
    let words = words();
    let progress = context.reporter.count("Making", files);
    progress.message(format!("a gateway of {files} files"));
    let mut random = Random(files);
    for file in 0..files {
        let folder = gateway.join(format!("packages/package-{:05}/dist", file / TOGETHER));
        if file % TOGETHER == 0 {
            fs_err::create_dir_all(&folder)?;
        }
        // Few are large: half of them have half of the mean or less.
        let mean = bytes / files;
        let length =
            if file % 2 == 0 { random.below(mean) } else { mean + random.below(mean * 3 / 2) };
        let path = folder.join(format!("module-{file:06}.js"));
        let mut to = BufWriter::new(fs_err::File::create(path)?);
        let mut written = 0;
        while written < length {
            let at = random.below(words.len() as u64);
            let word = &words[usize::try_from(at).unwrap_or_default()];
            to.write_all(word.as_bytes())?;
            written += word.len() as u64;
        }
        to.flush()?;
        progress.advance(1);
    }
    Ok(())
}

/// Parts of lines that code is made of.
fn words() -> Vec<String> {
    let mut random = Random(7);
    let mut word = |index: u64| {
        let length = 3 + random.below(7);
        let letters: String =
            (0..length).map(|_| char::from(b'a' + (random.below(26) as u8))).collect();
        match index % 7 {
            0 => format!("const {letters} = "),
            1 => format!("{letters}("),
            2 => format!("{letters});\n"),
            3 => format!("return {letters}.{letters}Of;\n"),
            4 => format!("if ({letters}) {{\n  "),
            _ => format!("{letters} "),
        }
    };
    (0..3000).map(&mut word).collect()
}

/// Numbers that are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound.max(1)
    }
}

fn line(row: &Row) -> String {
    let Row { files, bytes, archive, bundle, unpack } = row;
    format!(
        "{files:>8} files {:>9} | bundle {} | archive {:>9} | unpack {}",
        size(*bytes),
        bundle.line(),
        size(*archive),
        unpack.line()
    )
}

impl Taken {
    fn line(&self) -> String {
        let Self { wall, cpu, memory } = self;
        format!("{wall:>7.1} s {cpu:>7.1} s CPU {:>9}", size(*memory))
    }
}

/// `docs/scale.md`.
fn page(rows: &[Row]) -> String {
    let mut text = "# From 25,000 files to 200,000\n\n\
        Written by `cargo xtask bench --scale`: gateways of text files in packages of 25, and one native program, bundled with an\n\
        empty cache (`bundle --no-verify`) and unpacked (`unpack`), on one machine, one after the other. Memory is the highest\n\
        resident size of the process.\n\n\
        | files | size | archive | bundle: s | s of CPU | memory | unpack: s | s of CPU | memory |\n\
        |---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for Row { files, bytes, archive, bundle, unpack } in rows {
        write!(text, "| {files} | {} | {} ", size(*bytes), size(*archive)).expect("strings grow");
        for Taken { wall, cpu, memory } in [bundle, unpack] {
            write!(text, "| {wall:.1} | {cpu:.1} | {} ", size(*memory)).expect("strings grow");
        }
        text.push_str("|\n");
    }
    text.push_str("\n![Time and memory by the number of files](scale.svg)\n");
    text
}

/// One line of a plot.
type Line<'a> = (&'a str, &'a str, fn(&Row) -> f64);

/// `docs/scale.svg`: time beside memory, both from zero, so that what is linear is a straight line.
fn plot(rows: &[Row]) -> String {
    let mut svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 300\" font-family=\"sans-serif\" \
        font-size=\"12\">\n<rect width=\"760\" height=\"300\" fill=\"white\"/>\n"
        .to_owned();
    let times: [Line<'_>; 2] =
        [("bundle", "#b5482a", |row| row.bundle.cpu), ("unpack", "#2a6fb5", |row| row.unpack.cpu)];
    let memories: [Line<'_>; 2] = [
        ("bundle", "#b5482a", |row| row.bundle.memory as f64 / 1e6),
        ("unpack", "#2a6fb5", |row| row.unpack.memory as f64 / 1e6),
    ];
    for (left, title, lines) in [(60.0, "CPU, seconds", times), (440.0, "memory, MB", memories)] {
        panel(&mut svg, rows, left, title, &lines);
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, rows: &[Row], left: f64, title: &str, lines: &[Line<'_>]) {
    const WIDTH: f64 = 280.0;
    const TOP: f64 = 40.0;
    const BOTTOM: f64 = 250.0;
    let most_files = rows.iter().map(|row| row.files).max().unwrap_or(1) as f64;
    let values = rows.iter().flat_map(|row| lines.iter().map(|(_, _, value)| value(row)));
    let most = values.fold(1.0, f64::max);
    let x = |row: &Row| left + WIDTH * row.files as f64 / most_files;
    let y = |value: f64| BOTTOM - (BOTTOM - TOP) * value / most;
    let right = left + WIDTH;
    let mut add = |text: String| {
        svg.push_str(&text);
        svg.push('\n');
    };
    add(format!("<text x=\"{left}\" y=\"24\" font-weight=\"bold\">{title}</text>"));
    add(format!("<path d=\"M{left} {TOP}V{BOTTOM}H{right}\" fill=\"none\" stroke=\"#888\"/>"));
    for part in [0.0, 0.5, 1.0] {
        let (value, at) = (most * part, y(most * part));
        add(format!(
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{value:.0}</text>",
            left - 6.0,
            at + 4.0
        ));
    }
    for row in rows {
        let (at, below) = (x(row), BOTTOM + 18.0);
        add(format!(
            "<text x=\"{at:.0}\" y=\"{below}\" text-anchor=\"middle\">{}k</text>",
            row.files / 1000
        ));
    }
    for (index, (name, color, value)) in lines.iter().enumerate() {
        let points = rows.iter().map(|row| format!("{:.1},{:.1}", x(row), y(value(row))));
        let points = points.collect::<Vec<_>>().join(" ");
        add(format!(
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>"
        ));
        for row in rows {
            add(format!(
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{color}\"/>",
                x(row),
                y(value(row))
            ));
        }
        let at = left + 10.0 + 70.0 * index as f64;
        add(format!("<text x=\"{at}\" y=\"{}\" fill=\"{color}\">{name}</text>", TOP + 8.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> [Row; 2] {
        let taken = |wall, memory| Taken { wall, cpu: wall * 2.0, memory };
        [1, 2].map(|times| Row {
            files: 25_000 * times,
            bytes: 500_000_000 * times,
            archive: 100_000_000 * times,
            bundle: taken(10.0 * times as f64, 200_000_000 * times),
            unpack: taken(times as f64, 50_000_000 + times),
        })
    }

    #[test]
    fn a_page_and_a_plot() {
        let text = page(&rows());
        let table = text.lines().filter(|line| line.starts_with("| ")).collect::<Vec<_>>();
        insta::assert_snapshot!(table.join("\n"), @r"
        | files | size | archive | bundle: s | s of CPU | memory | unpack: s | s of CPU | memory |
        | 25000 | 500.00 MB | 100.00 MB | 10.0 | 20.0 | 200.00 MB | 1.0 | 2.0 | 50.00 MB |
        | 50000 | 1.00 GB | 200.00 MB | 20.0 | 40.0 | 400.00 MB | 2.0 | 4.0 | 50.00 MB |
        ");
        let svg = plot(&rows());
        // What grows as the files do is on a line through the origin: half as high at half of the width.
        assert!(svg.contains("<polyline points=\"200.0,145.0 340.0,40.0\""), "{svg}");
        assert_eq!(svg.matches("<polyline").count(), 4);
    }

    #[test]
    fn a_gateway_as_large_as_it_should_be() {
        let sandbox = crate::testing::Sandbox::new();
        let mut context = sandbox.context(&[]);
        context.executable = sandbox.write("program", "program");
        let gateway = sandbox.root.join("gateway");
        make(&context, &gateway, 60, 1_200_000).expect("writable");
        let made = crate::testing::contents(&gateway.join("packages"));
        let bytes: usize = made.values().map(Vec::len).sum();
        assert_eq!(made.len(), 60);
        assert!((900_000..1_500_000).contains(&bytes), "{bytes}");
    }
}
