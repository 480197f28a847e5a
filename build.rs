//! Builds again when the dashboard was built: its files are part of the binary.

fn main() {
    println!("cargo::rerun-if-changed=dashboard/dist");
}
