//! Systems without namespaces: every order is refused.

use std::ffi::OsString;
use std::process::ExitCode;

use super::{Order, Refusal};

/// Refuses.
pub(super) fn enter(args: Vec<OsString>) -> ExitCode {
    let order = args.first().and_then(|path| std::fs::read(path).ok());
    if let Some(order) = order.and_then(|text| serde_json::from_slice::<Order>(&text).ok()) {
        let refusal = Refusal::Fence {
            step: "namespaces".to_owned(),
            reason: "only Linux has them".to_owned(),
        };
        let text = serde_json::to_vec(&refusal).expect("it is made of texts");
        // Nothing to be done about a failure: the exit status says enough.
        let _ = std::fs::write(&order.report, text);
    }
    ExitCode::FAILURE
}

/// What a user can do.
pub(super) fn help() -> String {
    "build on Linux, or pass `--unconfined-scripts` when you trust the scripts".to_owned()
}
