//! Tells the builder which platform it was compiled for, in Rust's words.

fn main() {
    let triple = std::env::var("TARGET").expect("cargo sets TARGET for build scripts");
    println!("cargo::rustc-env=GANGWAY_HOST_TRIPLE={triple}");
    println!("cargo::rerun-if-changed=build.rs");
}
