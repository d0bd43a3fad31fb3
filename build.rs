//! Puts the functions that run together beside each other in the program: `packaging/layout/functions.ld` says which, and
//! `docs/performance.md` what that saves.
//!
//! Only where it was tried: an optimised program for Linux on x86-64, linked as the toolchain does by itself, which is with LLD or GNU
//! ld. Others (mold, gold) do not understand the script. Without it the program is the same, in another order.

use std::env::var;

const SCRIPT: &str = "packaging/layout/functions.ld";

fn main() {
    println!("cargo::rerun-if-changed={SCRIPT}");
    let is = |name: &str, wanted: &str| var(name).is_ok_and(|value| value == wanted);
    let tried = is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") && is("CARGO_CFG_TARGET_ARCH", "x86_64");
    // Any flag about linking may choose another linker.
    let chosen = var("RUSTC_LINKER").is_ok() || var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| flags.contains("link"));
    if tried && !chosen && !is("OPT_LEVEL", "0") {
        let root = var("CARGO_MANIFEST_DIR").expect("cargo says where the package is");
        println!("cargo::rustc-link-arg-bins=-T{root}/{SCRIPT}");
    }
}
