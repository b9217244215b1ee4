//! Embeds the shipped plugins and the panel: `cargo xtask build` puts them into `.dist/plugins` and
//! `web/dist`.
//!
//! A build without them works; the binary then says what is missing when it is needed.

use std::{
    env,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("../..");
    let plugins = root.join(".dist/plugins");
    let panel = root.join("web/dist");
    let mut code = String::new();
    code.push_str("/// Name, bytes and sha256 of each shipped component.\npub(crate) static PLUGINS: &[(&str, &[u8], &str)] = &[\n");
    for (name, path) in files(&plugins)? {
        if let Some(stem) = name.strip_suffix(".wasm") {
            let digest = hex::encode(Sha256::digest(fs::read(&path)?));
            let _ = writeln!(code, "    ({stem:?}, include_bytes!({path:?}), {digest:?}),");
        }
    }
    code.push_str("];\n/// Path below the panel's root and bytes of each of its files.\npub(crate) static PANEL: &[(&str, &[u8])] = &[\n");
    for (name, path) in files(&panel)? {
        let _ = writeln!(code, "    ({name:?}, include_bytes!({path:?})),");
    }
    code.push_str("];\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("embedded.rs");
    fs::write(out, code)
}

/// All files below a folder, by their path relative to it; none when the folder is missing.
fn files(dir: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    if !dir.is_dir() {
        // So that it is noticed when it appears.
        if let Some(parent) = dir.parent() {
            watch(parent);
        }
        return Ok(found);
    }
    let dir = dir.canonicalize()?;
    let mut open = vec![dir.clone()];
    while let Some(folder) = open.pop() {
        watch(&folder);
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if let Ok(relative) = path.strip_prefix(&dir) {
                found.push((relative.to_string_lossy().into_owned(), path.clone()));
                watch(&path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn watch(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}
