//! `imprint plugin pack`.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use clap::Args;
use imprint_plugin_runtime::{LoadError, manifest::section};

use super::{OutputArgs, check, refused};
use crate::client::failure::Failure;

/// Arguments of `imprint plugin pack`.
#[derive(Args)]
pub(crate) struct PackArgs {
    /// Component, as cargo builds it for wasm32-wasip2
    #[arg(value_name = "COMPONENT")]
    component: PathBuf,
    /// Manifest of the plugin
    #[arg(long, value_name = "FILE", default_value = "plugin.toml")]
    manifest: PathBuf,
    /// File to write the plugin to; an existing one is replaced
    #[arg(long, short = 'o', value_name = "FILE")]
    out: PathBuf,
    /// Format of the answer [default: table on a terminal, else json]
    #[arg(long = "output", value_enum, value_name = "OUTPUT")]
    format: Option<crate::output_format::OutputFormat>,
}

impl PackArgs {
    pub(super) fn output(&self) -> OutputArgs {
        OutputArgs { output: self.format }
    }
}

/// Adds the manifest to the component, loads the result as the host does, and writes it.
pub(super) async fn pack(args: PackArgs) -> Result<(), Failure> {
    let component = check::read(&args.component).await?;
    match section::find(&component) {
        Err(LoadError::NoManifest) => {}
        Ok(_) => {
            return Err(Failure::Usage(format!(
                "{} has a manifest already; give the component as cargo built it",
                args.component.display()
            )));
        }
        Err(error) => return Err(refused(&args.component, &error)),
    }
    let manifest = packed_manifest(&args.manifest).await?;
    let plugin = section::append(&component, &manifest);
    let inspection = check::inspect(&args.manifest, &plugin).await?;
    write(&args.out, &plugin)
        .map_err(|error| Failure::local(format!("cannot write {}", args.out.display()), error))?;
    check::print(&inspection, plugin.len(), args.output().output())
}

/// Returns the manifest as it is packed: the content of the file that `config.schema` names is in
/// the place of its name. Without such a name it is the text as it is.
async fn packed_manifest(path: &Path) -> Result<String, Failure> {
    let text = read_text(path).await?;
    let invalid = |problem: String| Failure::Usage(format!("{}: {problem}", path.display()));
    let mut table: toml::Table = text.parse().map_err(|error: toml::de::Error| invalid(error.to_string()))?;
    let Some(schema) = table.get_mut("config").and_then(|config| config.get_mut("schema")) else {
        return Ok(text);
    };
    let name = schema.as_str().ok_or_else(|| invalid("`config.schema` names a file".to_owned()))?;
    let file = path.parent().unwrap_or(Path::new("")).join(name);
    *schema = toml::Value::String(read_text(&file).await?);
    toml::to_string(&table).map_err(|error| invalid(error.to_string()))
}

async fn read_text(path: &Path) -> Result<String, Failure> {
    let bytes = check::read(path).await?;
    String::from_utf8(bytes).map_err(|_| Failure::Usage(format!("{} is not UTF-8", path.display())))
}

/// Writes a file whole: under another name, then renamed.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}
