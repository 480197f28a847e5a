//! Tidekeeper's one binary: parse, call, exit.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidekeeper::cli::main()
}
