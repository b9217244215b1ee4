//! An author from outside: the guide's storage, built with plain cargo and the packaged SDK in a
//! folder of its own, becomes a plugin that passes the suite.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use imprint_tests::{
    binary,
    tools::{self, arg},
};

const SDK: &str = "imprint-plugin-sdk-0.1.0";

const MANIFEST: &str = r#"schema = 1

[plugin]
id = "storage-flat"
version = "0.1.0"
kinds = ["storage"]
summary = "The storage of the guide"
license = "Apache-2.0"
requires.host = ">=0.1, <0.2"

[[capabilities.dir]]
id = "pool"
access = "read-write"
purpose = "the directory with the images"
"#;

/// The test of the guide's section on the suite, for its storage.
const SUITE: &str = r#"
#[cfg(test)]
mod tests {
    use imprint_plugin_sdk::{testing::storage::{MockSubject, run}, types::Props};

    #[test]
    fn it_does_what_every_storage_must() {
        for outcome in run(&mut |_case| MockSubject::<super::Flat>::files(&Props::new(), &["pool"])) {
            assert!(!outcome.is_failure(), "{outcome}");
        }
    }
}
"#;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The code of the guide's section `A storage`.
fn code_of_the_guide() -> Result<String> {
    let guide = fs::read_to_string(repository().join("docs/PLUGIN-AUTHOR.md"))?;
    let (_, section) = guide.split_once("\n## A storage\n").context("the guide has a storage")?;
    let (_, code) = section.split_once("```rust\n").context("the section has code")?;
    let (code, _) = code.split_once("\n```").context("the code ends")?;
    Ok(code.to_owned())
}

/// The SDK as it would be published: nothing else of this repository is in it.
fn packaged_sdk(folder: &Path) -> Result<PathBuf> {
    let package = [
        "package",
        "--offline",
        "--quiet",
        "--allow-dirty",
        "--no-verify",
        "--package",
        "imprint-plugin-sdk",
    ];
    cargo(repository(), &package)?;
    let file = target().join(format!("package/{SDK}.crate"));
    tools::ok("tar", &["-xzf", arg(&file), "-C", arg(folder)])?;
    Ok(folder.join(SDK))
}

/// The dependencies of the SDK are built once, and not for every run.
fn target() -> PathBuf {
    repository().join("target/author")
}

/// Runs cargo as an author does who has nothing of this repository.
fn cargo(folder: &Path, args: &[&str]) -> Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(args).current_dir(folder);
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(variable);
    }
    cargo.env("CARGO_TARGET_DIR", target());
    let output = cargo.output()?;
    ensure!(output.status.success(), "cargo {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn imprint(args: &[&str]) -> Result<String> {
    let output = Command::new(binary()?).args(args).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{args:?}: {}{said}", String::from_utf8_lossy(&output.stdout));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn the_storage_of_the_guide_is_built_outside_of_the_workspace_and_passes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let sdk = packaged_sdk(folder.path())?;
    let cargo_toml = format!(
        "[package]\nname = \"storage-flat\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n\n\
         [dependencies]\nimprint-plugin-sdk = {{ path = {sdk:?} }}\n\n\
         [dev-dependencies]\nimprint-plugin-sdk = {{ path = {sdk:?}, features = [\"testing\"] }}\n"
    );
    fs::create_dir(folder.path().join("src"))?;
    fs::write(folder.path().join("Cargo.toml"), cargo_toml)?;
    fs::write(folder.path().join("plugin.toml"), MANIFEST)?;
    fs::write(folder.path().join("src/lib.rs"), code_of_the_guide()? + SUITE)?;

    cargo(folder.path(), &["test", "--offline", "--quiet"])?;
    cargo(folder.path(), &["build", "--offline", "--quiet", "--release", "--target", "wasm32-wasip2"])?;
    let component = target().join("wasm32-wasip2/release/storage_flat.wasm");
    let (manifest, plugin) = (folder.path().join("plugin.toml"), folder.path().join("storage-flat.wasm"));
    imprint(&["plugin", "pack", arg(&component), "--manifest", arg(&manifest), "-o", arg(&plugin)])?;
    imprint(&["plugin", "test", arg(&plugin)])?;
    Ok(())
}
