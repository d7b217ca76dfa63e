//! `<app>-installer`; see [`installer`].

fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
