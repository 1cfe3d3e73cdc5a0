//! The migrations are compiled in from a folder beside this one, where cargo would not notice a new file.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
    println!("cargo:rerun-if-changed=build.rs");
}
