//! The same gateway under other runtimes than the one its manifest asks for.

use e2e::gateway::{Gateway, Places, bundles_with};
use e2e::{Machine, archive_for, unpack};

fn works_under(runtime: &str) {
    let made = bundles_with(runtime, &["linux-x64"]);
    let engine = runtime.split('@').next().unwrap_or(runtime);
    assert!(made[0]["runtime"].as_str().is_some_and(|it| it.starts_with(engine)), "{made:?}");
    let (_folder, bundle) = unpack(archive_for(&made, "linux-x64"));
    assert!(bundle.join("runtime/bin").join(engine).is_file());
    assert!(!bundle.join("runtime/bin/node").exists(), "only one runtime is shipped");
    let gateway = Gateway {
        machine: &Machine::this(),
        bundle: &bundle,
        suffix: "",
        places: Places::Sockets,
        services: &["words"],
    };
    gateway.works();
}

#[test]
fn the_example_under_bun() {
    works_under("bun@^1.4");
}

#[test]
fn the_example_under_deno() {
    works_under("deno@^2.9");
}
