//! How the release binary is linked.

use std::process::Command;

/// The first glibc that reads packed relocations.
const GLIBC: (u32, u32) = (2, 36);

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[allow(
        clippy::disallowed_methods,
        reason = "cargo sets what a build script reads"
    )]
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    let has_relocations_packed = is("PROFILE", "release")
        && is("CARGO_CFG_TARGET_ENV", "gnu")
        && is("CARGO_CFG_TARGET_ARCH", "x86_64")
        && glibc().is_some_and(|version| version >= GLIBC);
    if has_relocations_packed {
        // Most relocations are of tables of methods, and all are read at the start: 0.65 MB that stay resident.
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of this machine's glibc: the binary needs it, or a newer one, in any case.
fn glibc() -> Option<(u32, u32)> {
    let asked = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let text = String::from_utf8(asked.ok()?.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
