//! Plugins as components: built for `wasm32-wasip2`, each with its manifest inside.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::sh;

/// Which plugins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    /// Those that the host binary embeds.
    Shipped,
    /// Those that misbehave, for the tests.
    Hostile,
}

impl Set {
    fn source(self) -> PathBuf {
        match self {
            Self::Shipped => sh::root().join("plugins"),
            Self::Hostile => sh::root().join("tests/hostile-plugins"),
        }
    }

    /// The packages of the set, in order: the folders that hold a `plugin.toml`.
    pub(crate) fn names(self) -> Result<Vec<String>> {
        let source = self.source();
        let mut names = Vec::new();
        for entry in fs::read_dir(&source).with_context(|| format!("{} is missing", source.display()))? {
            let path = entry?.path();
            if path.join("plugin.toml").is_file() {
                names.push(path.file_name().context("a folder has a name")?.to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Where the finished components are: `.dist/plugins/NAME.wasm`.
    fn folder(self) -> PathBuf {
        match self {
            Self::Shipped => sh::dist().join("plugins"),
            Self::Hostile => sh::dist().join("hostile-plugins"),
        }
    }
}

/// The custom section that holds `plugin.toml`.
const SECTION: &str = "imprint:manifest";

/// Builds the set and puts the components, with their manifests, into its folder.
pub(crate) fn build(set: Set) -> Result<()> {
    let names = set.names()?;
    sh::say(&format!("building plugins: {}", names.join(" ")));
    let mut cargo = sh::cargo();
    cargo.args(["build", "--locked", "--target", "wasm32-wasip2", "--profile", "plugin"]);
    for name in &names {
        cargo.args(["--package", name]);
    }
    sh::run(&mut cargo)?;
    let built = sh::target_dir()?.join("wasm32-wasip2/plugin");
    let folder = set.folder();
    fs::create_dir_all(&folder)?;
    for name in &names {
        let file = built.join(format!("{}.wasm", name.replace('-', "_")));
        let component = fs::read(&file).with_context(|| format!("{} was not built", file.display()))?;
        let manifest = packed_manifest(&set.source().join(name))
            .with_context(|| format!("the manifest of {name} cannot be packed"))?;
        let finished = with_manifest(component, manifest.as_bytes())
            .with_context(|| format!("{name} is not a component"))?;
        write_if_changed(&folder.join(format!("{name}.wasm")), &finished)?;
    }
    remove_stale(&folder, &names)
}

/// The manifest as it is packed: the content of the file that `config.schema` names is in the place
/// of its name. Without one, it is the author's file, byte for byte.
fn packed_manifest(folder: &Path) -> Result<String> {
    let text = fs::read_to_string(folder.join("plugin.toml"))?;
    let mut manifest: toml::Table = text.parse()?;
    let Some(schema) = manifest.get_mut("config").and_then(|config| config.get_mut("schema")) else {
        return Ok(text);
    };
    let name = schema.as_str().context("`config.schema` names a file next to plugin.toml")?;
    let content = fs::read_to_string(folder.join(name)).with_context(|| format!("{name} cannot be read"))?;
    let content: serde_json::Value =
        serde_json::from_str(&content).with_context(|| format!("{name} is not JSON"))?;
    *schema = toml::Value::String(content.to_string());
    Ok(toml::to_string(&manifest)?)
}

/// The component with its manifest appended as a custom section (id 0, size, name, bytes; sizes in
/// LEB128).
fn with_manifest(mut component: Vec<u8>, manifest: &[u8]) -> Result<Vec<u8>> {
    for payload in wasmparser::Parser::new(0).parse_all(&component) {
        if let wasmparser::Payload::CustomSection(section) = payload?
            && section.name() == SECTION
        {
            bail!("it already has a manifest");
        }
    }
    let mut body = leb128(SECTION.len());
    body.extend_from_slice(SECTION.as_bytes());
    body.extend_from_slice(manifest);
    component.push(0);
    component.extend(leb128(body.len()));
    component.extend(body);
    Ok(component)
}

fn leb128(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or(0x7f);
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// Leaves an unchanged file alone, so that what embeds it is not built again.
fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::write(path, bytes).with_context(|| format!("{} cannot be written", path.display()))
}

fn remove_stale(folder: &Path, names: &[String]) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        if !names.contains(&stem) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_packed_into_the_manifest() {
        let folder = sh::root().join("plugins/storage-local");
        let packed: toml::Table = packed_manifest(&folder).unwrap().parse().unwrap();
        let schema = packed["config"]["schema"].as_str().unwrap();
        let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
        assert_eq!(schema["properties"]["path"]["type"], "string");
        assert_eq!(packed["plugin"]["id"].as_str(), Some("storage-local"));
        let plain = sh::root().join("plugins/format-raw");
        assert_eq!(
            packed_manifest(&plain).unwrap(),
            fs::read_to_string(plain.join("plugin.toml")).unwrap(),
            "a manifest without a schema stays as it is"
        );
    }

    #[test]
    fn the_manifest_can_be_read_back() {
        let empty_component = b"\0asm\x0d\0\x01\0".to_vec();
        let manifest = vec![b'x'; 300];
        let bytes = with_manifest(empty_component, &manifest).unwrap();
        let found: Vec<_> = wasmparser::Parser::new(0)
            .parse_all(&bytes)
            .filter_map(|payload| {
                let wasmparser::Payload::CustomSection(section) = payload.unwrap() else { return None };
                Some((section.name().to_owned(), section.data().to_vec()))
            })
            .collect();
        assert_eq!(found, [(SECTION.to_owned(), manifest.clone())]);
        assert!(with_manifest(bytes, &manifest).is_err(), "twice is refused");
    }
}
