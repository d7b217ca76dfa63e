//! Prints what the code of files asks of the processor: `cargo run --example instructions FILE...`.

use gangway_abi::{Facts, Instructions, read};

fn main() {
    for path in std::env::args().skip(1) {
        let Ok(bytes) = std::fs::read(&path) else { continue };
        let started = std::time::Instant::now();
        let facts = read(&bytes);
        let took = started.elapsed();
        let each: Vec<&Instructions> = match &facts {
            Some(Facts::Elf(elf)) => vec![&elf.instructions],
            Some(Facts::Pe(pe)) => vec![&pe.instructions],
            Some(Facts::MachO(macho)) => macho.slices.iter().map(|one| &one.instructions).collect(),
            _ => vec![],
        };
        for one in each {
            println!("{path} {} KiB {took:?} asks {}", one.pieces * 4, one.asks);
            for (feature, of) in &one.uses {
                println!("    {}: {of:?}", feature.name());
            }
        }
    }
}
