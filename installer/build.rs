//! Tells the installer which triple it was built for: releases name installers by it.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = std::env::var("TARGET").expect("Cargo sets it");
    println!("cargo:rustc-env=GANGWAY_TRIPLE={target}");
}
